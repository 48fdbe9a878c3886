// SPDX-License-Identifier: MIT
/*
 * A Linux bzImage, taken apart, and the "zero page" that tells it about the machine. Pure.
 *
 * Only the 64-bit entry point is used (protocol 2.12 or later). Offsets are those of struct
 * boot_params. Source: Linux kernel documentation, "The Linux/x86 Boot Protocol".
 */
#pragma once

#include <boot_info.h>

struct linux_image {
	uint64_t setup_bytes;  /* real-mode part, before the kernel proper */
	uint64_t kernel_bytes; /* the kernel proper, as stored */
	uint64_t pref_address; /* where it wants to run */
	uint64_t init_size;    /* memory it needs there before it can read the map */
	uint64_t alignment;    /* power of two */
	uint64_t initrd_max;   /* highest address an initramfs may occupy */
	uint32_t cmdline_max;  /* characters without the NUL */
	bool relocatable;
};

/**
 * Check the bzImage of @bytes bytes at @data and describe it in @img.
 * Returns NULL, or what is wrong in a few words.
 */
const char *linux_image_parse(const void *data, uint64_t bytes, struct linux_image *img);

/* Everything the zero page says. */
struct linux_params {
	const void *image; /* the bzImage, for its setup header */
	const struct mem_range *map;
	unsigned int ranges;
	uint64_t cmdline;
	uint64_t initrd, initrd_bytes;
	uint64_t rsdp;
	const struct boot_framebuffer *fb;
	const struct boot_efi *efi; /* NULL: no UEFI */
	uint64_t efi_memmap;	    /* where Linux finds it */
};

#define LINUX_E820_MAX 128 /* entries that fit the zero page */

/** Fill the 4 KiB zero page at @page. False if the memory map has more than LINUX_E820_MAX ranges
 * for Linux.
 */
bool linux_params_fill(void *page, const struct linux_params *p);

/**
 * Leave free in the EFI memory map at @efi_map, of @bytes bytes and descriptors of @desc_bytes,
 * only what is RAM in @map of @ranges ranges and not in @taken. Linux places itself at random in
 * what this map calls free, whatever E820 says of it. Source: UEFI Specification 2.10,
 * "EFI_BOOT_SERVICES.GetMemoryMap()" (7.2.3).
 */
void linux_trim_efi_map(void *efi_map, uint32_t bytes, uint32_t desc_bytes,
			const struct mem_range *map, unsigned int ranges, struct mem_range taken);
