// SPDX-License-Identifier: MIT
/*
 * MTRR arithmetic (see mtrr.h): one address is decoded at a time, together with the next address at
 * which anything could change; neighbours of one type are then joined.
 */
#include <x86/mtrr.h>

#define DEF_TYPE_FIXED	BIT64(10)
#define DEF_TYPE_ENABLE BIT64(11)
#define MASK_VALID	BIT64(11)
#define FIXED_END	MIB
#define FIRST_FIXED	0x250u

static bool type_valid(uint64_t type)
{
	return type <= MEMORY_WB && type != 2 && type != 3;
}

/** Bits @shift.. of a register hold a type; a reserved one is as good as uncacheable. */
static enum memory_type type_of(uint64_t reg, unsigned int shift)
{
	uint64_t type = reg >> shift & 0xff;

	return type_valid(type) ? (enum memory_type)type : MEMORY_UC;
}

/** Below 1 MiB: 8 ranges of 64 KiB in one register, 16 of 16 KiB in two, 64 of 4 KiB in eight. */
static enum memory_type fixed_type(const struct mtrr_map *m, uint64_t pa, uint64_t *end)
{
	unsigned int shift = pa < 0x80000 ? 16 : pa < 0xc0000 ? 14 : 12;
	uint64_t base = pa < 0x80000 ? 0 : pa < 0xc0000 ? 0x80000 : 0xc0000;
	uint64_t reg = pa < 0x80000 ? 0 : pa < 0xc0000 ? 1 : 3;
	uint64_t index = (pa - base) >> shift;

	*end = base + ((index + 1) << shift);
	return type_of(m->fixed[reg + index / 8], (unsigned int)(index % 8) * 8);
}

/** SDM 3A: UC wins, WT wins over WB, equals agree; the rest is undefined. */
static enum memory_type combine(enum memory_type a, enum memory_type b)
{
	if (a == b)
		return a;
	if ((a == MEMORY_WT && b == MEMORY_WB) || (a == MEMORY_WB && b == MEMORY_WT))
		return MEMORY_WT;
	return MEMORY_UC;
}

static enum memory_type variable_type(const struct mtrr_map *m, uint64_t pa, uint64_t *end)
{
	enum memory_type type = MEMORY_UC;
	bool hit = false;

	for (unsigned int i = 0; i < m->variables && i < MTRR_VARIABLE; i++) {
		uint64_t address = MASK64(m->physical_bits - 1, PAGE_SHIFT);
		uint64_t mask = m->mask[i] & address, base = m->base[i] & mask, step;
		bool in;

		if (!(m->mask[i] & MASK_VALID) || !mask)
			continue;
		in = (pa & mask) == base;
		step = mask & (~mask + 1);
		if (mask == (address & ~(step - 1))) /* the usual mask: one range */
			*end = min_u64(*end, in ? base + step : pa < base ? base : UINT64_MAX);
		else /* several ranges: nothing changes before the mask's lowest bit does */
			*end = min_u64(*end, align_down(pa, step) + step);
		if (!in)
			continue;
		type = hit ? combine(type, type_of(m->base[i], 0)) : type_of(m->base[i], 0);
		hit = true;
	}
	return hit ? type : type_of(m->def_type, 0);
}

static enum memory_type type_at(const struct mtrr_map *m, uint64_t pa, uint64_t *end)
{
	*end = UINT64_MAX;
	if (!(m->def_type & DEF_TYPE_ENABLE))
		return MEMORY_UC;
	if (pa < FIXED_END && (m->def_type & DEF_TYPE_FIXED))
		return fixed_type(m, pa, end);
	return variable_type(m, pa, end);
}

enum memory_type mtrr_type(const struct mtrr_map *m, uint64_t pa, uint64_t limit, uint64_t *end)
{
	enum memory_type type = type_at(m, pa, end);
	uint64_t next;

	while (*end < limit && type_at(m, *end, &next) == type)
		*end = next;
	*end = min_u64(*end, limit);
	return type;
}

uint64_t *mtrr_register(struct mtrr_map *m, uint32_t msr)
{
	static const uint32_t fixed[MTRR_FIXED] = {FIRST_FIXED, 0x258, 0x259, 0x268, 0x269, 0x26a,
						   0x26b,	0x26c, 0x26d, 0x26e, 0x26f};

	if (msr == MSR_MTRR_DEF_TYPE)
		return &m->def_type;
	for (unsigned int i = 0; i < MTRR_FIXED; i++)
		if (fixed[i] == msr)
			return &m->fixed[i];
	if (msr < 0x200 || msr >= 0x200 + 2 * m->variables)
		return NULL;
	return msr & 1 ? &m->mask[(msr - 0x200) / 2] : &m->base[(msr - 0x200) / 2];
}

bool mtrr_valid(const struct mtrr_map *m, uint32_t msr, uint64_t value)
{
	uint64_t rest = MASK64(m->physical_bits - 1, PAGE_SHIFT); /* besides types */
	unsigned int types = 1;

	if (msr == MSR_MTRR_DEF_TYPE) {
		rest = DEF_TYPE_FIXED | DEF_TYPE_ENABLE;
	} else if (msr >= FIRST_FIXED) {
		types = 8;
	} else if (msr & 1) {
		rest |= MASK_VALID;
		types = 0;
	}
	if (types < 8)
		value &= ~rest;
	for (; types; types--, value >>= 8)
		if (!type_valid(value & 0xff))
			return false;
	return !value;
}
