// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/boot.c control-domain/vmm/boot_linux.c control-domain/vmm/boot_pvh.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE
/*
 * Kernel images of random bytes. A loader may refuse or load; it reads only within the file, writes
 * only guest memory (which ends at a guarded border), and an entry that it returns is in memory.
 */
#include <stdlib.h>
#include <string.h>

#include "boot.h"

#define MEMORY (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool read_bytes(const struct boot_file *file, uint64_t offset, void *to, uint64_t bytes)
{
	if (offset > file->bytes || bytes > file->bytes - offset)
		abort();
	memcpy(to, (const uint8_t *)file->data + offset, bytes);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static uint8_t *ram;
	const uint8_t contents[32] = {1};
	struct boot_file kernel = {.path = "k", .bytes = bytes, .read = read_bytes, .data = data};
	struct boot_file initrd = {
		.path = "i", .bytes = sizeof(contents), .read = read_bytes, .data = contents};
	struct guest_memory memory = {.count = 1, .range = {{.bytes = MEMORY}}, .bytes = MEMORY};
	struct boot_request request = {
		.memory = &memory, .kernel = &kernel, .initrd = &initrd, .cmdline = "x"};
	struct boot_start start;
	struct reason why = {"-"};

	if (!ram)
		ram = malloc(MEMORY);
	memory.range[0].host = ram;
	if (boot_load(&request, &start, &why)) {
		if (!strcmp(why.text, "-"))
			abort(); /* a refusal says why */
		return 0;
	}
	if (start.protocol == BOOT_LINUX64 && start.entry >= MEMORY)
		abort();
	return 0;
}
