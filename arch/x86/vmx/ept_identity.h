// SPDX-License-Identifier: MIT
/*
 * The control domain's memory: guest-physical = host-physical, with the types of the MTRRs, and
 * holes where memory is not its own.
 *
 * A hole gets its tables at once, so that showing and hiding a pool frame (ept_set(), EPT_2M) never
 * needs memory. Everything else up to @limit is mapped, RAM or not: devices live in between.
 */
#pragma once

#include <x86/vmx/ept.h>

struct ept_hole {
	uint64_t base, end; /* 4 KiB-aligned */
};

/**
 * Fill the empty @e with the identity map of [0, @limit). @holes: sorted by address, disjoint.
 * -HV_ERR_INVAL: one is not 4 KiB-aligned, or @limit; -HV_ERR_NOMEM.
 */
int ept_identity(struct ept *e, const struct mtrr_map *types, uint64_t limit,
		 const struct ept_hole *holes, unsigned int hole_count) __must_use;
