// SPDX-License-Identifier: MIT
// sources: vmm/split.c
/*
 * Dividing memory between control domain, pool and hypervisor: whatever the map, every byte of RAM
 * has exactly one owner, and Linux is told of all that is not its own.
 */
#include "test.h"
#include <split.h>

static struct memory_split s;

static struct mem_range range(uint64_t base, uint64_t end, enum mem_type type)
{
	return (struct mem_range){HPA(base), end - base, type};
}

/* What Linux is told about @pa, -1: nothing. */
static int told(uint64_t pa)
{
	int type = -1;

	for (unsigned int i = 0; i < s.ranges; i++)
		if (pa >= s.map[i].base.v && pa < s.map[i].base.v + s.map[i].bytes) {
			CHECK_EQ(type, -1); /* never twice */
			type = s.map[i].type;
		}
	return type;
}

static bool in_pool(uint64_t pa)
{
	for (unsigned int i = 0; i < s.pools; i++)
		if (pa >= s.pool[i].base.v && pa < s.pool[i].base.v + s.pool[i].bytes)
			return true;
	return false;
}

TEST(default_for_the_control_domain)
{
	CHECK_EQ(split_default_control(GIB), GIB / 2);
	CHECK_EQ(split_default_control(2 * GIB), GIB + 64 * MIB);
	CHECK_EQ(split_default_control(64 * GIB), 3 * GIB);
	CHECK_EQ(split_default_control(512 * GIB), 4 * GIB);
}

TEST(every_page_has_one_owner)
{
	const struct mem_range map[] = {
		range(0, 0x9f000, MEM_RAM),
		range(0x9f000, 0x100000, MEM_RESERVED),
		range(0x100000, 0x3ff12000, MEM_RAM),
		range(0x3ff12000, 0x40000000, MEM_ACPI),
		range(4 * GIB, 5 * GIB + 0x123000, MEM_RAM),
	};
	const struct mem_range own[] = {range(0x3fe00000, 0x3fe30000, MEM_RESERVED),
					range(0x3fd33000, 0x3fdff000, MEM_RESERVED)};

	for (uint64_t wanted = 192 * MIB; wanted < 3 * GIB; wanted += 97 * MIB + PAGE_SIZE) {
		uint64_t control = 0, pool = 0;

		CHECK(split_memory(map, ARRAY_SIZE(map), own, ARRAY_SIZE(own), wanted, &s));
		for (unsigned int m = 0; m < ARRAY_SIZE(map); m++)
			for (uint64_t pa = map[m].base.v; pa < map[m].base.v + map[m].bytes;
			     pa += PAGE_SIZE) {
				bool mine = (pa >= 0x3fe00000 && pa < 0x3fe30000) ||
					    (pa >= 0x3fd33000 && pa < 0x3fdff000);

				if (pa & (64 * KIB - 1) && !mine)
					continue; /* every 16th page, and all of ours */
				if (map[m].type != MEM_RAM) {
					CHECK_EQ(told(pa), map[m].type);
					continue;
				}
				CHECK_EQ(told(pa), mine || in_pool(pa) ? MEM_RESERVED : MEM_RAM);
				CHECK(!(mine && in_pool(pa)));
				CHECK(!(in_pool(pa) && pa < 16 * MIB));
			}
		for (unsigned int i = 0; i < s.ranges; i++)
			control += s.map[i].type == MEM_RAM ? s.map[i].bytes : 0;
		for (unsigned int i = 0; i < s.pools; i++) {
			CHECK(is_aligned(s.pool[i].base.v | s.pool[i].bytes, FRAME_SIZE));
			pool += s.pool[i].bytes;
		}
		CHECK_EQ(control, s.control_bytes);
		CHECK_EQ(pool, s.pool_bytes);
		CHECK_EQ(control + pool + 0x30000 + 0xcc000,
			 0x9f000 + (0x3ff12000 - 0x100000) + GIB + 0x123000);
		CHECK(control >= min_u64(wanted, control + pool));
		/* Edges that fill no frame, and no more, come on top: at most one frame at each
		 * cut. */
		CHECK(pool == 0 || control < wanted + 12 * FRAME_SIZE);
	}
}

TEST(too_many_pieces_stay_with_the_control_domain)
{
	static struct mem_range map[BOOT_MAX_RANGES];

	for (unsigned int i = 0; i < SPLIT_MAX_POOL + 2; i++)
		map[i] = range(GIB + i * 8 * MIB, GIB + i * 8 * MIB + 4 * MIB, MEM_RAM);
	CHECK(split_memory(map, SPLIT_MAX_POOL + 2, NULL, 0, 0, &s));
	CHECK_EQ(s.pools, SPLIT_MAX_POOL);
	CHECK_EQ(s.control_bytes, 8 * MIB);
	CHECK(split_memory(map, SPLIT_MAX_POOL, NULL, 0, 0, &s));
	CHECK_EQ(s.control_bytes, 0);
}

TEST(the_first_16_mib_are_never_pool)
{
	const struct mem_range map[] = {range(0, GIB, MEM_RAM)};

	CHECK(split_memory(map, 1, NULL, 0, 0, &s));
	CHECK_EQ(s.control_bytes, 16 * MIB);
	CHECK_EQ(s.pool[0].base.v, 16 * MIB);
}

TEST(control_ram_beside_the_hypervisor)
{
	struct memory_split s = {.map = {{HPA(0), 0x9f000, MEM_RAM},
					 {HPA(0x100000), 0x1f00000, MEM_RAM},
					 {HPA(0x2000000), 0x1000, MEM_RESERVED},
					 {HPA(0x2001000), 0x1000, MEM_RAM}},
				 .ranges = 4};

	CHECK(split_is_control(&s, 0x100000, 0x1f00000));
	CHECK(split_is_control(&s, 0x2001000, 0x1000)); /* in a frame that is partly ours */
	CHECK(!split_is_control(&s, 0x1fff000, 0x2000));
	CHECK(!split_is_control(&s, 0x2000000, 0x1000));
	CHECK(!split_is_control(&s, 0x9f000, 0x1000));
	CHECK(!split_is_control(&s, 0x2001000, ~UINT64_C(0)));
}
