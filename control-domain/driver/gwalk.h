// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's page tables, walked in software: which guest-physical address a linear one means, or
 * with which error code the access faults, as the CPU itself would have it. Needed where the driver
 * touches memory on an instruction's behalf (insn.h) and to fetch that instruction's bytes.
 *
 * All four formats: 32-bit, PAE, 4-level, 5-level; WP, SMEP, SMAP, NX, protection keys for user
 * pages, reserved bits. A walk that succeeds sets accessed and dirty bits; one that faults leaves
 * the tables alone. Not here: canonical addresses (the caller checks before), segments, supervisor
 * protection keys, shadow stacks, EPT, and any cache: the tables are read anew each time.
 *
 * Source: SDM 3A "Paging" (4): "Access Rights" (4.6.1), "Page-Fault Exceptions" (4.7), "Accessed
 * and Dirty Flags" (4.8).
 */
#pragma once

#include "pure.h"

/* What the walk depends on, all of the vCPU that makes the access. */
struct gwalk_cpu {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdpte[4];     /* PAE paging alone: as the CPU loaded them with CR3 */
	uint8_t physical_bits; /* the guest's CPUID 80000008h EAX[7:0]; below 32 counts as 32 */
	uint8_t cpl;
	bool ac;	     /* RFLAGS.AC */
	bool gigabyte_pages; /* the guest's CPUID 80000001h EDX[26] */
};

enum gwalk_access {
	GWALK_READ = 0,
	GWALK_WRITE = 1 << 0,
	GWALK_FETCH = 1 << 1,
	GWALK_IMPLICIT = 1 << 2, /* to system structures: as supervisor, whatever CPL and AC are */
};

enum gwalk_update {
	GWALK_UPDATED,
	GWALK_DIFFERENT, /* the entry was not the old value any more */
	GWALK_READ_ONLY, /* no memory, or not to be written */
};

struct gwalk_ops {
	/* Guest-physical memory; entries are 4 or 8 bytes and aligned. */
	bool (*read)(void *context, uint64_t gpa, uint64_t *entry, unsigned int bytes);
	enum gwalk_update (*update)(void *context, uint64_t gpa, uint64_t old_entry,
				    uint64_t new_entry, unsigned int bytes);
	/* The guest's PKRU: costly to have, so asked for only where it decides. */
	uint32_t (*pkru)(void *context);
};

enum gwalk_result {
	GWALK_OK,
	GWALK_FAULT,	/* *fault is the #PF */
	GWALK_NO_TABLE, /* a table lies where there is no RAM, or RAM that cannot be written */
	GWALK_RACING,	/* the guest keeps changing the tables: let it run, it will come back */
};

/*
 * Guest-physical address of one byte; the rest of its 4 KiB page follows. access is a mask of enum
 * gwalk_access. *gpa is set with GWALK_OK, *fault with GWALK_FAULT.
 */
enum gwalk_result gwalk(const struct gwalk_cpu *cpu, const struct gwalk_ops *ops, void *context,
			uint64_t linear, unsigned int access, uint64_t *gpa,
			struct guest_fault *fault);
