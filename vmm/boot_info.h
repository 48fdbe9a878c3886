// SPDX-License-Identifier: MIT
/*
 * What the boot loader told us, in one neutral structure.
 *
 * boot/mb2.c fills it from a Multiboot2 information block (GRUB's, or the one our EFI application
 * builds); nobody else reads that block. Strings and arrays are copied: the structure stands alone.
 */
#pragma once

#include <cmdline.h>
#include <consoles.h>
#include <mem_range.h>

enum module_role { MODULE_KERNEL, MODULE_INITRAMFS, MODULE_MICROCODE, MODULE_ROLES };

struct boot_module {
	hpa_t base; /* 0 bytes: absent */
	uint64_t bytes;
	char cmdline[2048]; /* without the role word */
};

struct boot_efi {
	hpa_t system_table; /* 0: not booted by UEFI */
	hpa_t memmap;	    /* the map's descriptors, inside the information block */
	uint32_t memmap_bytes, desc_bytes, desc_version;
};

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
