// SPDX-License-Identifier: MIT
// sources: boot/efi/conf.c boot/efi/elf.c boot/efi/pe.c
/*
 * What hornero.efi reads, of random bytes; the first one chooses the format. A configuration that
 * is taken is whole, one that is refused has a place and a reason; segments and sections lie in
 * their file and in the room for them.
 */
#include <stdlib.h>
#include <string.h>

#include <boot/efi/conf.h>
#include <boot/efi/elf.h>
#include <boot/efi/pe.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(bool true_thing)
{
	if (!true_thing)
		abort();
}

static void configuration(const uint8_t *data, size_t bytes)
{
	char *text = malloc(bytes + 1);
	struct conf_error error = {0};
	struct conf conf;

	memcpy(text, data, bytes);
	if (conf_parse(text, bytes, &conf, &error)) {
		demand(conf.n_entries && conf.chosen < conf.n_entries);
		for (unsigned int i = 0; i < conf.n_entries; i++) {
			const struct conf_entry *e = &conf.entries[i];

			demand(*e->name && *e->title && *e->hypervisor && *e->kernel);
			demand(strlen(e->cmdline) <= CONF_MAX_CMDLINE);
			demand(strlen(e->kernel_cmdline) <= CONF_MAX_KERNEL_LINE);
		}
	} else {
		demand(error.what && error.column && error.column <= bytes + 1);
	}
	free(text);
}

static void hypervisor(const uint8_t *file, size_t bytes)
{
	struct elf_image image;

	if (elf_check(file, bytes, &image))
		return;
	demand(image.entry < image.bytes && image.bytes <= ELF_ROOM);
	for (unsigned int i = 0; i < image.n_segments; i++) {
		const struct elf_segment *s = &image.segments[i];

		demand(s->offset <= bytes && s->file_bytes <= bytes - s->offset);
		demand(s->at <= ELF_ROOM && s->file_bytes <= ELF_ROOM - s->at);
	}
}

static void section(const uint8_t *image, size_t bytes)
{
	const void *data;
	size_t size;

	if (!pe_section(image, bytes, ".conf", &data, &size))
		return;
	demand((const uint8_t *)data >= image);
	demand(size <= bytes && (const uint8_t *)data + size <= image + bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static void (*const formats[])(const uint8_t *, size_t) = {configuration, hypervisor,
								   section};

	if (bytes)
		formats[data[0] % 3](data + 1, bytes - 1);
	return 0;
}
