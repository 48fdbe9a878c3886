// SPDX-License-Identifier: MIT
/*
 * The memory type of physical memory, as the memory type range registers say.
 *
 * Under EPT the processor ignores MTRRs for the addresses that EPT translates and takes the type
 * from the leaf. So the control domain's identity map must repeat what the MTRRs said: struct
 * mtrr_map is a copy of the registers (all CPUs agree, or firmware is broken), and mtrr_type()
 * reads it as the processor would. Pure; reading the registers and trapping writes to them is the
 * caller's.
 *
 * Not considered: SMRRs (SMRAM is the firmware's) and PAT, which still combines with the leaf's
 * type.
 */
#pragma once

#include <types.h>

enum memory_type {
	MEMORY_UC = 0,
	MEMORY_WC = 1,
	MEMORY_WT = 4,
	MEMORY_WP = 5,
	MEMORY_WB = 6,
};

#define MSR_MTRR_DEF_TYPE 0x2ffu

#define MTRR_FIXED    11 /* registers 250h, 258h, 259h, 268h-26Fh, in this order */
#define MTRR_VARIABLE 32 /* the architecture has room for 255; processors have 8 to 10 */

struct mtrr_map {
	uint64_t def_type; /* IA32_MTRR_DEF_TYPE */
	uint64_t fixed[MTRR_FIXED];
	uint64_t base[MTRR_VARIABLE]; /* IA32_MTRR_PHYSBASEn */
	uint64_t mask[MTRR_VARIABLE]; /* IA32_MTRR_PHYSMASKn */
	uint32_t variables;	      /* IA32_MTRRCAP.VCNT, at most MTRR_VARIABLE */
	uint32_t physical_bits;	      /* width of a physical address */
};

/**
 * Effective type of the memory at @pa; all of [@pa, *@end) has it, and *@end is as far away as
 * possible, at most @limit (> @pa). Undefined overlaps of variable ranges count as uncacheable. SDM
 * 3A "Memory Type Range Registers (MTRRs)", "MTRR Precedences".
 */
enum memory_type mtrr_type(const struct mtrr_map *m, uint64_t pa, uint64_t limit, uint64_t *end);

/** Where @m has the register @msr; NULL if that is no MTRR of it. */
uint64_t *mtrr_register(struct mtrr_map *m, uint32_t msr);

/** True if register @msr, which @m has, may be written with @value; else the processor faults. */
bool mtrr_valid(const struct mtrr_map *m, uint32_t msr, uint64_t value);
