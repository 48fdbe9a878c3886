// SPDX-License-Identifier: MIT
/*
 * Extended page tables: built, split, changed and taken apart.
 *
 * Works on table pages that it gets through struct ept_pages, and stores entries one atomic 8-byte
 * write at a time in such an order that a CPU walking the tables meanwhile sees, at every instant,
 * an address translated as before, as after, or (where it appears or disappears) not at all. A
 * table is filled before it is linked, and emptied before it is unlinked. (A CPU that still owes
 * the flush of a table taken away may see an EPT violation on an address that is mapped: it flushes
 * and retries.)
 *
 * Nothing here flushes. What a function took away stays in TLBs and paging-structure caches until
 * the TLB debt is paid: call debt_new() after it (vmm/debt.h), and give unlinked tables (struct
 * ept_freed) back to their allocator only when that debt is cleared. New and split mappings need no
 * flush.
 *
 * Not here: who owns the memory (vmm/owner.h). Calls that change one struct ept are serialised by
 * its owner's lock; CPUs walk it freely. Ranges are 4 KiB-aligned and below 2^48 (4-level walk),
 * else -HV_ERR_INVAL. SDM 3C "The Extended Page Table Mechanism (EPT)".
 */
#pragma once

#include <types.h>
#include <x86/mtrr.h>

#define EPT_R	       BIT64(0)
#define EPT_W	       BIT64(1)
#define EPT_X	       BIT64(2)
#define EPT_RWX	       (EPT_R | EPT_W | EPT_X)
#define EPT_TYPE(t)    ((uint64_t)(t) << 3) /* enum memory_type */
#define EPT_TYPES      MASK64(5, 3)
#define EPT_IGNORE_PAT BIT64(6) /* the type above counts alone, whatever the guest PAT says */
#define EPT_LARGE      BIT64(7)
#define EPT_ACCESSED   BIT64(8)
#define EPT_DIRTY      BIT64(9)
#define EPT_ADDRESS    MASK64(51, 12)
/*
 * Ours: code, but not through a large leaf. On many processors a guest that changes the size of a
 * page under its own feet can bring the machine down when the larger one is executable here (Intel,
 * "Machine Check Error Avoidance on Page Size Change"). Such a leaf is not executable while it is
 * large, and executable once it is split: ept_split_code() does that when the guest fetches from
 * it.
 */
#define EPT_CODE BIT64(52)

/* Sizes of leaves; a level's entry spans 2^ept_shift(level) bytes. */
#define EPT_4K 1u
#define EPT_2M 2u
#define EPT_1G 3u

#define EPT_LIMIT BIT64(48)

/** Where table pages come from. @alloc returns a zeroed page or NULL. */
struct ept_pages {
	void *ctx;
	void *(*alloc)(void *ctx);
	hpa_t (*hpa_of)(void *ctx, const void *page);
	void *(*ptr_of)(void *ctx, hpa_t page);
};

struct ept {
	const struct ept_pages *pages;
	uint64_t *root;
	unsigned int largest; /* largest leaf the processor has: EPT_2M or EPT_1G */
	uint64_t tables;      /* table pages linked, the root counted */
	uint64_t promised;    /* table pages that splitting every EPT_CODE leaf will take */
};

/** Unlinked table pages, chained through their first entry (as a not-present one, since CPUs may
 * still walk them). */
struct ept_freed {
	uint64_t *first, *last;
	uint64_t count;
};

struct ept_leaf {
	uint64_t entry; /* as stored */
	hpa_t hpa;	/* of the address asked for */
	unsigned int level;
};

static inline unsigned int ept_shift(unsigned int level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

/** Start @e empty: takes one page, the root. -HV_ERR_NOMEM. @pages must outlive it. */
int ept_init(struct ept *e, const struct ept_pages *pages, unsigned int largest) __must_use;

/** The VMCS's EPT pointer: 4-level, tables cached write-back, @ad: accessed and dirty flags on. */
uint64_t ept_pointer(const struct ept *e, bool ad);

/**
 * Table pages (without the root) that a mapping of @bytes at @gpa to @hpa with leaves no larger
 * than @level takes at most, whatever else is mapped: what a memory region is charged. With EPT_4K
 * it also covers any change inside it.
 */
uint64_t ept_pages_needed(gpa_t gpa, hpa_t hpa, uint64_t bytes, unsigned int level);

/**
 * Map [@gpa, @gpa + @bytes) to @hpa onwards with the largest leaves, at most @level, that both
 * addresses' alignment allows. @attr: permissions and EPT_TYPE(), EPT_CODE in place of EPT_X. The
 * caller has ept_pages_needed(..., EPT_4K) pages for that. All or nothing: -HV_ERR_EXIST:
 * part of it is mapped; -HV_ERR_NOMEM: no table page (nothing was ever mapped; tables already
 * linked stay for the next try).
 */
int ept_map(struct ept *e, gpa_t gpa, hpa_t hpa, uint64_t bytes, uint64_t attr,
	    unsigned int level) __must_use;

/**
 * Unmap whatever is mapped in the range; large leaves that reach beyond it are split first, which
 * may need up to 4 table pages: -HV_ERR_NOMEM, and nothing is unmapped. Tables that become empty go
 * to @freed. Leaves a TLB debt.
 */
int ept_unmap(struct ept *e, gpa_t gpa, uint64_t bytes, struct ept_freed *freed) __must_use;

/**
 * Make the leaf at @gpa executable by splitting it, if it is an EPT_CODE one. True if the guest may
 * fetch from there now. Needs no flush: the EPT violation has dropped the translation that led to
 * it, and others' lead to another violation. Takes of the pages that are promised.
 */
bool ept_split_code(struct ept *e, gpa_t gpa) __must_use;

/** Split the leaves that the range begins or ends inside of, as ept_unmap() does first.
 * -HV_ERR_NOMEM. */
int ept_split_edges(struct ept *e, gpa_t gpa, uint64_t bytes) __must_use;

/**
 * Give the leaves in the range the memory type @type; absent addresses stay absent. Leaves that
 * reach beyond the range are split first: -HV_ERR_NOMEM, and nothing is changed. Leaves a TLB debt.
 */
int ept_retype(struct ept *e, gpa_t gpa, uint64_t bytes, enum memory_type type) __must_use;

/**
 * Which pages of the range were written: bit n of @bitmap, all of whose words for the range are
 * written, for its page n. Leaves become 4 KiB ones first (-HV_ERR_NOMEM: no flag is touched), then
 * their dirty flags are taken. Leaves a TLB debt: processors that hold a translation as dirty set
 * no flag.
 */
int ept_take_dirty(struct ept *e, gpa_t gpa, uint64_t bytes, uint64_t *bitmap) __must_use;

/**
 * Make the entry of @level (EPT_4K, EPT_2M) at @gpa map @hpa with @attr, or nothing if @attr is 0,
 * whatever it was: a leaf above is split, a table below goes to @freed. For holes: a frame lent,
 * taken away, or replaced by a sink page. -HV_ERR_NOMEM (at most 3 pages): unchanged. Leaves a TLB
 * debt unless it was absent.
 */
int ept_set(struct ept *e, gpa_t gpa, unsigned int level, hpa_t hpa, uint64_t attr,
	    struct ept_freed *freed) __must_use;

/** Link the tables down to those that hold entries of @level for the range, so that ept_set() there
 * cannot fail. -HV_ERR_NOMEM. */
int ept_reserve(struct ept *e, gpa_t gpa, uint64_t bytes, unsigned int level) __must_use;

/** The entry that decides about @gpa: a leaf or absent, or whatever there is at level @lowest; its
 * level in *@level. */
uint64_t *ept_entry(const struct ept *e, uint64_t gpa, unsigned int lowest, unsigned int *level);

/** The leaf that translates @gpa; false if none. @leaf->level is then that of the absent entry.
 * Context: the lock, or a caller that tolerates an answer that is already old. */
bool ept_lookup(const struct ept *e, gpa_t gpa, struct ept_leaf *leaf);

/** Take one page off @freed, its contents undefined; NULL when empty. Context: its debt is cleared.
 */
void *ept_freed_pop(const struct ept *e, struct ept_freed *freed);

/**
 * Give every present leaf in [0, @limit) the type that @types now says (the control domain wrote an
 * MTRR); splits where types begin or end inside a leaf. -HV_ERR_NOMEM: the types are partly new.
 * Leaves a TLB debt.
 */
int ept_identity_retype(struct ept *e, const struct mtrr_map *types, uint64_t limit) __must_use;
