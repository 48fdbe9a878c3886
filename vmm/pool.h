// SPDX-License-Identifier: MIT
/*
 * The guest pool: the ownership table (owner.h) of this machine behind one lock, with scrubbing.
 *
 * Frames are zeroed before they are handed out, here and nowhere else, a bounded number per call.
 */
#pragma once

#include <lock.h>
#include <owner.h>
#include <split.h>

/** Heap that the ownership table takes. */
uint64_t pool_heap_bytes(uint64_t ram_top);

/** Enter who owns what into @table, pool_heap_bytes() of heap. @own: the hypervisor's extents.
 * Context: boot. */
void pool_init(void *table, uint64_t ram_top, const struct memory_split *split,
	       const struct mem_range *own, unsigned int n_own);

/** The table and its lock, for callers that do several steps under it. */
extern struct owner_table pool;
extern struct lock pool_lock;

/** Zero up to @most waiting frames. Returns how many became free. Context: root, no lock held. */
unsigned int pool_scrub(unsigned int most);

/** Bytes free now or after scrubbing. */
uint64_t pool_free_bytes(void);
