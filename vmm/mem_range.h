// SPDX-License-Identifier: MIT
/*
 * A range of physical memory and what it is. Types are E820's numbers and one more.
 */
#pragma once

#include <types.h>

#define BOOT_MAX_RANGES 512

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
