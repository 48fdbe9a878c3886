// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decisions about memory regions. Slots are searched one by one as far as they have been in use: a
 * handful of them, and there is nothing to keep in order.
 */
#include "regions.h"

static bool range_valid(const struct region_range *range)
{
	if ((range->gpa | range->bytes | range->uaddr) & (REGION_PAGE - 1))
		return false;
	if (range->uaddr + range->bytes < range->uaddr)
		return false;
	return range->bytes <= REGION_GPA_LIMIT && range->gpa <= REGION_GPA_LIMIT - range->bytes;
}

static bool ranges_overlap(const struct region_range *a, const struct region_range *b)
{
	return a->gpa < b->gpa + b->bytes && b->gpa < a->gpa + a->bytes;
}

static bool overlaps_other_slot(const struct region_table *table, uint32_t slot,
				const struct region_range *wanted)
{
	uint32_t i;

	for (i = 0; i < REGION_SLOTS; i++)
		if (i != slot && table->slot[i].bytes && ranges_overlap(&table->slot[i], wanted))
			return true;
	return false;
}

int region_plan(const struct region_table *table, uint32_t slot, const struct region_range *wanted)
{
	const struct region_range *old;

	if (slot >= REGION_SLOTS || !range_valid(wanted))
		return -EINVAL;
	old = &table->slot[slot];
	if (!wanted->bytes)
		return old->bytes ? REGION_DELETE : -EINVAL;
	if (old->bytes) {
		if (old->bytes != wanted->bytes || old->uaddr != wanted->uaddr ||
		    old->readonly != wanted->readonly)
			return -EINVAL;
		if (old->gpa == wanted->gpa)
			return old->logged == wanted->logged ? REGION_NOTHING : REGION_LOG;
	}
	if (overlaps_other_slot(table, slot, wanted))
		return -EEXIST;
	return old->bytes ? REGION_MOVE : REGION_CREATE;
}

void region_set(struct region_table *table, uint32_t slot, const struct region_range *range)
{
	table->slot[slot] = *range;
	if (slot >= table->used)
		table->used = slot + 1;
}

int region_find(const struct region_table *table, uint64_t gpa)
{
	uint32_t i;

	for (i = 0; i < table->used; i++)
		if (gpa - table->slot[i].gpa < table->slot[i].bytes)
			return i;
	return -1;
}
