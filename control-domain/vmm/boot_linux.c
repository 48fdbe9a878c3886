// SPDX-License-Identifier: MIT
/*
 * bzImage by the 64-bit boot protocol. The kernel goes to its preferred address, or, in a small VM,
 * as low as its alignment lets it; below 640 KiB lie the zero page, page tables and descriptor
 * table that the protocol asks for. The setup code of the image is never run.
 */
#include <asm/bootparam.h>
#include <stddef.h>
#include <string.h>

#include "boot.h"
#include "layout.h"

#define SECTOR_BYTES   512ull
#define BOOT_FLAG      0xaa55
#define HEADER_MAGIC   0x53726448 /* "HdrS" */
#define VERSION_MIN    0x020c	  /* xloadflags */
#define LOADER_UNKNOWN 0xff
#define ENTRY64_OFFSET 0x200
#define MIB	       (double)(1 << 20)

#define PAGE_PRESENT_WRITE 0x03ull
#define PAGE_LARGE	   0x80ull
#define PAGE_BYTES	   4096ull
#define LARGE_PAGE_BYTES   (2ull << 20)
#define MAPPED_GIB	   4

#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_DATA   0x00cf93000000ffffull

static int check_header(const struct boot_file *kernel, struct setup_header *header,
			struct reason *why)
{
	const uint64_t at = offsetof(struct boot_params, hdr);

	if (kernel->bytes < at + sizeof(*header) ||
	    !kernel->read(kernel, at, header, sizeof(*header)))
		return reason_set(why, "kernel %s: %llu bytes are too few for a bzImage",
				  kernel->path, (unsigned long long)kernel->bytes);
	if (header->boot_flag != BOOT_FLAG || header->header != HEADER_MAGIC)
		return reason_set(why,
				  "kernel %s is neither a bzImage nor an ELF file; use the "
				  "distribution's /boot/vmlinuz",
				  kernel->path);
	if (header->version < VERSION_MIN || !(header->xloadflags & XLF_KERNEL_64))
		return reason_set(why,
				  "kernel %s: boot protocol %u.%02u without 64-bit entry; a 64-bit "
				  "kernel of version 3.8 or later is needed",
				  kernel->path, header->version >> 8, header->version & 0xff);
	return 0;
}

/* Where the kernel can run: `init_size` bytes of low memory at an address that it accepts. */
static int choose_address(const struct boot_request *request, const struct setup_header *header,
			  uint64_t *address, struct reason *why)
{
	uint64_t end = request->memory->range[0].bytes;
	uint64_t alignment = header->kernel_alignment;
	uint64_t lowest = LAYOUT_KERNEL_MIN;

	if (header->pref_address >= LAYOUT_KERNEL_MIN && header->pref_address <= end &&
	    header->init_size <= end - header->pref_address) {
		*address = header->pref_address;
		return 0;
	}
	if (alignment && !(alignment & (alignment - 1)))
		lowest = (lowest + alignment - 1) & -alignment;
	if (!header->relocatable_kernel || lowest > end || header->init_size > end - lowest)
		return reason_set(why,
				  "kernel %s needs %.1f MiB from %.1f MiB on; the VM has %.1f MiB "
				  "of memory",
				  request->kernel->path, header->init_size / MIB,
				  (double)lowest / MIB, (double)end / MIB);
	*address = lowest;
	return 0;
}

static int load_image(const struct boot_request *request, const struct setup_header *header,
		      uint64_t address, struct reason *why)
{
	const struct boot_file *kernel = request->kernel;
	uint64_t setup = (1 + (header->setup_sects ? header->setup_sects : 4)) * SECTOR_BYTES;
	uint64_t payload = header->syssize * 16ull;

	if (setup >= kernel->bytes || payload > kernel->bytes - setup)
		return reason_set(why, "kernel %s is truncated: %llu bytes, its header says %llu",
				  kernel->path, (unsigned long long)kernel->bytes,
				  (unsigned long long)(setup + payload));
	void *to = guest_memory_at(request->memory, address, payload);

	if (!to || payload > header->init_size || payload < ENTRY64_OFFSET)
		return reason_set(why, "kernel %s: its header is inconsistent (image %llu bytes)",
				  kernel->path, (unsigned long long)payload);
	if (!kernel->read(kernel, setup, to, payload))
		return reason_set(why, "kernel %s cannot be read", kernel->path);
	return 0;
}

/* Identity map of the first 4 GiB. */
static void write_page_tables(uint64_t *tables)
{
	const uint64_t entries = PAGE_BYTES / sizeof(uint64_t);
	uint64_t *pdpt = tables + entries, *pd = pdpt + entries;

	memset(tables, 0, 2 * PAGE_BYTES);
	tables[0] = (LAYOUT_PAGE_TABLES + PAGE_BYTES) | PAGE_PRESENT_WRITE;
	for (uint64_t gib = 0; gib < MAPPED_GIB; gib++) {
		pdpt[gib] = (LAYOUT_PAGE_TABLES + (2 + gib) * PAGE_BYTES) | PAGE_PRESENT_WRITE;
		for (uint64_t i = 0; i < entries; i++)
			pd[gib * entries + i] = (gib * entries + i) * LARGE_PAGE_BYTES |
						PAGE_PRESENT_WRITE | PAGE_LARGE;
	}
}

static void fill_memory_map(const struct guest_memory *memory, struct boot_params *params)
{
	struct boot_region regions[BOOT_REGIONS_MAX];

	params->e820_entries = (uint8_t)boot_memory_map(memory, regions);
	for (unsigned i = 0; i < params->e820_entries; i++)
		params->e820_table[i] = (struct boot_e820_entry){
			.addr = regions[i].base, .size = regions[i].bytes, .type = regions[i].type};
}

int boot_load_linux(const struct boot_request *request, struct boot_start *start,
		    struct reason *why)
{
	struct setup_header header;
	uint64_t address, initrd, initrd_bytes;

	if (check_header(request->kernel, &header, why) ||
	    choose_address(request, &header, &address, why) ||
	    load_image(request, &header, address, why) ||
	    boot_place_initrd(request, address + header.init_size,
			      (uint64_t)header.initrd_addr_max + 1, &initrd, &initrd_bytes, why) ||
	    boot_place_cmdline(request, header.cmdline_size, why))
		return -1;

	struct boot_params *params =
		guest_memory_at(request->memory, LAYOUT_START_INFO, sizeof(*params));
	uint64_t *tables =
		guest_memory_at(request->memory, LAYOUT_PAGE_TABLES, (2 + MAPPED_GIB) * PAGE_BYTES);
	uint64_t *gdt = guest_memory_at(request->memory, LAYOUT_GDT, 4 * sizeof(*gdt));

	if (!params || !tables || !gdt)
		return reason_set(why, "memory below 640 KiB is missing");
	memset(params, 0, sizeof(*params));
	params->hdr = header;
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.cmd_line_ptr = (uint32_t)LAYOUT_CMDLINE;
	params->hdr.ramdisk_image = (uint32_t)initrd;
	params->hdr.ramdisk_size = (uint32_t)initrd_bytes;
	params->acpi_rsdp_addr = request->rsdp;
	fill_memory_map(request->memory, params);
	write_page_tables(tables);
	gdt[0] = gdt[1] = 0;
	gdt[2] = GDT_CODE64;
	gdt[3] = GDT_DATA;

	*start = (struct boot_start){.protocol = BOOT_LINUX64,
				     .entry = address + ENTRY64_OFFSET,
				     .argument = LAYOUT_START_INFO};
	return 0;
}
