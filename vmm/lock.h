// SPDX-License-Identifier: MIT
/*
 * The hypervisor's one kind of lock: a ticket spinlock.
 *
 * Interrupts are off in root mode, so there is nothing to disable; NMI and #MC handlers take no
 * lock. Held for bounded work only. Order: a VM's lock, then the pool's, then the control domain's
 * map.
 */
#pragma once

#include <types.h>

struct lock {
	uint32_t next, serving;
};

static inline void lock(struct lock *l)
{
	uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket)
		__builtin_ia32_pause();
}

static inline void unlock(struct lock *l)
{
	__atomic_store_n(&l->serving, l->serving + 1, __ATOMIC_RELEASE);
}
