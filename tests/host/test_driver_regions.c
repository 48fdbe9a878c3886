// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/regions.c
/* What KVM_SET_USER_MEMORY_REGION means, decided without any memory. */
#include <errno.h>

#include "../../control-domain/driver/regions.h"
#include "test.h"

#define MIB (1ull << 20)

static struct region_range range(uint64_t gpa, uint64_t bytes)
{
	return (struct region_range){.gpa = gpa, .bytes = bytes, .uaddr = 0x7f0000000000 + gpa};
}

static int plan(const struct region_table *table, uint32_t slot, struct region_range wanted)
{
	return region_plan(table, slot, &wanted);
}

TEST(create_and_delete)
{
	struct region_table table = {0};

	CHECK_EQ(plan(&table, 3, range(MIB, MIB)), REGION_CREATE);
	CHECK_EQ(plan(&table, 3, range(0, 0)), -EINVAL);
	table.slot[3] = range(MIB, MIB);
	CHECK_EQ(plan(&table, 3, range(0, 0)), REGION_DELETE);
	CHECK_EQ(plan(&table, 3, range(MIB, MIB)), REGION_NOTHING);
}

TEST(malformed)
{
	struct region_table table = {0};
	struct region_range odd_address = range(MIB, MIB);

	odd_address.uaddr++;
	CHECK_EQ(plan(&table, 0, odd_address), -EINVAL);
	CHECK_EQ(plan(&table, 0, range(MIB + 1, MIB)), -EINVAL);
	CHECK_EQ(plan(&table, 0, range(MIB, MIB + 1)), -EINVAL);
	CHECK_EQ(plan(&table, REGION_SLOTS, range(MIB, MIB)), -EINVAL);
	CHECK_EQ(plan(&table, 0, range(REGION_GPA_LIMIT - MIB, MIB)), REGION_CREATE);
	CHECK_EQ(plan(&table, 0, range(REGION_GPA_LIMIT - MIB, MIB + 4096)), -EINVAL);
	CHECK_EQ(plan(&table, 0, range(0 - 4096ull, 8192)), -EINVAL);
	CHECK_EQ(plan(&table, 0, range(4096, 0 - 4096ull)), -EINVAL);
}

TEST(overlap)
{
	struct region_table table = {.slot[0] = range(4 * MIB, 4 * MIB)};

	CHECK_EQ(plan(&table, 1, range(4 * MIB - 4096, 4096)), REGION_CREATE);
	CHECK_EQ(plan(&table, 1, range(4 * MIB - 4096, 8192)), -EEXIST);
	CHECK_EQ(plan(&table, 1, range(8 * MIB - 4096, 4096)), -EEXIST);
	CHECK_EQ(plan(&table, 1, range(8 * MIB, 4096)), REGION_CREATE);
	CHECK_EQ(plan(&table, 1, range(0, 64 * MIB)), -EEXIST);
}

TEST(move_may_overlap_itself_but_nothing_else_changes)
{
	struct region_table table = {.slot[0] = range(4 * MIB, 4 * MIB)};
	struct region_range moved = table.slot[0];

	moved.gpa += 4096;
	CHECK_EQ(plan(&table, 0, moved), REGION_MOVE);
	moved.readonly = true;
	CHECK_EQ(plan(&table, 0, moved), -EINVAL);
	moved = table.slot[0];
	moved.bytes -= 4096;
	CHECK_EQ(plan(&table, 0, moved), -EINVAL);
	moved = table.slot[0];
	moved.uaddr += 4096;
	CHECK_EQ(plan(&table, 0, moved), -EINVAL);
}

TEST(find)
{
	struct region_table table = {.slot[0] = range(4 * MIB, 4 * MIB),
				     .slot[REGION_SLOTS - 1] = range(0, 4096),
				     .used = REGION_SLOTS};

	CHECK_EQ(region_find(&table, 0), REGION_SLOTS - 1);
	CHECK_EQ(region_find(&table, 4096), -1);
	CHECK_EQ(region_find(&table, 8 * MIB - 1), 0);
	CHECK_EQ(region_find(&table, 8 * MIB), -1);
	CHECK_EQ(region_find(&table, ~0ull), -1);
}

TEST(a_region_is_found_wherever_its_slot_is)
{
	struct region_table table = {0};
	struct region_range last = range(0, 4096), first = range(MIB, MIB), gone = {0};

	CHECK_EQ(region_find(&table, 0), -1);
	region_set(&table, REGION_SLOTS - 1, &last);
	region_set(&table, 0, &first);
	CHECK_EQ(region_find(&table, 0), REGION_SLOTS - 1);
	CHECK_EQ(region_find(&table, MIB), 0);
	region_set(&table, REGION_SLOTS - 1, &gone);
	CHECK_EQ(region_find(&table, 0), -1);
}

TEST(logging_begins_and_ends_in_place)
{
	struct region_table table = {.slot[0] = range(MIB, MIB)};
	struct region_range wanted = range(MIB, MIB), moved = range(4 * MIB, MIB);

	wanted.logged = true;
	CHECK_EQ(plan(&table, 0, wanted), REGION_LOG);
	table.slot[0].logged = true;
	CHECK_EQ(plan(&table, 0, wanted), REGION_NOTHING);
	CHECK_EQ(plan(&table, 0, range(MIB, MIB)), REGION_LOG);
	moved.uaddr = wanted.uaddr;
	CHECK_EQ(plan(&table, 0, moved), REGION_MOVE);
	wanted.readonly = true;
	CHECK_EQ(plan(&table, 0, wanted), -EINVAL);
}
