// SPDX-License-Identifier: MIT
/*
 * The EPT builder (see ept.h).
 *
 * One walk, ept_entry(), serves everything: it ends at the entry that decides about an address, a
 * leaf or an absent one. What may fail (a split, a missing table) is always done first and changes
 * no translation; the stores that do change one come last and cannot fail.
 */
#include <x86/vmx/ept.h>

#define ENTRIES	   512u
#define TOP_LEVEL  4u
#define TABLE_BITS EPT_RWX
#define LEAF_BITS  (EPT_RWX | EPT_TYPES | EPT_IGNORE_PAT | EPT_ACCESSED | EPT_DIRTY | EPT_CODE)

static uint64_t span(unsigned int level)
{
	return UINT64_C(1) << ept_shift(level);
}

static uint64_t entry_load(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

/** Release: what the entry points to must be there before the entry is. */
static void entry_store(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/** For leaves that the processor may be setting flags in at this moment. */
static bool entry_replace(uint64_t *entry, uint64_t *old, uint64_t value)
{
	return __atomic_compare_exchange_n(entry, old, value, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static bool is_present(uint64_t entry)
{
	return (entry & EPT_RWX) != 0;
}

static bool is_leaf(uint64_t entry, unsigned int level)
{
	return is_present(entry) && (level == EPT_4K || (entry & EPT_LARGE));
}

/** Not the combination that is a misconfiguration on every processor, nor one that is absent, and
 * nothing that is not the caller's to set. */
static bool leaf_valid(uint64_t attr)
{
	return is_present(attr) && (!(attr & EPT_W) || (attr & EPT_R)) && !(attr & ~LEAF_BITS);
}

static bool range_valid(gpa_t gpa, uint64_t bytes)
{
	return is_aligned(gpa.v | bytes, PAGE_SIZE) && bytes && bytes <= EPT_LIMIT &&
	       gpa.v <= EPT_LIMIT - bytes;
}

static uint64_t *table_of(const struct ept *e, uint64_t entry)
{
	return e->pages->ptr_of(e->pages->ctx, HPA(entry & EPT_ADDRESS));
}

static uint64_t *entry_of(uint64_t *table, uint64_t gpa, unsigned int level)
{
	return &table[gpa >> ept_shift(level) & (ENTRIES - 1)];
}

uint64_t *ept_entry(const struct ept *e, uint64_t gpa, unsigned int lowest, unsigned int *level)
{
	uint64_t *entry = entry_of(e->root, gpa, TOP_LEVEL);

	for (*level = TOP_LEVEL; *level > lowest; --*level) {
		uint64_t value = entry_load(entry);

		if (!is_present(value) || is_leaf(value, *level))
			break;
		entry = entry_of(table_of(e, value), gpa, *level - 1);
	}
	return entry;
}

/** The first address behind @gpa's entry of @level, but not behind @end. */
static uint64_t advance(uint64_t gpa, unsigned int level, uint64_t end)
{
	return min_u64(align_down(gpa, span(level)) + span(level), end);
}

/** A leaf of @level from the attributes of a larger one, or of a mapping. */
static uint64_t leaf_of(uint64_t attr, unsigned int level)
{
	if (level > EPT_4K)
		return attr | EPT_LARGE;
	return (attr & EPT_CODE ? (attr & ~EPT_CODE) | EPT_X : attr) & ~EPT_LARGE;
}

/** Table pages that it takes to make all of @entry, a leaf of @level, executable. */
static uint64_t promise(uint64_t entry, unsigned int level)
{
	if (level == EPT_4K || !(entry & EPT_CODE))
		return 0;
	return level == EPT_2M ? 1 : 1 + ENTRIES;
}

/** Link an empty table at the absent @entry, or one that translates as the large leaf @entry does.
 */
static int table_link(struct ept *e, uint64_t *entry, unsigned int level)
{
	uint64_t old = entry_load(entry), promised = promise(old, level) ? 1 : 0;
	uint64_t *table;

	e->promised -= promised; /* now or never */
	table = e->pages->alloc(e->pages->ctx);
	if (!table) {
		e->promised += promised;
		return -HV_ERR_NOMEM;
	}
	do {
		uint64_t leaf = leaf_of(old, level - 1);

		for (unsigned int i = 0; is_present(old) && i < ENTRIES; i++)
			table[i] = leaf + i * span(level - 1);
	} while (
		!entry_replace(entry, &old, e->pages->hpa_of(e->pages->ctx, table).v | TABLE_BITS));
	e->tables++;
	return 0;
}

/** Link and split until the table that holds @gpa's entry of @level exists. */
static int make_tables(struct ept *e, uint64_t gpa, unsigned int level)
{
	unsigned int at;
	int err = 0;

	for (;;) {
		uint64_t *entry = ept_entry(e, gpa, level, &at);

		if (at == level || err)
			return err;
		err = table_link(e, entry, at);
	}
}

/** Split so that no leaf reaches across @gpa. */
static int split_edge(struct ept *e, uint64_t gpa)
{
	unsigned int level;

	for (;;) {
		uint64_t *entry = ept_entry(e, gpa, EPT_4K, &level);

		if (gpa == EPT_LIMIT || !is_present(entry_load(entry)) ||
		    is_aligned(gpa, span(level)))
			return 0;
		if (table_link(e, entry, level))
			return -HV_ERR_NOMEM;
	}
}

int ept_split_edges(struct ept *e, gpa_t gpa, uint64_t bytes)
{
	int err = split_edge(e, gpa.v);

	return err ? err : split_edge(e, gpa.v + bytes);
}

bool ept_split_code(struct ept *e, gpa_t gpa)
{
	unsigned int level;
	uint64_t *entry;

	if (gpa.v >= EPT_LIMIT)
		return false;
	for (;;) {
		entry = ept_entry(e, gpa.v, EPT_4K, &level);
		if (!promise(entry_load(entry), level))
			return entry_load(entry) & EPT_X;
		if (table_link(e, entry, level))
			return false;
	}
}

static void freed_push(const struct ept *e, struct ept_freed *freed, uint64_t *table)
{
	if (freed->count++)
		entry_store(&freed->last[0], e->pages->hpa_of(e->pages->ctx, table).v);
	else
		freed->first = table;
	freed->last = table;
}

static bool table_empty(const uint64_t *table)
{
	for (unsigned int i = 0; i < ENTRIES; i++)
		if (entry_load(&table[i]))
			return false;
	return true;
}

/** Unlink the tables over @gpa that have become empty, lowest first. */
static void prune(struct ept *e, uint64_t gpa, struct ept_freed *freed)
{
	uint64_t *table = NULL, *entry;
	unsigned int level;

	for (unsigned int up = EPT_2M; up <= TOP_LEVEL; up++) {
		entry = ept_entry(e, gpa, up, &level);
		if (level != up || !is_present(entry_load(entry)) || is_leaf(entry_load(entry), up))
			continue;
		table = table_of(e, entry_load(entry));
		if (!table_empty(table))
			return;
		entry_store(entry, 0);
		freed_push(e, freed, table);
		e->tables--;
	}
}

int ept_init(struct ept *e, const struct ept_pages *pages, unsigned int largest)
{
	*e = (struct ept){.pages = pages, .largest = largest, .tables = 1};
	e->root = pages->alloc(pages->ctx);
	return e->root ? 0 : -HV_ERR_NOMEM;
}

uint64_t ept_pointer(const struct ept *e, bool ad)
{
	return e->pages->hpa_of(e->pages->ctx, e->root).v | (ad ? BIT64(6) : 0) |
	       (TOP_LEVEL - 1) << 3 | MEMORY_WB;
}

/** The largest leaf, up to @level, at which @gpa and @hpa are aligned alike. */
static unsigned int congruent(gpa_t gpa, hpa_t hpa, unsigned int level)
{
	while (level > EPT_4K && !is_aligned(gpa.v ^ hpa.v, span(level)))
		level--;
	return level;
}

uint64_t ept_pages_needed(gpa_t gpa, hpa_t hpa, uint64_t bytes, unsigned int level)
{
	uint64_t last = gpa.v + bytes - 1, pages = 0;

	level = congruent(gpa, hpa, level);
	for (unsigned int l = EPT_4K; l < TOP_LEVEL; l++) {
		uint64_t covers = span(l + 1), first_table = gpa.v / covers,
			 last_table = last / covers;
		bool head = !is_aligned(gpa.v, covers), tail = !is_aligned(last + 1, covers);

		if (l >= level)
			pages += last_table - first_table + 1;
		else /* below the leaves: only where the range begins or ends inside one */
			pages += head && tail && first_table != last_table ? 2 : head || tail;
	}
	return pages;
}

/** The size of the next leaf of a new mapping: a table that is there already (and empty) is used.
 */
static unsigned int leaf_level(const struct ept *e, uint64_t pos, uint64_t end, unsigned int level)
{
	for (; level > EPT_4K; level--) {
		unsigned int at;
		uint64_t *entry = ept_entry(e, pos, level, &at);

		if (is_aligned(pos, span(level)) && end - pos >= span(level) &&
		    !(at == level && is_present(entry_load(entry))))
			break;
	}
	return level;
}

int ept_map(struct ept *e, gpa_t gpa, hpa_t hpa, uint64_t bytes, uint64_t attr, unsigned int level)
{
	uint64_t end = gpa.v + bytes;
	unsigned int at;

	if (!range_valid(gpa, bytes) || !is_aligned(hpa.v, PAGE_SIZE) || hpa.v > BIT64(52) - bytes)
		return -HV_ERR_INVAL;
	if (!leaf_valid(attr) || level < EPT_4K || level > e->largest)
		return -HV_ERR_INVAL;
	for (uint64_t pos = gpa.v; pos < end; pos = advance(pos, at, end))
		if (is_present(entry_load(ept_entry(e, pos, EPT_4K, &at))))
			return -HV_ERR_EXIST;

	level = congruent(gpa, hpa, level);
	for (uint64_t pos = gpa.v; pos < end; pos = advance(pos, at, end)) {
		at = leaf_level(e, pos, end, level);
		if (make_tables(e, pos, at))
			return -HV_ERR_NOMEM;
	}
	for (uint64_t pos = gpa.v; pos < end; pos = advance(pos, at, end)) {
		at = leaf_level(e, pos, end, level);
		entry_store(ept_entry(e, pos, at, &at),
			    (hpa.v + (pos - gpa.v)) | leaf_of(attr, at));
		e->promised += promise(attr, at);
	}
	return 0;
}

int ept_unmap(struct ept *e, gpa_t gpa, uint64_t bytes, struct ept_freed *freed)
{
	uint64_t end = gpa.v + bytes, next;
	unsigned int level;

	if (!range_valid(gpa, bytes))
		return -HV_ERR_INVAL;
	if (ept_split_edges(e, gpa, bytes))
		return -HV_ERR_NOMEM;
	for (uint64_t pos = gpa.v; pos < end; pos = next) {
		uint64_t *entry = ept_entry(e, pos, EPT_4K, &level);

		if (is_present(entry_load(entry))) {
			e->promised -= promise(entry_load(entry), level);
			entry_store(entry, 0);
		}
		next = advance(pos, level, end);
		if (next == end || (level < TOP_LEVEL && is_aligned(next, span(level + 1))))
			prune(e, pos, freed);
	}
	return 0;
}

int ept_retype(struct ept *e, gpa_t gpa, uint64_t bytes, enum memory_type type)
{
	uint64_t end = gpa.v + bytes;
	unsigned int level;

	if (!range_valid(gpa, bytes))
		return -HV_ERR_INVAL;
	if (ept_split_edges(e, gpa, bytes))
		return -HV_ERR_NOMEM;
	for (uint64_t pos = gpa.v; pos < end; pos = advance(pos, level, end)) {
		uint64_t *entry = ept_entry(e, pos, EPT_4K, &level);
		uint64_t old = entry_load(entry);

		while (is_present(old) &&
		       !entry_replace(entry, &old, (old & ~EPT_TYPES) | EPT_TYPE(type)))
			;
	}
	return 0;
}

static bool take_dirty(uint64_t *entry)
{
	uint64_t old = entry_load(entry);

	while (is_present(old) && (old & EPT_DIRTY))
		if (entry_replace(entry, &old, old & ~EPT_DIRTY))
			return true;
	return false;
}

int ept_take_dirty(struct ept *e, gpa_t gpa, uint64_t bytes, uint64_t *bitmap)
{
	uint64_t end = gpa.v + bytes;
	unsigned int level;

	if (!range_valid(gpa, bytes))
		return -HV_ERR_INVAL;
	for (uint64_t pos = gpa.v; pos < end; pos = advance(pos, level, end)) {
		if (!is_present(entry_load(ept_entry(e, pos, EPT_4K, &level))))
			continue;
		if (make_tables(e, pos, EPT_4K))
			return -HV_ERR_NOMEM;
		level = EPT_2M;
	}
	for (uint64_t n = 0; n < bytes / PAGE_SIZE; n++) {
		uint64_t *entry = ept_entry(e, gpa.v + n * PAGE_SIZE, EPT_4K, &level);

		if (n % 64 == 0)
			bitmap[n / 64] = 0;
		if (level == EPT_4K && take_dirty(entry))
			bitmap[n / 64] |= BIT64(n % 64);
	}
	return 0;
}

int ept_set(struct ept *e, gpa_t gpa, unsigned int level, hpa_t hpa, uint64_t attr,
	    struct ept_freed *freed)
{
	uint64_t *entry, old;
	unsigned int at;

	if ((level != EPT_4K && level != EPT_2M) || !range_valid(gpa, span(level)) ||
	    !is_aligned(gpa.v | hpa.v, span(level)) || hpa.v > BIT64(52) - span(level))
		return -HV_ERR_INVAL;
	if (attr && !leaf_valid(attr))
		return -HV_ERR_INVAL;
	entry = ept_entry(e, gpa.v, level, &at);
	if (!attr && !is_present(entry_load(entry)))
		return 0;
	if (make_tables(e, gpa.v, level))
		return -HV_ERR_NOMEM;
	entry = ept_entry(e, gpa.v, level, &at);
	old = entry_load(entry);
	entry_store(entry, attr ? hpa.v | attr | (level > EPT_4K ? EPT_LARGE : 0) : 0);
	if (is_present(old) && !is_leaf(old, level)) {
		freed_push(e, freed, table_of(e, old));
		e->tables--;
	}
	return 0;
}

int ept_reserve(struct ept *e, gpa_t gpa, uint64_t bytes, unsigned int level)
{
	uint64_t end = gpa.v + bytes;

	if (!range_valid(gpa, bytes) || level < EPT_4K || level > EPT_1G)
		return -HV_ERR_INVAL;
	for (uint64_t pos = gpa.v; pos < end; pos = advance(pos, level + 1, end))
		if (make_tables(e, pos, level))
			return -HV_ERR_NOMEM;
	return 0;
}

bool ept_lookup(const struct ept *e, gpa_t gpa, struct ept_leaf *leaf)
{
	if (gpa.v >= EPT_LIMIT)
		return false;
	leaf->entry = entry_load(ept_entry(e, gpa.v, EPT_4K, &leaf->level));
	leaf->hpa = HPA((leaf->entry & EPT_ADDRESS & ~(span(leaf->level) - 1)) |
			(gpa.v & (span(leaf->level) - 1)));
	return is_present(leaf->entry);
}

void *ept_freed_pop(const struct ept *e, struct ept_freed *freed)
{
	uint64_t *table = freed->first;

	if (!freed->count)
		return NULL;
	freed->first = --freed->count ? table_of(e, table[0]) : NULL;
	return table;
}

int ept_identity_retype(struct ept *e, const struct mtrr_map *types, uint64_t limit)
{
	uint64_t end;
	int err = 0;

	for (uint64_t at = 0; at < limit && !err; at = end) {
		enum memory_type type = mtrr_type(types, at, limit, &end);

		err = ept_retype(e, GPA(at), end - at, type);
	}
	return err;
}
