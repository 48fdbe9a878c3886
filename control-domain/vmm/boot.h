// SPDX-License-Identifier: MIT
/*
 * Direct boot: a kernel image and an initramfs are put into guest memory, and the first vCPU starts
 * at the kernel's entry. Two formats: Linux bzImage (64-bit entry) and ELF with a PVH entry note.
 *
 * Pure: files are read through a function, so tests and the fuzzer hand in bytes. Images are not
 * trusted: sizes and addresses are checked against file and memory, and refusals carry the
 * numbers. No 16-bit entry, no relocation of ELF images, no compressed initramfs handling (the
 * kernel does that).
 *
 * Source: Linux Documentation/x86/boot.rst "The Linux/x86 Boot Protocol"; Xen's
 * public/arch-x86/hvm/start_info.h (the format, described in docs/misc/pvh). Read next:
 * boot_linux.c, boot_pvh.c, vcpu.c (registers).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guest_memory.h"
#include "reason.h"

struct boot_file {
	const char *path;
	uint64_t bytes;
	/* Reads exactly `bytes` at `offset`, both within the file; false on an I/O error. */
	bool (*read)(const struct boot_file *file, uint64_t offset, void *to, uint64_t bytes);
	int fd;		  /* for boot_file_open() */
	const void *data; /* for tests */
};

struct boot_request {
	const struct guest_memory *memory;
	const struct boot_file *kernel;
	const struct boot_file *initrd; /* NULL: none */
	const char *cmdline;
	uint64_t rsdp; /* address of the ACPI tables */
};

enum boot_protocol {
	BOOT_LINUX64, /* long mode, identity-mapped; RSI = zero page */
	BOOT_PVH,     /* 32-bit protected mode, paging off; EBX = start info */
};

struct boot_start {
	enum boot_protocol protocol;
	uint64_t entry;
	uint64_t argument;
};

/* Opens a file for boot_load(); kept open, so that a reset can load it again. */
int boot_file_open(struct boot_file *file, const char *what, const char *path, struct reason *why);

/* Loads by whichever format the kernel has. */
int boot_load(const struct boot_request *request, struct boot_start *start, struct reason *why);

int boot_load_linux(const struct boot_request *request, struct boot_start *start,
		    struct reason *why);
int boot_load_pvh(const struct boot_request *request, struct boot_start *start, struct reason *why);

/* Shared by the formats. ---- */

struct boot_region {
	uint64_t base, bytes;
	uint32_t type; /* as in E820 */
};

enum { BOOT_REGIONS_MAX = 8, BOOT_REGION_RAM = 1, BOOT_REGION_RESERVED = 2 };

/* The guest's memory map; returns the number of regions. */
unsigned boot_memory_map(const struct guest_memory *memory, struct boot_region *regions);

/*
 * Loads the initramfs as high as it may lie: below `limit` and the end of low memory, above `floor`
 * (the end of the kernel). `base` and `bytes` are 0 without initramfs.
 */
int boot_place_initrd(const struct boot_request *request, uint64_t floor, uint64_t limit,
		      uint64_t *base, uint64_t *bytes, struct reason *why);

/* Puts the command line at LAYOUT_CMDLINE; it may have `limit` bytes at most. */
int boot_place_cmdline(const struct boot_request *request, uint64_t limit, struct reason *why);
