// SPDX-License-Identifier: MIT
/*
 * The guest pool: the ownership table (owner.h) of this machine behind one lock, with scrubbing.
 *
 * Frames are zeroed before they are handed out, here and nowhere else, a bounded number per call.
 */
#pragma once

#include <lock.h>
#include <owner.h>

/** The table and its lock, for callers that do several steps under it. */
extern struct owner_table pool;
extern struct lock pool_lock;

/** Zero up to @most waiting frames. Returns how many became free. Context: root, no lock held. */
unsigned int pool_scrub(unsigned int most);

/** Bytes free now or after scrubbing. */
uint64_t pool_free_bytes(void);
