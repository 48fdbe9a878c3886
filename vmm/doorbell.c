// SPDX-License-Identifier: MIT
/*
 * The table is the control domain's to change while it is read: what it says only chooses among
 * HV_DOORBELLS slots, and what counts is read after `flags`, which is written last.
 */
#include <doorbell.h>
#include <types.h>

int doorbell_find(const struct hv_vcpu_page *page, uint8_t space, uint64_t address, uint32_t bytes,
		  uint32_t value)
{
	uint32_t count = __atomic_load_n(&page->doorbells, __ATOMIC_RELAXED);

	for (uint32_t i = 0; i < count && i < HV_DOORBELLS; i++) {
		const volatile struct hv_doorbell *bell = &page->doorbell[i];
		uint8_t flags, wanted;

		if (bell->address != address) /* most of them */
			continue;
		flags = __atomic_load_n(&bell->flags, __ATOMIC_ACQUIRE);
		if (!(flags & space) || bell->address != address)
			continue;
		wanted = bell->bytes;
		if (!wanted ||
		    (wanted == bytes &&
		     ((flags & (HV_BELL_MEMORY | HV_BELL_ANY_VALUE)) || bell->value == value)))
			return (int)i;
	}
	return -1;
}
