// SPDX-License-Identifier: MIT
/*
 * The table is the control domain's to change while it is read: what it says only chooses among
 * HV_DOORBELLS slots, and what counts is read after `flags`, which is written last.
 */
#include <doorbell.h>
#include <types.h>

/* @bell, if it is one, has the address already: most have not, so that this is rare. */
static bool __attribute__((noinline))
matches(const volatile struct hv_doorbell *bell, uint8_t space, uint64_t address, uint32_t bytes,
	uint32_t value)
{
	uint8_t flags = __atomic_load_n(&bell->flags, __ATOMIC_ACQUIRE), wanted;

	if (!(flags & space) || bell->address != address)
		return false;
	wanted = bell->bytes;
	return !wanted || (wanted == bytes && ((flags & (HV_BELL_MEMORY | HV_BELL_ANY_VALUE)) ||
					       bell->value == value));
}

int doorbell_find(const struct hv_vcpu_page *page, uint8_t space, uint64_t address, uint32_t bytes,
		  uint32_t value)
{
	uint64_t count = __atomic_load_n(&page->doorbells, __ATOMIC_RELAXED);
	const volatile struct hv_doorbell *bell = page->doorbell;
	const volatile struct hv_doorbell *end = bell + min_u64(count, HV_DOORBELLS);

	for (; bell < end; bell++)
		if (unlikely(bell->address == address) &&
		    matches(bell, space, address, bytes, value))
			return (int)(bell - page->doorbell);
	return -1;
}
