// SPDX-License-Identifier: MIT
/*
 * What boot finds, and the steps of boot in which others have a part. Gone with the boot part.
 */
#pragma once

#include <acpi.h>
#include <boot_info.h>

struct cpu;

struct found {
	struct boot_info boot;
	struct mem_range map[BOOT_MAX_RANGES]; /* cleaned (vmm/memmap.h) */
	unsigned int n_map;
	uint64_t ram_top; /* end of the highest RAM */
	bool acpi_found;
	struct acpi_info acpi;
};

extern struct found found;

/* --- what the VMX side supplies --- */

/** Heap it will ask for with @cpus CPUs and RAM up to @ram_top. */
uint64_t virt_heap_bytes(unsigned int cpus, uint64_t ram_top);

/** Go on with everything; all CPUs stand in virt_ap_main() or are about to. Context: boot
 * processor. */
void virt_bsp_main(void) __noreturn;

/** Go on on a started CPU. Context: any CPU but the boot processor. */
void virt_ap_main(struct cpu *c) __noreturn;
