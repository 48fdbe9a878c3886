// SPDX-License-Identifier: MIT
/*
 * What the boot loader told us, in one neutral structure.
 *
 * boot/mb2.c fills it from a Multiboot2 information block (GRUB's, or the one our EFI application
 * builds); nobody else reads that block. Strings and arrays are copied: the structure stands alone.
 * Memory types are E820's numbers and one more.
 */
#pragma once

#include <cmdline.h>
#include <types.h>

enum mem_type {
	MEM_RAM = 1,
	MEM_RESERVED = 2,
	MEM_ACPI = 3,
	MEM_NVS = 4,
	MEM_BAD = 5,
	MEM_FIRMWARE, /* not E820's: RAM of UEFI's boot services, the control domain's as it is */
};

/** True for RAM of either kind. */
static inline bool mem_is_ram(enum mem_type type)
{
	return type == MEM_RAM || type == MEM_FIRMWARE;
}

struct mem_range {
	hpa_t base;
	uint64_t bytes;
	enum mem_type type;
};

enum module_role { MODULE_KERNEL, MODULE_INITRAMFS, MODULE_MICROCODE, MODULE_ROLES };

struct boot_module {
	hpa_t base; /* 0 bytes: absent */
	uint64_t bytes;
	char cmdline[2048]; /* without the role word */
};

/* As in the Multiboot2 framebuffer tag. */
enum fb_type { FB_NONE = -1, FB_INDEXED = 0, FB_RGB = 1, FB_EGA_TEXT = 2 };

struct boot_framebuffer {
	enum fb_type type;
	hpa_t base;
	uint32_t pitch_bytes, width, height; /* EGA text: in characters */
	uint8_t bpp;
	struct {
		uint8_t pos, bits;
	} rgb[3];
};

struct boot_efi {
	hpa_t system_table; /* 0: not booted by UEFI */
	hpa_t memmap;	    /* the map's descriptors, inside the information block */
	uint32_t memmap_bytes, desc_bytes, desc_version;
};

#define BOOT_MAX_RANGES 512

struct boot_info {
	char cmdline[CMDLINE_BYTES];
	char loader[64];
	struct mem_range ranges[BOOT_MAX_RANGES]; /* as given; vmm/memmap.c sorts and cleans */
	unsigned int n_ranges;
	struct boot_module modules[MODULE_ROLES];
	struct boot_framebuffer fb;
	struct boot_efi efi;
	hpa_t rsdp;  /* address of a copy inside the information block, 0: none */
	hpa_t block; /* the block itself: keep out until it has been digested */
	uint64_t block_bytes;
};
