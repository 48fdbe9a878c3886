// SPDX-License-Identifier: MIT
// sources: arch/x86/mtrr.c arch/x86/vmx/ept_identity.c
/*
 * Extended page tables in a fake memory that looks at every store.
 *
 * The builder is included here with its atomic builtins replaced, so that each store of an entry
 * calls the watcher. The watcher walks the tables as a processor would (its own walk, written from
 * the SDM) for a set of addresses and checks that each is translated as before or as after the
 * call, or, if one of these is "not at all", that; never to anything else. Stale table pages are
 * walked too: a page that was unlinked may hold old translations or none.
 */
#include "test.h"

#include <types.h>

static void watched_store(uint64_t *entry, uint64_t value);
static bool watched_replace(uint64_t *entry, uint64_t *old, uint64_t value);

#define __atomic_store_n(p, v, order)				     watched_store(p, v)
#define __atomic_compare_exchange_n(p, old, v, weak, order, failure) watched_replace(p, old, v)
#include "../../arch/x86/vmx/ept.c"
#undef __atomic_store_n
#undef __atomic_compare_exchange_n

#include <x86/vmx/ept_identity.h>

/* ---- fake memory: pages at made-up physical addresses */

enum { POOL = 4096, WATCHED = 64 };

#define POOL_BASE UINT64_C(0x7000000000)

static uint64_t memory[POOL][512] __aligned(4096);
static uint32_t free_list[POOL];
static unsigned int free_count, stores;
static bool in_use[POOL];

static void *page_alloc(void *ctx)
{
	(void)ctx;
	if (!free_count)
		return NULL;
	uint32_t i = free_list[--free_count];

	in_use[i] = true;
	memset(memory[i], 0, sizeof(memory[i]));
	return memory[i];
}

static void page_free(void *page)
{
	size_t i = (size_t)((uint64_t(*)[512])page - memory);

	CHECK(in_use[i]);
	in_use[i] = false;
	memset(memory[i], 0xa5, sizeof(memory[i])); /* whoever still walks it goes astray */
	free_list[free_count++] = (uint32_t)i;
}

static hpa_t page_hpa(void *ctx, const void *page)
{
	(void)ctx;
	return HPA(POOL_BASE + (uint64_t)((const char *)page - (const char *)memory));
}

static void *page_ptr(void *ctx, hpa_t hpa)
{
	(void)ctx;
	CHECK(hpa.v >= POOL_BASE && hpa.v < POOL_BASE + sizeof(memory) && is_aligned(hpa.v, 4096));
	CHECK(in_use[(hpa.v - POOL_BASE) / 4096]);
	return (char *)memory + (hpa.v - POOL_BASE);
}

static const struct ept_pages pages = {NULL, page_alloc, page_hpa, page_ptr};

static void pool_reset(unsigned int count)
{
	memset(in_use, 0, sizeof(in_use));
	for (free_count = 0; free_count < count; free_count++)
		free_list[free_count] = free_count;
}

static void release(const struct ept *e, struct ept_freed *freed)
{
	for (void *page; (page = ept_freed_pop(e, freed));)
		page_free(page);
}

/* ---- the watcher */

static uint64_t walk_span; /* of the entry that the last walk() ended at */

/* What a processor finds: the physical address with permissions and type in the low bits; 0: none.
 */
static uint64_t walk(const struct ept *e, uint64_t gpa)
{
	uint64_t *table = e->root;

	for (unsigned int shift = 39;; shift -= 9) {
		uint64_t v = table[gpa >> shift & 511];

		walk_span = BIT64(shift);
		if (!(v & 7))
			return 0;
		CHECK((v & 7) != 2 && (v & 7) != 6); /* misconfigurations */
		if (shift == 12 || (v & BIT64(7))) {
			CHECK(shift != 39);
			CHECK_EQ(v >> 7 & 1, shift != 12);
			CHECK_EQ(v & MASK64(51, 12) & (BIT64(shift) - 1), 0);
			return (v & MASK64(51, 12)) +
			       (gpa & (BIT64(shift) - 1) & ~UINT64_C(0xfff)) + (v & 0x3f);
		}
		CHECK_EQ(v & 0xff8, 0);
		CHECK_EQ(v & 7, 7);
		table = page_ptr(NULL, HPA(v & MASK64(51, 12)));
	}
}

static struct {
	struct ept *e;
	unsigned int count;
	uint64_t gpa[WATCHED], before[WATCHED], after[WATCHED];
} watch;

static void look(void)
{
	stores++;
	for (unsigned int i = 0; watch.e && i < watch.count; i++) {
		uint64_t is = walk(watch.e, watch.gpa[i]);

		CHECK(is == watch.before[i] || is == watch.after[i]);
	}
}

static void watched_store(uint64_t *entry, uint64_t value)
{
	*(volatile uint64_t *)entry = value;
	look();
}

static unsigned int raced; /* a processor sets a dirty flag just before the n-th replacement */

static bool watched_replace(uint64_t *entry, uint64_t *old, uint64_t value)
{
	if (raced && !--raced && (*entry & EPT_RWX))
		*entry |= EPT_DIRTY | EPT_ACCESSED;
	if (*entry != *old) {
		*old = *entry;
		return false;
	}
	watched_store(entry, value);
	return true;
}

/* ---- a reference: what each watched address should translate to */

static void watch_address(uint64_t gpa)
{
	if (watch.count < WATCHED)
		watch.gpa[watch.count++] = gpa & ~UINT64_C(0xfff);
}

static void watch_edges(uint64_t gpa, uint64_t bytes)
{
	uint64_t end = gpa + bytes;

	watch.count = 0;
	for (unsigned int l = 1; l <= 4; l++) {
		uint64_t s = UINT64_C(1) << (12 + 9 * (l - 1));

		watch_address(gpa);
		watch_address(gpa >= s ? gpa - s : 0);
		watch_address((gpa & ~(s - 1)));
		watch_address((gpa & ~(s - 1)) + s);
		watch_address(end - 1);
		watch_address(end);
		watch_address((end & ~(s - 1)) - 1);
		watch_address((end & ~(s - 1)) + s);
		watch_address(gpa + bytes / 2);
		watch_address(gpa + bytes / 3 * l / 2);
	}
}

static void watch_begin(struct ept *e)
{
	watch.e = NULL;
	for (unsigned int i = 0; i < watch.count; i++)
		watch.after[i] = watch.before[i] = walk(e, watch.gpa[i]);
}

static void watch_end(struct ept *e)
{
	for (unsigned int i = 0; i < watch.count; i++)
		CHECK_EQ(walk(e, watch.gpa[i]), watch.after[i]);
	watch.e = NULL;
}

static uint64_t rnd64(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static uint64_t linked(const uint64_t *table, unsigned int level)
{
	uint64_t n = 1;

	for (unsigned int i = 0; level > 1 && i < 512; i++)
		if ((table[i] & 7) && !(table[i] & BIT64(7)))
			n += linked(page_ptr(NULL, HPA(table[i] & MASK64(51, 12))), level - 1);
	return n;
}

enum op { OP_MAP, OP_UNMAP, OP_RETYPE, OP_SET, OP_RESERVE, OPS };

static bool in(uint64_t gpa, uint64_t base, uint64_t bytes)
{
	return gpa >= base && gpa - base < bytes;
}

/* One random call; every address watched must change exactly as the call says. */
static void random_call(struct ept *e, unsigned int largest, struct ept_freed *freed)
{
	static const uint64_t sizes[] = {PAGE_SIZE, 512 * PAGE_SIZE, GIB};
	enum op op = (enum op)(rnd64() % OPS);
	uint64_t unit = sizes[rnd64() % 3], attr = EPT_RWX | EPT_TYPE(rnd64() % 2 ? 6 : 0);
	uint64_t gpa = rnd64() % (4 * GIB) & ~(unit - 1), bytes = (1 + rnd64() % 3) * unit;
	uint64_t hpa = (rnd64() % (64 * GIB) & ~(unit - 1)) + (rnd64() % 8 ? 0 : FRAME_SIZE);
	unsigned int level = 1 + (unsigned int)(rnd64() % largest);
	bool overlaps = false;
	int err = 0;

	if (unit == GIB && level == EPT_4K) /* a million stores show no more than a thousand */
		level = EPT_2M;
	if (unit < GIB && rnd64() % 8 == 0)
		hpa += PAGE_SIZE;
	if (rnd64() % 2) { /* not on a boundary */
		gpa += rnd64() % 512 * PAGE_SIZE;
		bytes += rnd64() % 512 * PAGE_SIZE;
		hpa += gpa % unit;
	}
	if (op == OP_SET) {
		level = 1 + (unsigned int)(rnd64() % 2);
		bytes = sizes[level - 1];
		gpa &= ~(bytes - 1);
		hpa &= ~(bytes - 1);
		attr = rnd64() % 3 ? attr : 0;
	}
	watch_edges(gpa, bytes);
	watch_begin(e);
	for (uint64_t p = gpa; op == OP_MAP && p < gpa + bytes && !overlaps;
	     p = (p | (walk_span - 1)) + 1)
		overlaps = walk(e, p);
	for (unsigned int i = 0; i < watch.count; i++) {
		uint64_t at = watch.gpa[i];

		if (!in(at, gpa, bytes))
			continue;
		if (op == OP_UNMAP || (op == OP_SET && !attr))
			watch.after[i] = 0;
		else if ((op == OP_MAP && !overlaps) || op == OP_SET)
			watch.after[i] = hpa + (at - gpa) + attr;
		else if (op == OP_RETYPE && watch.before[i])
			watch.after[i] = (watch.before[i] & ~EPT_TYPES) | EPT_TYPE(MEMORY_WT);
	}
	watch.e = e;
	switch (op) {
	case OP_MAP:
		err = ept_map(e, GPA(gpa), HPA(hpa), bytes, attr, level);
		break;
	case OP_UNMAP:
		err = ept_unmap(e, GPA(gpa), bytes, freed);
		break;
	case OP_RETYPE:
		err = ept_retype(e, GPA(gpa), bytes, MEMORY_WT);
		break;
	case OP_SET:
		err = ept_set(e, GPA(gpa), level, HPA(hpa), attr, freed);
		break;
	default:
		err = ept_reserve(e, GPA(gpa), bytes, level);
	}
	CHECK(err == (overlaps ? -HV_ERR_EXIST : 0) || err == -HV_ERR_NOMEM);
	if (err == -HV_ERR_NOMEM) /* all or nothing */
		memcpy(watch.after, watch.before, sizeof(watch.after));
	watch_end(e);
}

static void random_calls(unsigned int page_limit, unsigned int largest)
{
	struct ept e;
	struct ept_freed freed = {0};

	pool_reset(page_limit);
	CHECK_EQ(ept_init(&e, &pages, largest), 0);
	for (unsigned int i = 0; i < 600; i++) {
		random_call(&e, largest, &freed);
		if (rnd64() % 8 == 0) { /* the debt is paid */
			CHECK_EQ(free_count + e.tables + freed.count, page_limit);
			CHECK_EQ(linked(e.root, 4), e.tables);
			release(&e, &freed);
		}
	}
	CHECK_EQ(ept_unmap(&e, GPA(0), EPT_LIMIT, &freed), 0);
	for (uint64_t gib = 0; gib < 8; gib++) /* tables that were reserved and never used */
		CHECK_EQ(ept_unmap(&e, GPA(gib * GIB), GIB, &freed), 0);
	release(&e, &freed);
	CHECK_EQ(free_count + e.tables, page_limit);
	CHECK(stores > 5000);
}

TEST(every_store_of_every_call_is_safe)
{
	random_calls(POOL, EPT_1G);
}

TEST(without_1_gib_leaves)
{
	random_calls(POOL, EPT_2M);
}

TEST(calls_that_run_out_of_pages_change_nothing)
{
	random_calls(40, EPT_1G);
}

/* ---- single facts */

static struct ept fresh(unsigned int largest)
{
	struct ept e;

	pool_reset(POOL);
	CHECK_EQ(ept_init(&e, &pages, largest), 0);
	watch.e = NULL;
	return e;
}

static unsigned int level_at(const struct ept *e, uint64_t gpa)
{
	struct ept_leaf leaf;

	return ept_lookup(e, GPA(gpa), &leaf) ? leaf.level : 0;
}

TEST(largest_leaves_that_fit)
{
	struct ept e = fresh(EPT_1G);

	CHECK_EQ(ept_map(&e, GPA(GIB - FRAME_SIZE - PAGE_SIZE),
			 HPA(3 * GIB - FRAME_SIZE - PAGE_SIZE), GIB + 2 * (FRAME_SIZE + PAGE_SIZE),
			 EPT_RWX | EPT_TYPE(6), EPT_1G),
		 0);
	CHECK_EQ(level_at(&e, GIB - FRAME_SIZE - PAGE_SIZE - 1), 0);
	CHECK_EQ(level_at(&e, GIB - FRAME_SIZE - 1), EPT_4K);
	CHECK_EQ(level_at(&e, GIB - FRAME_SIZE), EPT_2M);
	CHECK_EQ(level_at(&e, GIB), EPT_1G);
	CHECK_EQ(level_at(&e, 2 * GIB), EPT_2M);
	CHECK_EQ(level_at(&e, 2 * GIB + FRAME_SIZE), EPT_4K);
	CHECK_EQ(level_at(&e, 2 * GIB + FRAME_SIZE + PAGE_SIZE), 0);

	e = fresh(EPT_2M);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(GIB), GIB, EPT_R, EPT_1G), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(GIB + PAGE_SIZE), GIB, EPT_R, EPT_2M), 0);
	CHECK_EQ(level_at(&e, FRAME_SIZE), EPT_4K); /* not congruent */
	struct ept_leaf leaf;

	CHECK(ept_lookup(&e, GPA(0x12345678), &leaf));
	CHECK_EQ(leaf.hpa.v, GIB + PAGE_SIZE + 0x12345678);
	CHECK_EQ(leaf.entry, (GIB + PAGE_SIZE + 0x12345000) | EPT_R);
}

TEST(pages_needed_is_what_is_taken)
{
	for (unsigned int i = 0; i < 400; i++) {
		struct ept e = fresh(EPT_1G);
		static const uint64_t units[] = {PAGE_SIZE, FRAME_SIZE, GIB};
		uint64_t gpa = 0, bytes = 0, hpa, needed;
		unsigned int level = 1 + i % 3;

		for (unsigned int u = 0; u < 3; u++) {
			gpa += rnd64() % 3 * units[u] * (rnd64() % 2 ? 1 : 85);
			bytes += rnd64() % 3 * units[u];
		}
		bytes += !bytes * PAGE_SIZE;
		if (bytes >= GIB && level == EPT_4K) /* half a million stores show no more */
			level = EPT_2M;
		hpa = gpa % units[bytes >= GIB ? 2 : rnd64() % 3] + 512 * GIB;
		needed = ept_pages_needed(GPA(gpa), HPA(hpa), bytes, level);
		CHECK_EQ(ept_map(&e, GPA(gpa), HPA(hpa), bytes, EPT_RWX, level), 0);
		CHECK_EQ(e.tables - 1, needed); /* exact in an empty table */
		if (bytes >= GIB)
			continue;
		e = fresh(EPT_1G);
		CHECK_EQ(ept_map(&e, GPA(gpa), HPA(hpa), bytes, EPT_RWX, EPT_4K), 0);
		CHECK_EQ(e.tables - 1, ept_pages_needed(GPA(gpa), HPA(hpa), bytes, EPT_4K));
	}
}

TEST(code_runs_from_small_leaves_alone)
{
	struct ept e = fresh(EPT_1G);
	struct ept_freed freed = {0};
	struct ept_leaf leaf;
	unsigned int left;

	CHECK_EQ(ept_map(&e, GPA(FRAME_SIZE - PAGE_SIZE), HPA(GIB - PAGE_SIZE),
			 2 * FRAME_SIZE + PAGE_SIZE, EPT_R | EPT_W | EPT_CODE, EPT_1G),
		 0);
	CHECK_EQ(e.promised, 2);
	CHECK_EQ(walk(&e, FRAME_SIZE - PAGE_SIZE) & 7, EPT_RWX);
	CHECK_EQ(walk(&e, FRAME_SIZE) & 7, EPT_R | EPT_W);
	CHECK(ept_split_code(&e, GPA(FRAME_SIZE + 0x1234)));
	CHECK_EQ(level_at(&e, FRAME_SIZE), EPT_4K);
	for (uint64_t at = FRAME_SIZE; at < 2 * FRAME_SIZE; at += PAGE_SIZE)
		CHECK_EQ(walk(&e, at), GIB + (at - FRAME_SIZE) + EPT_RWX);
	CHECK_EQ(level_at(&e, 2 * FRAME_SIZE), EPT_2M); /* its neighbour is as it was */
	CHECK_EQ(e.promised, 1);
	left = free_count;
	CHECK(ept_split_code(&e, GPA(FRAME_SIZE))); /* another vCPU's turn: nothing to do */
	CHECK_EQ(free_count, left);
	free_count = 0;
	CHECK(!ept_split_code(&e, GPA(2 * FRAME_SIZE)));
	CHECK_EQ(e.promised, 1);
	free_count = left;
	CHECK_EQ(ept_unmap(&e, GPA(2 * FRAME_SIZE), PAGE_SIZE, &freed), 0); /* splits, too */
	CHECK_EQ(walk(&e, 2 * FRAME_SIZE + PAGE_SIZE) & 7, EPT_RWX);
	CHECK_EQ(e.promised, 0);
	CHECK_EQ(ept_unmap(&e, GPA(0), GIB, &freed), 0);
	CHECK_EQ(e.promised, 0);

	CHECK_EQ(ept_map(&e, GPA(GIB), HPA(GIB), GIB, EPT_R | EPT_CODE, EPT_1G), 0);
	CHECK_EQ(e.promised, 513);
	CHECK(ept_split_code(&e, GPA(GIB)));
	CHECK_EQ(e.promised, 511);
	CHECK_EQ(ept_unmap(&e, GPA(GIB), GIB, &freed), 0);
	CHECK_EQ(e.promised, 0);

	CHECK(!ept_split_code(&e, GPA(0)));
	CHECK(!ept_split_code(&e, GPA(EPT_LIMIT)));
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), FRAME_SIZE, EPT_R | EPT_W, EPT_1G), 0);
	CHECK(!ept_split_code(&e, GPA(0))); /* data */
	CHECK_EQ(level_at(&e, 0), EPT_2M);
	CHECK(!ept_lookup(&e, GPA(FRAME_SIZE), &leaf));
}

TEST(refusals)
{
	struct ept e = fresh(EPT_1G);
	struct ept_freed freed = {0};

	CHECK_EQ(ept_map(&e, GPA(1), HPA(0), PAGE_SIZE, EPT_R, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(1), PAGE_SIZE, EPT_R, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), 0, EPT_R, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), PAGE_SIZE, EPT_W, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), PAGE_SIZE, EPT_W | EPT_X, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), PAGE_SIZE, 0, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), PAGE_SIZE, EPT_RWX | EPT_LARGE, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), PAGE_SIZE, EPT_R, 4), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), PAGE_SIZE, EPT_R, 0), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(EPT_LIMIT), HPA(0), PAGE_SIZE, EPT_R, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(-PAGE_SIZE), HPA(0), 2 * PAGE_SIZE, EPT_R, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(-PAGE_SIZE), 2 * PAGE_SIZE, EPT_R, 1), -HV_ERR_INVAL);
	CHECK_EQ(ept_map(&e, GPA(EPT_LIMIT - PAGE_SIZE), HPA(0), PAGE_SIZE, EPT_R, 1), 0);
	CHECK_EQ(ept_map(&e, GPA(EPT_LIMIT - GIB), HPA(0), GIB, EPT_R, 3), -HV_ERR_EXIST);
	CHECK_EQ(ept_retype(&e, GPA(0), EPT_LIMIT + PAGE_SIZE, MEMORY_UC), -HV_ERR_INVAL);
	CHECK_EQ(ept_set(&e, GPA(PAGE_SIZE), EPT_2M, HPA(0), EPT_R, &freed), -HV_ERR_INVAL);
	CHECK_EQ(ept_set(&e, GPA(0), EPT_2M, HPA(PAGE_SIZE), EPT_R, &freed), -HV_ERR_INVAL);
	CHECK_EQ(ept_set(&e, GPA(0), EPT_2M, HPA(0), EPT_W, &freed), -HV_ERR_INVAL);
	CHECK_EQ(ept_set(&e, GPA(0), EPT_1G, HPA(0), EPT_R, &freed), -HV_ERR_INVAL);
	CHECK_EQ(ept_unmap(&e, GPA(0), EPT_LIMIT, &freed), 0);
	CHECK_EQ(freed.count, 3);
	CHECK_EQ(e.tables, 1);
	struct ept_leaf leaf;

	CHECK(!ept_lookup(&e, GPA(EPT_LIMIT - PAGE_SIZE), &leaf));
	CHECK(!ept_lookup(&e, GPA(UINT64_MAX), &leaf));
	pool_reset(0);
	CHECK_EQ(ept_init(&e, &pages, EPT_1G), -HV_ERR_NOMEM);
}

TEST(empty_tables_come_back_and_others_stay)
{
	struct ept e = fresh(EPT_1G);
	struct ept_freed freed = {0};

	CHECK_EQ(ept_map(&e, GPA(GIB + 0x5000), HPA(0), PAGE_SIZE, EPT_RWX, EPT_1G), 0);
	CHECK_EQ(ept_unmap(&e, GPA(GIB + 0x5000), PAGE_SIZE, &freed), 0);
	CHECK_EQ(e.tables, 1);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(ept_map(&e, GPA(i * FRAME_SIZE + 0x5000), HPA(0), PAGE_SIZE, EPT_RWX,
				 EPT_1G),
			 0);
	CHECK_EQ(e.tables, 6);
	CHECK_EQ(ept_unmap(&e, GPA(0), 2 * FRAME_SIZE + 0x5000, &freed), 0);
	CHECK_EQ(e.tables, 4);
	CHECK_EQ(level_at(&e, 2 * FRAME_SIZE + 0x5000), EPT_4K);
	CHECK_EQ(ept_unmap(&e, GPA(0), 3 * FRAME_SIZE, &freed), 0);
	CHECK_EQ(e.tables, 1);
	CHECK_EQ(freed.count, 8);
	release(&e, &freed);
	CHECK_EQ(free_count, POOL - 1);
	free_count = 0; /* taking away what is not there needs no page */
	CHECK_EQ(ept_set(&e, GPA(0), EPT_4K, HPA(0), 0, &freed), 0);
}

TEST(pointer)
{
	struct ept e = fresh(EPT_1G);

	CHECK_EQ(ept_pointer(&e, false), page_hpa(NULL, e.root).v | 0x1e);
	CHECK_EQ(ept_pointer(&e, true), page_hpa(NULL, e.root).v | 0x5e);
}

TEST(a_flag_set_by_the_processor_is_not_lost)
{
	struct ept e = fresh(EPT_1G);
	struct ept_freed freed = {0};
	struct ept_leaf leaf;

	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), FRAME_SIZE, EPT_RWX, EPT_2M), 0);
	raced = 1;
	CHECK_EQ(ept_retype(&e, GPA(0), FRAME_SIZE, MEMORY_UC), 0);
	CHECK(ept_lookup(&e, GPA(0), &leaf) && (leaf.entry & EPT_DIRTY));
	CHECK_EQ(ept_unmap(&e, GPA(0), FRAME_SIZE, &freed), 0);
	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), FRAME_SIZE, EPT_RWX, EPT_2M), 0);
	raced = 1;
	CHECK_EQ(ept_set(&e, GPA(0), EPT_4K, HPA(0), EPT_RWX, &freed), 0); /* splits */
	for (uint64_t at = PAGE_SIZE; at < FRAME_SIZE; at += PAGE_SIZE)
		CHECK(ept_lookup(&e, GPA(at), &leaf) && (leaf.entry & EPT_DIRTY));
}

/* What a processor does when it writes through a translation that it has not cached. */
static void guest_writes(struct ept *e, uint64_t gpa)
{
	unsigned int level;

	*ept_entry(e, gpa, EPT_4K, &level) |= EPT_DIRTY | EPT_ACCESSED;
}

TEST(dirty_pages_are_those_written)
{
	uint64_t bitmap[16], bytes = 1000 * PAGE_SIZE, base = FRAME_SIZE - 3 * PAGE_SIZE;
	struct ept e = fresh(EPT_1G);
	struct ept_leaf leaf;

	CHECK_EQ(ept_map(&e, GPA(base), HPA(64 * MIB + base), bytes, EPT_RWX, EPT_2M), 0);
	CHECK_EQ(level_at(&e, FRAME_SIZE), EPT_2M);
	memset(bitmap, 0xff, sizeof(bitmap));
	CHECK_EQ(ept_take_dirty(&e, GPA(base), bytes, bitmap), 0);
	for (unsigned int i = 0; i < 16; i++)
		CHECK_EQ(bitmap[i], 0);
	CHECK_EQ(level_at(&e, FRAME_SIZE), EPT_4K);
	for (unsigned int n = 0; n < 1000; n += 77)
		guest_writes(&e, base + n * PAGE_SIZE);
	CHECK_EQ(ept_take_dirty(&e, GPA(base), bytes, bitmap), 0);
	for (unsigned int n = 0; n < 1000; n++) {
		CHECK_EQ(bitmap[n / 64] >> n % 64 & 1, n % 77 == 0);
		CHECK_EQ(walk(&e, base + n * PAGE_SIZE), (64 * MIB + base + n * PAGE_SIZE) | 7);
	}
	CHECK_EQ(bitmap[15] >> (1000 % 64), 0);
	CHECK_EQ(ept_take_dirty(&e, GPA(base), bytes, bitmap), 0); /* once */
	for (unsigned int i = 0; i < 16; i++)
		CHECK_EQ(bitmap[i], 0);
	CHECK(ept_lookup(&e, GPA(base), &leaf) && (leaf.entry & EPT_ACCESSED));
}

TEST(dirty_large_leaf_counts_wholly)
{
	uint64_t bitmap[17];
	struct ept e = fresh(EPT_1G);

	CHECK_EQ(ept_map(&e, GPA(GIB), HPA(GIB), GIB, EPT_RWX, EPT_1G), 0);
	guest_writes(&e, GIB + 12345);
	bitmap[16] = 77;
	CHECK_EQ(ept_take_dirty(&e, GPA(GIB + FRAME_SIZE), 1024 * PAGE_SIZE, bitmap), 0);
	for (unsigned int i = 0; i < 16; i++)
		CHECK_EQ(bitmap[i], UINT64_MAX);
	CHECK_EQ(bitmap[16], 77);
	CHECK_EQ(level_at(&e, GIB + FRAME_SIZE), EPT_4K);
	CHECK_EQ(level_at(&e, GIB), EPT_2M);
}

TEST(dirty_of_what_is_not_mapped)
{
	uint64_t bitmap[16];
	struct ept e = fresh(EPT_1G);
	uint64_t tables = e.tables;

	CHECK_EQ(ept_take_dirty(&e, GPA(0), 1024 * PAGE_SIZE, bitmap), 0);
	CHECK_EQ(bitmap[0] | bitmap[15], 0);
	CHECK_EQ(e.tables, tables);
	CHECK_EQ(ept_take_dirty(&e, GPA(12), PAGE_SIZE, bitmap), -HV_ERR_INVAL);
	CHECK_EQ(ept_take_dirty(&e, GPA(EPT_LIMIT), PAGE_SIZE, bitmap), -HV_ERR_INVAL);
}

TEST(dirty_flags_wait_for_tables)
{
	uint64_t bitmap[16];
	struct ept e = fresh(EPT_1G);
	void *taken[POOL];
	unsigned int n = 0;

	CHECK_EQ(ept_map(&e, GPA(0), HPA(0), 2 * FRAME_SIZE, EPT_RWX, EPT_2M), 0);
	guest_writes(&e, 0);
	while (free_count > 1)
		taken[n++] = page_alloc(NULL);
	CHECK_EQ(ept_take_dirty(&e, GPA(0), 1024 * PAGE_SIZE, bitmap), -HV_ERR_NOMEM);
	while (n)
		page_free(taken[--n]);
	CHECK_EQ(ept_take_dirty(&e, GPA(0), 1024 * PAGE_SIZE, bitmap), 0);
	CHECK_EQ(bitmap[0], UINT64_MAX);
	CHECK_EQ(bitmap[7], UINT64_MAX);
	CHECK_EQ(bitmap[8], 0);
}

/* ---- the control domain */

static const struct mtrr_map types = {
	.def_type = 0xc00 | MEMORY_WB,
	.fixed = {0x0606060606060606, 0x0606060606060606},
	.base = {0xc0000000 | MEMORY_UC},
	.mask = {(MASK64(35, 12) & ~(GIB - 1)) | 0x800},
	.variables = 1,
	.physical_bits = 36,
};

static const struct ept_hole holes[] = {
	{0x7f003000, 0x7f805000},
	{0x80000000, 0xa0000000},
	{5 * GIB, 7 * GIB},
};

static void check_identity(struct ept *e, const struct mtrr_map *m, uint64_t limit)
{
	for (uint64_t pa = 0; pa < limit + GIB;
	     pa += pa < 2 * MIB || in(pa, 0x7f000000, 0x900000) ? PAGE_SIZE : FRAME_SIZE / 2) {
		bool hole = pa >= limit;
		uint64_t end;

		for (unsigned int i = 0; i < ARRAY_SIZE(holes); i++)
			hole = hole || (pa >= holes[i].base && pa < holes[i].end);
		CHECK_EQ(walk(e, pa), hole ? 0 : pa | 7 | mtrr_type(m, pa, 16 * GIB, &end) << 3);
	}
}

TEST(identity_map_with_holes)
{
	for (unsigned int largest = EPT_2M; largest <= EPT_1G; largest++) {
		struct ept e = fresh(largest);
		struct ept_freed freed = {0};
		struct mtrr_map m = types;
		uint64_t used;

		CHECK_EQ(ept_identity(&e, &m, 16 * GIB, holes, ARRAY_SIZE(holes)), 0);
		check_identity(&e, &m, 16 * GIB);
		CHECK_EQ(level_at(&e, 9 * GIB), largest);
		CHECK_EQ(level_at(&e, 0x7f002000), EPT_4K);

		/* pool frames come and go without a page */
		used = free_count;
		free_count = 0;
		CHECK_EQ(ept_set(&e, GPA(6 * GIB), EPT_2M, HPA(6 * GIB), EPT_RWX | EPT_TYPE(6),
				 &freed),
			 0);
		CHECK_EQ(walk(&e, 6 * GIB + 0x3000), (6 * GIB + 0x3000) | 0x37);
		CHECK_EQ(ept_set(&e, GPA(6 * GIB), EPT_2M, HPA(0), 0, &freed), 0);
		CHECK_EQ(ept_set(&e, GPA(0x80000000), EPT_2M, HPA(0x80000000), EPT_RWX, &freed), 0);
		CHECK_EQ(ept_set(&e, GPA(0x80000000), EPT_2M, HPA(0), 0, &freed), 0);
		free_count = (unsigned int)used;

		/* a sink page in place of a hole's, and the frame again */
		CHECK_EQ(ept_set(&e, GPA(6 * GIB + PAGE_SIZE), EPT_4K, HPA(PAGE_SIZE), EPT_RWX,
				 &freed),
			 0);
		CHECK_EQ(walk(&e, 6 * GIB + PAGE_SIZE), PAGE_SIZE | 7);
		CHECK_EQ(ept_set(&e, GPA(6 * GIB), EPT_2M, HPA(0), 0, &freed), 0);
		CHECK_EQ(freed.count, 1);
		check_identity(&e, &m, 16 * GIB);

		/* the control domain changes an MTRR */
		m.base[0] = 0xc0000000 | MEMORY_WC;
		m.fixed[0] = 0;
		m.variables = 2;
		m.base[1] = (9 * GIB + 0x200000) | MEMORY_WT;
		m.mask[1] = (MASK64(35, 12) & ~UINT64_C(0x1fffff)) | 0x800;
		CHECK_EQ(ept_identity_retype(&e, &m, 16 * GIB), 0);
		check_identity(&e, &m, 16 * GIB);
		CHECK_EQ(level_at(&e, 9 * GIB), EPT_2M);
	}
}

TEST(identity_refusals)
{
	struct ept e = fresh(EPT_1G);
	const struct ept_hole ragged[] = {{0x1001, 0x200000}};

	CHECK_EQ(ept_identity(&e, &types, GIB, ragged, 1), -HV_ERR_INVAL);
	e = fresh(EPT_1G);
	CHECK_EQ(ept_identity(&e, &types, GIB + 1, NULL, 0), -HV_ERR_INVAL);
	pool_reset(2);
	CHECK_EQ(ept_init(&e, &pages, EPT_1G), 0);
	CHECK_EQ(ept_identity(&e, &types, GIB, NULL, 0), -HV_ERR_NOMEM);
}
