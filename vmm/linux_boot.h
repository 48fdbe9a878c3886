// SPDX-License-Identifier: MIT
/*
 * Putting the control domain's kernel, initramfs and tables where Linux's boot protocol wants them.
 */
#pragma once

#include <boot_info.h>
#include <split.h>

struct linux_start {
	uint64_t rip;	    /* 64-bit entry point */
	uint64_t zero_page; /* goes into RSI */
	uint64_t cr3;	    /* identity map of the first 4 GiB */
	uint64_t gdt;	    /* four entries: null, unused, __BOOT_CS, __BOOT_DS */
};

/**
 * Load the modules of @boot into memory of @split. @rsdp: where Linux finds the ACPI root pointer
 * (0: it looks itself). Refuses the machine, saying why, if that cannot be done. Context: boot,
 * boot mappings.
 */
void linux_load(const struct boot_info *boot, const struct memory_split *split, uint64_t rsdp,
		struct linux_start *out);
