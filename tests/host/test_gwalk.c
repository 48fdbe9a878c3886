// SPDX-License-Identifier: MIT
// sources: control-domain/driver/gwalk.c
// flags: -Icontrol-domain/driver
/*
 * The guest page walker: where addresses lead in every format and page size; every combination of
 * rights against the manual's list of what is permitted; every bit of every entry against the
 * manual's tables of reserved bits; accessed and dirty bits, also when the guest interferes.
 */
#include "gwalk.h"
#include "test.h"

enum {
	RAM = 0x10000,
	P = 1,
	RW = 2,
	US = 4,
	A = 0x20,
	D = 0x40,
	PS = 0x80,
	ERR_P = 1,
	ERR_W = 2,
	ERR_U = 4,
	ERR_RSVD = 8,
	ERR_I = 16,
	ERR_PK = 32,
};

#define NX	 (1ull << 63)
#define CR0_BASE 0x80000001ull
#define CR0_WP	 0x10000ull
#define CR4_PSE	 0x10ull
#define CR4_PAE	 0x20ull
#define CR4_LA57 0x1000ull
#define CR4_SMEP 0x100000ull
#define CR4_SMAP 0x200000ull
#define CR4_PKE	 0x400000ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull

enum format { BITS_32, PAE, LEVELS_4, LEVELS_5 };

struct guest {
	struct gwalk_cpu cpu;
	uint32_t pkru;
	uint8_t ram[RAM];
	uint64_t read_only; /* table that cannot be written */
	uint64_t change_to; /* what another CPU stores into an entry before our update, if not 0 */
	int changes;	    /* how often it does */
	bool restless;	    /* it flips a bit for software before each update */
	int reads, updates;
};

static bool guest_read(void *context, uint64_t gpa, uint64_t *entry, unsigned int bytes)
{
	struct guest *g = context;

	CHECK_EQ(gpa % bytes, 0);
	g->reads++;
	if (gpa >= RAM)
		return false;
	memcpy(entry, g->ram + gpa, bytes);
	return true;
}

static enum gwalk_update guest_update(void *context, uint64_t gpa, uint64_t old_entry,
				      uint64_t new_entry, unsigned int bytes)
{
	struct guest *g = context;

	CHECK_EQ(gpa % bytes, 0);
	CHECK(gpa < RAM);
	if (g->read_only && gpa / 4096 == g->read_only / 4096)
		return GWALK_READ_ONLY;
	if (g->changes) {
		g->changes--;
		memcpy(g->ram + gpa, &g->change_to, bytes);
	}
	if (g->restless)
		g->ram[gpa + 1] ^= 2;
	if (memcmp(g->ram + gpa, &old_entry, bytes))
		return GWALK_DIFFERENT;
	memcpy(g->ram + gpa, &new_entry, bytes);
	g->updates++;
	return GWALK_UPDATED;
}

static uint32_t guest_pkru(void *context)
{
	struct guest *g = context;

	return g->pkru;
}

static const struct gwalk_ops guest_ops = {guest_read, guest_update, guest_pkru};

static const unsigned int levels_of[] = {2, 2, 4, 5};

static void guest_init(struct guest *g, enum format format)
{
	memset(g, 0, sizeof(*g));
	g->cpu.cr0 = CR0_BASE;
	g->cpu.cr3 = 0x1000;
	g->cpu.physical_bits = 46;
	g->cpu.gigabyte_pages = true;
	if (format == BITS_32)
		g->cpu.cr4 = CR4_PSE;
	else
		g->cpu.cr4 = CR4_PAE;
	if (format == PAE)
		g->cpu.pdpte[3] = 0x1000 | P;
	if (format >= LEVELS_4)
		g->cpu.efer = EFER_LMA;
	if (format == LEVELS_5)
		g->cpu.cr4 |= CR4_LA57;
}

/* The table of level n lies at (levels - n + 1) pages, the root at one page. */
static uint64_t entry_gpa(enum format format, unsigned int level, uint64_t linear)
{
	unsigned int index_bits = format == BITS_32 ? 10 : 9;
	uint64_t index = linear >> (12 + index_bits * (level - 1)) & ((1 << index_bits) - 1);

	return (levels_of[format] - level + 1) * 0x1000 + index * (format == BITS_32 ? 4 : 8);
}

static uint64_t get_entry(const struct guest *g, enum format format, unsigned int level,
			  uint64_t linear)
{
	uint64_t entry = 0;

	memcpy(&entry, g->ram + entry_gpa(format, level, linear), format == BITS_32 ? 4 : 8);
	return entry;
}

static void set_entry(struct guest *g, enum format format, unsigned int level, uint64_t linear,
		      uint64_t entry)
{
	memcpy(g->ram + entry_gpa(format, level, linear), &entry, format == BITS_32 ? 4 : 8);
}

/* Maps with all rights: tables down to the level of the leaf, which is given. */
static void map(struct guest *g, enum format format, unsigned int leaf_level, uint64_t linear,
		uint64_t leaf)
{
	for (unsigned int level = levels_of[format]; level > leaf_level; level--)
		set_entry(g, format, level, linear,
			  (levels_of[format] - level + 2) * 0x1000 | P | RW | US);
	set_entry(g, format, leaf_level, linear, leaf);
}

static enum gwalk_result walk(struct guest *g, uint64_t linear, unsigned int access, uint64_t *gpa,
			      uint32_t *error)
{
	struct guest_fault fault = {0};
	enum gwalk_result result = gwalk(&g->cpu, &guest_ops, g, linear, access, gpa, &fault);

	*error = fault.error;
	if (result == GWALK_FAULT) {
		CHECK_EQ(fault.vector, VECTOR_PF);
		CHECK(fault.has_error);
		CHECK_EQ(fault.cr2, linear);
	}
	return result;
}

static void check_maps(struct guest *g, uint64_t linear, uint64_t expected)
{
	uint64_t gpa = 0;
	uint32_t error;

	CHECK_EQ(walk(g, linear, GWALK_READ, &gpa, &error), GWALK_OK);
	CHECK_EQ(gpa, expected);
}

static void check_faults(struct guest *g, uint64_t linear, unsigned int access, uint32_t expected)
{
	uint64_t gpa;
	uint32_t error;
	int updates = g->updates;

	CHECK_EQ(walk(g, linear, access, &gpa, &error), GWALK_FAULT);
	CHECK_EQ(error, expected);
	CHECK_EQ(g->updates, updates);
}

TEST(addresses)
{
	static const struct {
		enum format format;
		unsigned int leaf_level;
		uint64_t linear, leaf, gpa;
	} v[] = {
		{BITS_32, 1, 0xc0123456, 0xabcde000 | P, 0xabcde456},
		{BITS_32, 2, 0xc0123456, 0xab800000 | P | PS, 0xab923456},
		/* PSE-36: bits 20:13 are the address's 39:32 */
		{BITS_32, 2, 0xffc00fff, 0x001fe000 | P | PS, 0xff00000fff},
		{PAE, 1, 0xc0123456, 0x3fffabcde000 | P, 0x3fffabcde456},
		{PAE, 2, 0xffe23456, 0x3fffabc00000 | P | PS, 0x3fffabc23456},
		{LEVELS_4, 1, 0xffff888012345678, 0x3fffabcde000 | P, 0x3fffabcde678},
		{LEVELS_4, 2, 0x00007fffffffffff, 0x3fffabc00000 | P | PS, 0x3fffabdfffff},
		{LEVELS_4, 3, 0xffffffff80000123, 0x3fffc0000000 | P | PS, 0x3fffc0000123},
		/* bit 12 of a large page is its PAT bit; 62:52 are for keys and software */
		{LEVELS_4, 3, 0x7fffffff, 0x7ff0000040001000 | P | PS, 0x7fffffff},
		{LEVELS_5, 1, 0xff11000012345678, 0x3fffabcde000 | P, 0x3fffabcde678},
		{LEVELS_5, 3, 0x00f0000000000001, 0x3fff80000000 | P | PS, 0x3fff80000001},
	};

	for (unsigned int i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct guest g;

		guest_init(&g, v[i].format);
		map(&g, v[i].format, v[i].leaf_level, v[i].linear, v[i].leaf);
		check_maps(&g, v[i].linear, v[i].gpa);
		CHECK_EQ(g.reads, levels_of[v[i].format] - v[i].leaf_level + 1);
	}
}

TEST(no_paging)
{
	struct guest g;

	guest_init(&g, BITS_32);
	g.cpu.cr0 = 1;
	check_maps(&g, 0x123456789, 0x23456789);
	CHECK_EQ(g.reads, 0);
}

TEST(root_ignores_flags_and_pcid)
{
	struct guest g;

	guest_init(&g, LEVELS_4);
	g.cpu.cr3 |= 0xfff;
	map(&g, LEVELS_4, 1, 0x1000, 0x5000 | P);
	check_maps(&g, 0x1000, 0x5000);
}

TEST(not_present_at_any_level)
{
	for (int format = BITS_32; format <= LEVELS_5; format++) {
		const uint64_t linear = 0xc0123456;
		struct guest g;

		for (unsigned int level = 1; level <= levels_of[format]; level++) {
			guest_init(&g, format);
			map(&g, format, 1, linear, 0x9000 | P | RW | US);
			set_entry(&g, format, level, linear,
				  get_entry(&g, format, level, linear) & ~(uint64_t)P);
			check_faults(&g, linear, GWALK_READ, 0);
			check_faults(&g, linear, GWALK_WRITE, ERR_W);
			g.cpu.cpl = 3;
			check_faults(&g, linear, GWALK_READ, ERR_U);
			check_faults(&g, linear, GWALK_WRITE | GWALK_IMPLICIT, ERR_W);
		}
	}
	struct guest g;

	guest_init(&g, PAE);
	g.cpu.pdpte[3] = 0;
	check_faults(&g, 0xc0000000, GWALK_READ, 0);
	CHECK_EQ(g.reads, 0);
}

TEST(fetches_are_told_apart_only_with_nx_or_smep)
{
	struct guest g;

	guest_init(&g, PAE);
	check_faults(&g, 0xc0000000, GWALK_FETCH, 0);
	g.cpu.cr4 |= CR4_SMEP;
	check_faults(&g, 0xc0000000, GWALK_FETCH, ERR_I);
	g.cpu.cr4 &= ~CR4_SMEP;
	g.cpu.efer |= EFER_NXE;
	check_faults(&g, 0xc0000000, GWALK_FETCH, ERR_I);
	guest_init(&g, BITS_32);
	g.cpu.efer |= EFER_NXE;
	check_faults(&g, 0xc0000000, GWALK_FETCH, 0);
}

/* ---- rights: SDM 3A "Determination of Access Rights", sentence by sentence */

struct rights {
	bool us[2], rw[2], nx[2]; /* of an upper entry and of the leaf */
	bool key_ad, key_wd;
	bool wp, smep, smap, pke, ac;
	bool supervisor, implicit;
	unsigned int access;
};

static bool key_permits(const struct rights *r)
{
	if (!r->pke || !(r->us[0] && r->us[1]))
		return true;
	if (r->access == GWALK_FETCH)
		return true;
	if (r->key_ad)
		return false;
	return r->access != GWALK_WRITE || !r->key_wd || (r->supervisor && !r->wp);
}

static bool manual_permits(const struct rights *r)
{
	bool user_mode_address = r->us[0] && r->us[1];
	bool writable = r->rw[0] && r->rw[1];
	bool no_execute = r->nx[0] || r->nx[1];
	bool may_touch_user_data = !r->smap || (r->ac && !r->implicit);

	if (r->supervisor) {
		switch (r->access) {
		case GWALK_READ:
			return user_mode_address ? may_touch_user_data : true;
		case GWALK_WRITE:
			if (user_mode_address)
				return may_touch_user_data && (!r->wp || writable);
			return !r->wp || writable;
		default:
			if (user_mode_address)
				return !r->smep && !no_execute;
			return !no_execute;
		}
	}
	if (!user_mode_address)
		return false;
	switch (r->access) {
	case GWALK_READ:
		return true;
	case GWALK_WRITE:
		return writable;
	default:
		return !no_execute;
	}
}

/* Bits of n, taken one after the other. */
static bool take(unsigned int *n)
{
	bool bit = *n & 1;

	*n >>= 1;
	return bit;
}

static void check_rights(unsigned int n, unsigned int access)
{
	const uint64_t linear = 0x123456789000;
	const unsigned int key = 5;
	struct rights r = {.access = access};
	uint64_t gpa, flags[2];
	uint32_t error, expected;
	struct guest g;

	for (int i = 0; i < 2; i++) {
		r.us[i] = take(&n);
		r.rw[i] = take(&n);
		r.nx[i] = take(&n);
		flags[i] = P | (r.us[i] ? US : 0) | (r.rw[i] ? RW : 0) | (r.nx[i] ? NX : 0);
	}
	r.key_ad = take(&n), r.key_wd = take(&n);
	r.wp = take(&n), r.smep = take(&n), r.smap = take(&n), r.pke = take(&n), r.ac = take(&n);
	r.supervisor = take(&n);
	r.implicit = r.supervisor && take(&n);

	guest_init(&g, LEVELS_4);
	map(&g, LEVELS_4, 1, linear, 0x9000 | flags[1] | (uint64_t)key << 59);
	set_entry(&g, LEVELS_4, 3, linear, 0x3000 | flags[0]);
	g.cpu.cr0 |= r.wp ? CR0_WP : 0;
	g.cpu.cr4 |= (r.smep ? CR4_SMEP : 0) | (r.smap ? CR4_SMAP : 0) | (r.pke ? CR4_PKE : 0);
	g.cpu.efer |= EFER_NXE;
	g.pkru = ~(3u << (2 * key)) & 0x55555555;
	g.pkru |= (r.key_ad | r.key_wd << 1) << (2 * key);
	g.cpu.ac = r.ac;
	g.cpu.cpl = r.supervisor && !r.implicit ? 0 : 3;

	if (manual_permits(&r) && key_permits(&r)) {
		CHECK_EQ(walk(&g, linear, access | (r.implicit ? GWALK_IMPLICIT : 0), &gpa, &error),
			 GWALK_OK);
		return;
	}
	expected = ERR_P | (access == GWALK_WRITE ? ERR_W : 0) |
		   (access == GWALK_FETCH ? ERR_I : 0) | (r.supervisor ? 0 : ERR_U) |
		   (key_permits(&r) ? 0 : ERR_PK);
	check_faults(&g, linear, access | (r.implicit ? GWALK_IMPLICIT : 0), expected);
}

TEST(every_combination_of_rights)
{
	for (unsigned int n = 0; n < 1 << 15; n++) {
		check_rights(n, GWALK_READ);
		check_rights(n, GWALK_WRITE);
		check_rights(n, GWALK_FETCH);
	}
}

TEST(formats_without_keys_and_nx)
{
	struct guest g;

	/* 32-bit entries have neither; PAE has no keys: there these bits are reserved. */
	guest_init(&g, BITS_32);
	g.cpu.cr4 |= CR4_PKE;
	g.cpu.efer |= EFER_NXE;
	g.pkru = ~0u;
	g.cpu.cpl = 3;
	map(&g, BITS_32, 1, 0xc0000000, 0x9000 | P | US);
	check_maps(&g, 0xc0000000, 0x9000);
	guest_init(&g, PAE);
	g.cpu.cr4 |= CR4_PKE;
	g.pkru = ~0u;
	g.cpu.cpl = 3;
	map(&g, PAE, 1, 0xc0000000, 0x9000 | P | US);
	check_maps(&g, 0xc0000000, 0x9000);
}

/* ---- reserved bits: SDM 3A, the tables "Format of a ... Entry" */

#define RANGE(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

TEST(reserved_bits)
{
	/* physical_bits is 46; "page" entries have PS set where a table could be meant. */
	static const struct {
		enum format format;
		unsigned int level;
		bool page, nxe;
		uint64_t reserved;
	} v[] = {
		{BITS_32, 2, false, false, 0},
		{BITS_32, 2, true, false, RANGE(21, 21)},
		{BITS_32, 1, true, false, 0},
		{PAE, 2, false, true, RANGE(62, 46)},
		{PAE, 2, false, false, RANGE(63, 46)},
		{PAE, 2, true, true, RANGE(62, 46) | RANGE(20, 13)},
		{PAE, 1, true, true, RANGE(62, 46)},
		{LEVELS_5, 5, false, true, RANGE(51, 46) | PS},
		{LEVELS_4, 4, false, true, RANGE(51, 46) | PS},
		{LEVELS_4, 4, false, false, NX | RANGE(51, 46) | PS},
		{LEVELS_4, 3, false, true, RANGE(51, 46)},
		{LEVELS_4, 3, true, true, RANGE(51, 46) | RANGE(29, 13)},
		{LEVELS_4, 2, false, false, NX | RANGE(51, 46)},
		{LEVELS_4, 2, true, true, RANGE(51, 46) | RANGE(20, 13)},
		{LEVELS_4, 1, true, true, RANGE(51, 46)},
		{LEVELS_4, 1, true, false, NX | RANGE(51, 46)},
	};
	const uint64_t linear = 0xc0123456;

	for (unsigned int i = 0; i < sizeof(v) / sizeof(*v); i++) {
		unsigned int bits = v[i].format == BITS_32 ? 32 : 64;
		bool large = v[i].page && v[i].level > 1;

		for (unsigned int bit = 1; bit < bits; bit++) {
			uint64_t entry, flipped = 1ull << bit, gpa;
			enum gwalk_result result;
			struct guest g;
			uint32_t error;

			guest_init(&g, v[i].format);
			g.cpu.efer |= v[i].nxe ? EFER_NXE : 0;
			map(&g, v[i].format, 1, linear, 0x9000 | P | RW | US);
			entry = get_entry(&g, v[i].format, v[i].level, linear);
			if (large)
				entry = P | RW | US | PS;
			if (flipped == PS && !(v[i].reserved & PS))
				continue; /* a page becomes a table, or the other way round */
			set_entry(&g, v[i].format, v[i].level, linear, entry ^ flipped);
			if (v[i].reserved & flipped) {
				check_faults(&g, linear, GWALK_READ, ERR_P | ERR_RSVD);
				continue;
			}
			/* Other bits may lead to tables that do not exist, not to this fault. */
			result = walk(&g, linear, GWALK_READ, &gpa, &error);
			CHECK(result != GWALK_FAULT || !(error & ERR_RSVD));
		}
	}
}

TEST(large_pages_need_their_feature)
{
	const uint64_t linear = 0x123456789000;
	struct guest g;

	guest_init(&g, LEVELS_4);
	map(&g, LEVELS_4, 3, linear, P | PS);
	g.cpu.gigabyte_pages = false;
	check_faults(&g, linear, GWALK_READ, ERR_P | ERR_RSVD);

	/* Without CR4.PSE, PS in a 32-bit entry means nothing. */
	guest_init(&g, BITS_32);
	g.cpu.cr4 = 0;
	map(&g, BITS_32, 1, 0xc0123456, 0x9000 | P);
	set_entry(&g, BITS_32, 2, 0xc0123456, 0x2000 | P | PS);
	check_maps(&g, 0xc0123456, 0x9456);
}

TEST(narrow_physical_addresses)
{
	struct guest g;

	/* 36 bits: a 4 MiB page has address bits up to entry bit 16; 52 bits: nothing reserved. */
	guest_init(&g, BITS_32);
	g.cpu.physical_bits = 36;
	map(&g, BITS_32, 2, 0xc0000000, 0x0001e000 | P | PS);
	check_maps(&g, 0xc0000000, 0xf00000000);
	map(&g, BITS_32, 2, 0xc0000000, 0x00020000 | P | PS);
	check_faults(&g, 0xc0000000, GWALK_READ, ERR_P | ERR_RSVD);
	/* Nonsense counts as 32. */
	g.cpu.physical_bits = 0;
	check_faults(&g, 0xc0000000, GWALK_READ, ERR_P | ERR_RSVD);
	map(&g, BITS_32, 2, 0xc0000000, 0xffc01000 | P | PS);
	check_maps(&g, 0xc0000000, 0xffc00000);
	guest_init(&g, LEVELS_4);
	g.cpu.physical_bits = 52;
	map(&g, LEVELS_4, 1, 0x1000, 0xffffffffff000 | P);
	check_maps(&g, 0x1000, 0xffffffffff000);
}

/* ---- accessed and dirty */

TEST(accessed_and_dirty_bits)
{
	const uint64_t linear = 0xc0123456;

	for (int format = BITS_32; format <= LEVELS_5; format++) {
		unsigned int levels = levels_of[format];
		struct guest g;
		uint64_t gpa;
		uint32_t error;

		guest_init(&g, format);
		map(&g, format, 1, linear, 0x9000 | P | RW | US);
		check_maps(&g, linear, 0x9456);
		for (unsigned int level = 1; level <= levels; level++)
			CHECK_EQ(get_entry(&g, format, level, linear) & (A | D), A);
		CHECK_EQ(g.updates, levels);
		check_maps(&g, linear, 0x9456);
		CHECK_EQ(g.updates, levels);
		CHECK_EQ(walk(&g, linear, GWALK_WRITE, &gpa, &error), GWALK_OK);
		CHECK_EQ(get_entry(&g, format, 1, linear), 0x9000 | P | RW | US | A | D);
		CHECK_EQ(get_entry(&g, format, 2, linear) & D, 0);
		CHECK_EQ(g.updates, levels + 1);
	}
}

TEST(entry_changed_under_the_walk)
{
	struct guest g;
	uint64_t gpa = 0;
	uint32_t error;

	/* Once: the new entry counts. */
	guest_init(&g, BITS_32);
	map(&g, BITS_32, 2, 0xc0000000, P | PS);
	g.changes = 1;
	g.change_to = 0x00400000 | P | PS;
	check_maps(&g, 0xc0000000, 0x00400000);
	CHECK_EQ(get_entry(&g, BITS_32, 2, 0xc0000000), g.change_to | A);

	g.change_to = 0;
	g.changes = 1;
	set_entry(&g, BITS_32, 2, 0xc0000000, P | PS);
	check_faults(&g, 0xc0000000, GWALK_READ, 0);

	/* Without end: the walk gives up. */
	guest_init(&g, LEVELS_4);
	map(&g, LEVELS_4, 1, 0x1000, 0x9000 | P);
	g.restless = true;
	CHECK_EQ(walk(&g, 0x1000, GWALK_READ, &gpa, &error), GWALK_RACING);
	CHECK_EQ(g.updates, 0);
}

TEST(tables_outside_ram)
{
	struct guest g;
	uint64_t gpa;
	uint32_t error;

	guest_init(&g, LEVELS_4);
	map(&g, LEVELS_4, 1, 0x1000, 0x9000 | P);
	set_entry(&g, LEVELS_4, 2, 0x1000, RAM | P);
	CHECK_EQ(walk(&g, 0x1000, GWALK_READ, &gpa, &error), GWALK_NO_TABLE);
	map(&g, LEVELS_4, 1, 0x1000, 0x9000 | P);
	g.read_only = 0x4000;
	CHECK_EQ(walk(&g, 0x1000, GWALK_READ, &gpa, &error), GWALK_NO_TABLE);
}
