// SPDX-License-Identifier: MIT
// sources: vmm/memmap.c
/*
 * Cleaning and placing in memory maps. The cleaned map is compared, address by address, with a
 * model that asks every range.
 */
#include "test.h"
#include <memmap.h>

#define R(base, end, type)                                                                         \
	{                                                                                          \
		{(base)}, (end) - (base), (type)                                                   \
	}

TEST(sorts_and_merges)
{
	struct mem_range m[BOOT_MAX_RANGES] = {R(0x3000, 0x4000, MEM_RAM), R(0, 0x1000, MEM_RAM),
					       R(0x1000, 0x3000, MEM_RAM), R(0x5000, 0x6000, 20)};

	CHECK_EQ(memmap_clean(m, 4, BOOT_MAX_RANGES), 2);
	CHECK_EQ(m[0].base.v, 0);
	CHECK_EQ(m[0].bytes, 0x4000);
	CHECK_EQ(m[1].type, MEM_RESERVED);
}

TEST(the_more_restrictive_type_wins)
{
	struct mem_range m[BOOT_MAX_RANGES] = {
		R(0, 0x10000, MEM_RAM),
		R(0x4000, 0x6000, MEM_RESERVED),
		R(0x5000, 0x8000, MEM_ACPI),
		R(0x5800, 0x5900, MEM_BAD),
	};

	CHECK_EQ(memmap_clean(m, 4, BOOT_MAX_RANGES), 6);
	CHECK_EQ(m[1].base.v, 0x4000);
	CHECK_EQ(m[1].type, MEM_RESERVED);
	CHECK_EQ(m[2].type, MEM_BAD);
	CHECK_EQ(m[3].type, MEM_RESERVED);
	CHECK_EQ(m[4].type, MEM_ACPI);
	CHECK_EQ(m[5].base.v, 0x8000);
	CHECK_EQ(memmap_ram_bytes(m, 6), 0xc000);
	CHECK_EQ(memmap_ram_top(m, 6), 0x10000);
}

TEST(nonsense_ranges)
{
	struct mem_range m[BOOT_MAX_RANGES] = {
		{{0x1000}, UINT64_MAX, MEM_RAM},
		{{UINT64_MAX}, 5, MEM_RAM},
		{{0x500}, 0, MEM_RAM},
		{{0}, 0x1000, (enum mem_type)0},
		{{UINT64_MAX - 4}, UINT64_MAX, MEM_BAD},
	};

	CHECK_EQ(memmap_clean(m, 5, BOOT_MAX_RANGES), 2);
	CHECK_EQ(m[0].type, MEM_RESERVED);
	CHECK_EQ(m[1].base.v + m[1].bytes, UINT64_C(1) << 52);
}

TEST(too_fragmented)
{
	struct mem_range m[8];

	for (unsigned int i = 0; i < 8; i++)
		m[i] = (struct mem_range)R(i * 0x2000, i * 0x2000 + 0x1000, MEM_RAM);
	CHECK_EQ(memmap_clean(m, 8, 7), 0);
	CHECK_EQ(memmap_clean(m, 8, 8), 8);
}

static int rank(enum mem_type t)
{
	static const enum mem_type order[] = {MEM_RAM, MEM_FIRMWARE, MEM_ACPI,
					      MEM_NVS, MEM_RESERVED, MEM_BAD};

	for (int i = 0; i < 6; i++) {
		if (order[i] == t)
			return i + 1;
	}
	return 0;
}

static int rank_at(const struct mem_range *m, unsigned int n, uint64_t pa)
{
	int best = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (pa >= m[i].base.v && pa < m[i].base.v + m[i].bytes && rank(m[i].type) > best)
			best = rank(m[i].type);
	}
	return best;
}

TEST(random_maps_against_a_model)
{
	srand(1);
	for (int round = 0; round < 300; round++) {
		struct mem_range m[BOOT_MAX_RANGES], given[12];
		unsigned int n = 1 + (unsigned int)rand() % 12, cleaned;

		for (unsigned int i = 0; i < n; i++)
			m[i] = given[i] = (struct mem_range){{(uint64_t)rand() % 60},
							     (uint64_t)rand() % 20,
							     (enum mem_type)(1 + rand() % 6)};
		cleaned = memmap_clean(m, n, BOOT_MAX_RANGES);
		for (uint64_t pa = 0; pa < 90; pa++)
			CHECK_EQ(rank_at(m, cleaned, pa), rank_at(given, n, pa));
		for (unsigned int i = 1; i < cleaned; i++) {
			uint64_t end = m[i - 1].base.v + m[i - 1].bytes;

			CHECK(m[i].base.v > end ||
			      (m[i].base.v == end && m[i].type != m[i - 1].type));
		}
	}
}

static const struct mem_range machine[] = {
	R(0, 0x9f000, MEM_RAM),
	R(0x100000, 0x40000000, MEM_RAM),
	R(0x100000000, 0x200000000, MEM_RAM),
};

static uint64_t place(const struct mem_range *avoid, unsigned int n, uint64_t bytes, uint64_t high)
{
	return memmap_place(machine, 3, avoid, n, bytes, PAGE_SIZE, 1 * MIB, high);
}

TEST(places_at_the_top)
{
	CHECK_EQ(place(NULL, 0, 0x10000, 4 * GIB), 0x40000000 - 0x10000);
	CHECK_EQ(place(NULL, 0, 0x10001, 4 * GIB), 0x40000000 - 0x11000);
	CHECK_EQ(place(NULL, 0, 0x10000, 16 * GIB), 0x200000000 - 0x10000);
	CHECK_EQ(place(NULL, 0, 0x10000, 0x30000000), 0x30000000 - 0x10000);
	CHECK_EQ(place(NULL, 0, 0x3ff00000, 4 * GIB), 0x100000);
	CHECK_EQ(place(NULL, 0, 0x3ff00001, 4 * GIB), 0);
}

TEST(places_around_what_is_there)
{
	struct mem_range avoid[] = {R(0x3fff0000, 0x40000000, 0), R(0x3ffd0000, 0x3ffe8000, 0)};

	CHECK_EQ(place(avoid, 2, 0x8000, 4 * GIB), 0x3ffe8000);
	CHECK_EQ(place(avoid, 2, 0x9000, 4 * GIB), 0x3ffd0000 - 0x9000);
	avoid[0] = (struct mem_range)R(0x100000, 0x40000000, 0);
	CHECK_EQ(place(avoid, 1, 0x1000, 4 * GIB), 0);
	avoid[0].bytes = 0;
	CHECK_EQ(place(avoid, 1, 0x1000, 4 * GIB), 0x3ffff000);
}

TEST(quiet_memory_is_below_the_top)
{
	CHECK_EQ(memmap_quiet_top(machine, 3, 4 * GIB), 0x30000000);
	CHECK_EQ(memmap_quiet_top(machine, 1, 4 * GIB), 4 * GIB);
}
