// SPDX-License-Identifier: MIT
// sources: arch/x86/mtrr.c
/*
 * MTRR arithmetic: vectors from the SDM's rules, and a reference that decodes every page alone.
 */
#include "test.h"

#include <x86/mtrr.h>

#define ENABLE	   0xc00u
#define VALID	   0x800u
#define MASK36(sz) ((~(uint64_t)((sz)-1) & MASK64(35, 12)) | VALID)

static struct mtrr_map pc(void)
{
	/* 4 GiB RAM with a 1 GiB device hole below 4 GiB, as firmware writes it: WB for all, UC on
	 * top */
	return (struct mtrr_map){
		.def_type = ENABLE | MEMORY_UC,
		.fixed = {0x0606060606060606, 0x0606060606060606, 0, 0x0505050505050505},
		.base = {0 | MEMORY_WB, 0xc0000000 | MEMORY_UC, 0x100000000 | MEMORY_WB},
		.mask = {MASK36(4 * GIB), MASK36(GIB), MASK36(GIB)},
		.variables = 3,
		.physical_bits = 36,
	};
}

static void expect(const struct mtrr_map *m, uint64_t pa, enum memory_type type, uint64_t end)
{
	uint64_t at;

	CHECK_EQ(mtrr_type(m, pa, 64 * GIB, &at), type);
	CHECK_EQ(at, end);
}

TEST(firmware_layout)
{
	struct mtrr_map m = pc();

	expect(&m, 0, MEMORY_WB, 0xa0000);
	expect(&m, 0x9f000, MEMORY_WB, 0xa0000);
	expect(&m, 0xa0000, MEMORY_UC, 0xc0000);
	expect(&m, 0xc0000, MEMORY_WP, 0xc8000);
	expect(&m, 0xc8000, MEMORY_UC, MIB);
	expect(&m, MIB, MEMORY_WB, 3 * GIB);
	expect(&m, 3 * GIB, MEMORY_UC, 4 * GIB);
	expect(&m, 4 * GIB, MEMORY_WB, 5 * GIB);
	expect(&m, 5 * GIB, MEMORY_UC, 64 * GIB);
}

TEST(enables)
{
	struct mtrr_map m = pc();

	m.def_type = MEMORY_WB; /* E clear: the default type does not count either */
	expect(&m, 0, MEMORY_UC, 64 * GIB);
	m.def_type = 0x800 | MEMORY_WC; /* fixed ranges off */
	expect(&m, 0xa0000, MEMORY_WB, 3 * GIB);
	expect(&m, 5 * GIB, MEMORY_WC, 64 * GIB);
	m.mask[1] &= ~(uint64_t)VALID;
	expect(&m, 0, MEMORY_WB, 5 * GIB); /* two ranges of one type are one run */
}

TEST(precedence)
{
	static const struct {
		enum memory_type a, b, both;
	} rows[] = {
		{MEMORY_WB, MEMORY_UC, MEMORY_UC}, {MEMORY_UC, MEMORY_WC, MEMORY_UC},
		{MEMORY_WT, MEMORY_WB, MEMORY_WT}, {MEMORY_WB, MEMORY_WT, MEMORY_WT},
		{MEMORY_WB, MEMORY_WB, MEMORY_WB}, {MEMORY_WC, MEMORY_WB, MEMORY_UC},
		{MEMORY_WP, MEMORY_WP, MEMORY_WP}, {2, MEMORY_WB, MEMORY_UC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mtrr_map m = {
			.def_type = 0x800 | MEMORY_WB, .variables = 2, .physical_bits = 36};

		m.base[0] = GIB | rows[i].a;
		m.base[1] = GIB | rows[i].b;
		m.mask[0] = m.mask[1] = MASK36(MIB);
		uint64_t end;

		CHECK_EQ(mtrr_type(&m, GIB + 0x5000, 2 * GIB, &end), rows[i].both);
	}
}

TEST(a_mask_with_gaps_is_several_ranges)
{
	struct mtrr_map m = {.def_type = 0x800 | MEMORY_UC, .variables = 1, .physical_bits = 36};

	m.base[0] = MEMORY_WB; /* every even MiB of the first 16 */
	m.mask[0] = MASK36(16 * MIB) | MIB;
	expect(&m, 0, MEMORY_WB, MIB);
	expect(&m, MIB, MEMORY_UC, 2 * MIB);
	expect(&m, 14 * MIB + 5 * KIB, MEMORY_WB, 15 * MIB);
}

/* Page by page, from the text of the SDM. */
static enum memory_type reference(const struct mtrr_map *m, uint64_t pa)
{
	bool seen[8] = {0}, any = false;

	if (pa < MIB) {
		static const unsigned int kib[MTRR_FIXED] = {64, 16, 16, 4, 4, 4, 4, 4, 4, 4, 4};
		uint64_t at = 0;

		for (unsigned int r = 0; r < MTRR_FIXED; r++)
			for (unsigned int b = 0; b < 8; b++, at += kib[r] * KIB)
				if (pa - at < kib[r] * KIB)
					return (enum memory_type)(m->fixed[r] >> (8 * b) & 0xff);
	}
	for (unsigned int i = 0; i < m->variables; i++) {
		uint64_t mask = m->mask[i] & MASK64(35, 12);

		if ((m->mask[i] & VALID) && mask && (pa & mask) == (m->base[i] & mask))
			seen[m->base[i] & 7] = any = true;
	}
	if (!any)
		return (enum memory_type)(m->def_type & 0xff);
	for (unsigned int t = 0; t < 8; t++) {
		bool alone = seen[t];

		for (unsigned int o = 0; o < 8; o++)
			alone = alone && (o == t || !seen[o]);
		if (alone)
			return t;
	}
	if (seen[MEMORY_WT] && seen[MEMORY_WB] && !seen[0] && !seen[1] && !seen[5])
		return MEMORY_WT;
	return MEMORY_UC;
}

TEST(random_registers_against_the_reference)
{
	static const enum memory_type types[] = {0, 1, 4, 5, 6, 6, 6};

	srand(7);
	for (unsigned int round = 0; round < 200; round++) {
		struct mtrr_map m = {.def_type = ENABLE, .variables = 4, .physical_bits = 36};
		uint64_t limit = 4 * MIB, end;

		m.def_type |= types[rand() % 7];
		for (unsigned int i = 0; i < MTRR_FIXED; i++)
			for (unsigned int b = 0; b < 8; b++)
				m.fixed[i] |= (uint64_t)types[rand() % 7] << (8 * b);
		for (unsigned int i = 0; i < 4; i++) {
			uint64_t size = (64 * KIB) << rand() % 6;

			m.base[i] = ((uint64_t)rand() % 64 * 64 * KIB & ~(size - 1)) |
				    types[rand() % 7];
			m.mask[i] = MASK36(size) & ~(rand() % 4 ? 0u : (uint64_t)VALID);
			if (rand() % 4 == 0)
				m.mask[i] &= ~(size << rand() % 3); /* a gap in the mask */
		}
		for (uint64_t pa = 0; pa < limit; pa = end) {
			enum memory_type type = mtrr_type(&m, pa, limit, &end);

			CHECK(end > pa && end <= limit);
			for (uint64_t p = pa; p < end; p += PAGE_SIZE)
				CHECK_EQ(type, reference(&m, p));
			if (end < limit)
				CHECK(reference(&m, end) != type);
		}
	}
}

TEST(registers_by_number)
{
	struct mtrr_map m = {.variables = 8, .physical_bits = 36};

	CHECK(mtrr_register(&m, 0x2ff) == &m.def_type);
	CHECK(mtrr_register(&m, 0x200) == &m.base[0]);
	CHECK(mtrr_register(&m, 0x20f) == &m.mask[7]);
	CHECK(mtrr_register(&m, 0x250) == &m.fixed[0]);
	CHECK(mtrr_register(&m, 0x259) == &m.fixed[2]);
	CHECK(mtrr_register(&m, 0x26f) == &m.fixed[10]);
	for (uint32_t msr = 0x1f0; msr < 0x310; msr++) /* PAT, 277H, is none of them */
		CHECK_EQ(!!mtrr_register(&m, msr),
			 (msr >= 0x200 && msr < 0x210) || msr == 0x250 || msr == 0x258 ||
				 msr == 0x259 || (msr >= 0x268 && msr < 0x270) || msr == 0x2ff);
}

TEST(values_that_fault)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
		bool valid;
	} rows[] = {
		{0x2ff, 0xc06, true},
		{0x2ff, 0xc02, false},
		{0x2ff, 0x1006, false},
		{0x2ff, BIT64(32), false},
		{0x250, 0x0001040506060606, true},
		{0x26f, 0x0001040506060206, false},
		{0x26f, UINT64_C(3) << 56, false},
		{0x200, 0xfee00000, true},
		{0x200, 0xfee00006, true},
		{0x200, 0xfee00007, false},
		{0x200, 0xfee00106, false},
		{0x202, BIT64(36), false},
		{0x201, 0xfffffff800, false},
		{0x201, 0xffffff800, true},
		{0x201, 0xffffff801, false},
		{0x201, 0, true},
	};
	struct mtrr_map m = {.variables = 8, .physical_bits = 36};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (mtrr_valid(&m, rows[i].msr, rows[i].value) != rows[i].valid)
			test_fail(__FILE__, __LINE__, "%#x = %#" PRIx64, rows[i].msr,
				  rows[i].value);
}
