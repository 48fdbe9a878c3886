// SPDX-License-Identifier: MIT
/*
 * ELF kernels with a PVH entry: Linux's vmlinux, and small test kernels that need no boot protocol
 * of Linux's. Segments go to their physical addresses; the entry is in a note, and the kernel gets
 * a "start info" structure with memory map, command line, initramfs and ACPI tables.
 */
#include <elf.h>
#include <stddef.h>
#include <string.h>

#include "boot.h"
#include "layout.h"

#define SEGMENTS_MAX	   64
#define NOTES_BYTES_MAX	   65536
#define NOTE_PHYS32_ENTRY  18
#define START_INFO_MAGIC   0x336ec578
#define START_INFO_VERSION 1
#define CMDLINE_MAX	   2047 /* what Linux copies */
#define INITRD_LIMIT	   0x100000000ull

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, cmdline, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};

struct start_module {
	uint64_t base, bytes, cmdline, reserved;
};

struct start_region {
	uint64_t base, bytes;
	uint32_t type, reserved;
};

/* All of it, as it lies in guest memory. */
struct start_page {
	struct start_info info;
	struct start_module initrd;
	struct start_region region[BOOT_REGIONS_MAX];
};
_Static_assert(sizeof(struct start_info) == 56, "start info, version 1");
_Static_assert(sizeof(struct start_region) == 24, "memory map entry");

static bool within(const struct boot_file *file, uint64_t offset, uint64_t bytes)
{
	return offset <= file->bytes && bytes <= file->bytes - offset;
}

static int read_header(const struct boot_file *kernel, Elf64_Ehdr *header, struct reason *why)
{
	if (!within(kernel, 0, sizeof(*header)) ||
	    !kernel->read(kernel, 0, header, sizeof(*header)) ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64)
		return reason_set(why, "kernel %s is not an ELF file for x86-64", kernel->path);
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum ||
	    header->e_phnum > SEGMENTS_MAX ||
	    !within(kernel, header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr)))
		return reason_set(
			why,
			"kernel %s: its program headers (%u at offset %llu) are not within "
			"the file",
			kernel->path, header->e_phnum, (unsigned long long)header->e_phoff);
	return 0;
}

static int load_segment(const struct boot_request *request, const Elf64_Phdr *segment,
			uint64_t *end, struct reason *why)
{
	const struct boot_file *kernel = request->kernel;
	unsigned long long from = segment->p_paddr, bytes = segment->p_memsz;
	uint8_t *to = guest_memory_at(request->memory, from, bytes);

	if (!within(kernel, segment->p_offset, segment->p_filesz) ||
	    segment->p_filesz > segment->p_memsz)
		return reason_set(why, "kernel %s is truncated: its segment at 0x%llx lies outside",
				  kernel->path, from);
	if (!to || from < LAYOUT_KERNEL_MIN)
		return reason_set(why,
				  "kernel %s: segment of %llu bytes at 0x%llx does not fit into "
				  "%llu MiB of memory above 1 MiB",
				  kernel->path, bytes, from,
				  (unsigned long long)request->memory->range[0].bytes >> 20);
	if (!kernel->read(kernel, segment->p_offset, to, segment->p_filesz))
		return reason_set(why, "kernel %s cannot be read", kernel->path);
	memset(to + segment->p_filesz, 0, bytes - segment->p_filesz);
	if (from + bytes > *end)
		*end = from + bytes;
	return 0;
}

/* Looks for the entry point among the notes of one segment. */
static bool find_entry(const uint8_t *notes, uint64_t bytes, uint64_t *entry)
{
	uint64_t at = 0;

	while (bytes - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		uint64_t name = at, name_bytes = ((uint64_t)note.n_namesz + 3) & ~3ull;
		uint64_t body_bytes = ((uint64_t)note.n_descsz + 3) & ~3ull;

		if (name_bytes > bytes - at || body_bytes > bytes - at - name_bytes)
			return false;
		at += name_bytes;
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
		    !memcmp(notes + name, "Xen", 4) && note.n_descsz >= 4) {
			uint32_t value;

			memcpy(&value, notes + at, sizeof(value));
			*entry = value;
			return true;
		}
		at += body_bytes;
	}
	return false;
}

static bool read_notes(const struct boot_file *kernel, const Elf64_Phdr *segment, uint64_t *entry)
{
	static uint8_t notes[NOTES_BYTES_MAX]; /* loaders run one at a time */

	return segment->p_filesz <= sizeof(notes) &&
	       within(kernel, segment->p_offset, segment->p_filesz) &&
	       kernel->read(kernel, segment->p_offset, notes, segment->p_filesz) &&
	       find_entry(notes, segment->p_filesz, entry);
}

static int load_segments(const struct boot_request *request, uint64_t *entry, uint64_t *end,
			 struct reason *why)
{
	const struct boot_file *kernel = request->kernel;
	Elf64_Phdr segments[SEGMENTS_MAX];
	Elf64_Ehdr header;
	bool found = false;

	if (read_header(kernel, &header, why))
		return -1;
	if (!kernel->read(kernel, header.e_phoff, segments, header.e_phnum * sizeof(segments[0])))
		return reason_set(why, "kernel %s cannot be read", kernel->path);
	for (unsigned i = 0; i < header.e_phnum; i++) {
		if (segments[i].p_type == PT_LOAD && segments[i].p_memsz &&
		    load_segment(request, &segments[i], end, why))
			return -1;
		if (segments[i].p_type == PT_NOTE && !found)
			found = read_notes(kernel, &segments[i], entry);
	}
	if (!found)
		return reason_set(
			why,
			"kernel %s has no PVH entry note; use its bzImage, or build it with "
			"CONFIG_PVH",
			kernel->path);
	return 0;
}

int boot_load_pvh(const struct boot_request *request, struct boot_start *start, struct reason *why)
{
	uint64_t entry = 0, end = LAYOUT_KERNEL_MIN, initrd, initrd_bytes;
	struct boot_region regions[BOOT_REGIONS_MAX];
	struct start_page *page =
		guest_memory_at(request->memory, LAYOUT_START_INFO, sizeof(*page));

	if (load_segments(request, &entry, &end, why) ||
	    boot_place_initrd(request, end, INITRD_LIMIT, &initrd, &initrd_bytes, why) ||
	    boot_place_cmdline(request, CMDLINE_MAX, why))
		return -1;
	if (!page)
		return reason_set(why, "memory below 640 KiB is missing");
	memset(page, 0, sizeof(*page));
	page->info = (struct start_info){
		.magic = START_INFO_MAGIC,
		.version = START_INFO_VERSION,
		.modules = request->initrd ? 1 : 0,
		.module_list = LAYOUT_START_INFO + offsetof(struct start_page, initrd),
		.cmdline = LAYOUT_CMDLINE,
		.rsdp = request->rsdp,
		.memory_map = LAYOUT_START_INFO + offsetof(struct start_page, region),
		.memory_map_entries = boot_memory_map(request->memory, regions),
	};
	page->initrd = (struct start_module){.base = initrd, .bytes = initrd_bytes};
	for (unsigned i = 0; i < page->info.memory_map_entries; i++)
		page->region[i] = (struct start_region){.base = regions[i].base,
							.bytes = regions[i].bytes,
							.type = regions[i].type};
	*start = (struct boot_start){
		.protocol = BOOT_PVH, .entry = entry, .argument = LAYOUT_START_INFO};
	return 0;
}
