// SPDX-License-Identifier: MIT
/*
 * The guest pool: the ownership table (owner.h) of this machine behind one lock, with scrubbing.
 *
 * Frames are zeroed before they are handed out, here and nowhere else: ahead of time, a part per
 * call, when the control domain has nothing else to do; those that are asked for before that, then.
 */
#pragma once

#include <lock.h>
#include <owner.h>

/** The table and its lock, for callers that do several steps under it. */
extern struct owner_table pool;
extern struct lock pool_lock;

/** Zero up to @most waiting frames. Returns how many became free. Context: root, no lock held. */
unsigned int pool_scrub(unsigned int most);

/** Zero the next SCRUB_PART of what waits. -HV_ERR_NOENT: nothing does. -HV_ERR_AGAIN: CPUs owe
 * for all that does. Context: root, no lock held. */
int pool_scrub_part(void);

/** Bytes free now or after scrubbing; *@dirty gets how many of them wait for that. */
uint64_t pool_free_bytes(uint64_t *dirty);
