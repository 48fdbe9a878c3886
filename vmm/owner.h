// SPDX-License-Identifier: MIT
/*
 * Who owns which memory: one state machine over the machine's 2 MiB frames.
 *
 *            owner_alloc()                     owner_reclaim()
 *     FREE ---------------> VM or ARENA(vm) --------------------> WAITING (owed, then dirty)
 *      ^                     | map, unmap: EPT of that VM           |  owner_scrub_take(), once no
 *      |                     | share, unshare: the control domain   v  CPU owes a flush for it
 *      +------------------------------------------------------- SCRUBBING
 *                           owner_scrub_done()                    |  owner_scrub_leave(): back to
 *                                                                 v  WAITING, zero up to there
 *
 * Every frame has exactly one owner. A frame leaves its VM only when nothing maps it any more; it
 * can be handed out again only after every CPU has paid the TLB debt of its removal (debt.h) and
 * its contents were zeroed. The pool enters the machine as WAITING without a debt, so no frame is
 * ever handed out unscrubbed, not even the first time. Zeroing may be done ahead of need and in
 * parts: FREE is clean, WAITING is dirty but for the parts noted. CONTROL frames may be lent to
 * VMs, which is not counted here; frames only partly usable, and holes, belong to the hypervisor or
 * to nobody and never move.
 *
 * Not here: page tables (arch/x86/vmx/ept.h) and scrubbing itself. The caller removes a translation
 * first, then tells this table; and tells this table first, then adds one. Every function checks
 * everything before it changes anything. All of them need the pool lock held by the caller, who
 * also gets bounded work: a call costs O(frames named + GiB of RAM).
 */
#pragma once

#include <types.h>
#include <debt.h>

enum owner_kind {
	OWNER_NONE,	  /* no RAM */
	OWNER_HYPERVISOR, /* image, heap, and frames that are not wholly RAM of one owner */
	OWNER_CONTROL,	  /* the control domain's */
	OWNER_FREE,	  /* pool, zeroed, translated nowhere */
	OWNER_WAITING,	  /* pool, given back: owed by CPUs, or only dirty */
	OWNER_SCRUBBING,  /* pool, being zeroed by a CPU outside the lock */
	OWNER_VM,	  /* guest RAM of `vm` */
	OWNER_ARENA,	  /* the hypervisor's metadata about `vm` */
	OWNER_KINDS
};

#define OWNER_NO_VM 0xffff

#define SCRUB_PARTS 16 /* of a frame: what is zeroed at a time when nobody waits for it */
#define SCRUB_PART  (FRAME_SIZE / SCRUB_PARTS)

struct frame {
	uint8_t kind; /* enum owner_kind */
	union {
		uint8_t shared; /* VM: the control domain's EPT maps it too */
		uint8_t zeroed; /* WAITING, SCRUBBING: parts that were zero when it was taken */
	};
	uint16_t vm; /* VM, ARENA: whose; else OWNER_NO_VM */
	union {
		uint32_t mapped; /* VM: its pages that the guest's EPT maps */
		uint32_t next;	 /* WAITING: the one behind it in the queue */
	};
	uint64_t epoch; /* WAITING: the debt that must be paid first */
};
static_assert(sizeof(struct frame) == 16, "8 KiB of table for each GiB of RAM");

/** The free frames of one GiB. */
struct frame_group {
	uint64_t free[8]; /* bit n: frame n of this group is FREE */
	uint32_t frees;
	uint32_t pad;
};

struct owner_table {
	struct frame *frame;
	struct frame_group *group;
	uint64_t frames, groups;
	uint64_t count[OWNER_KINDS];	     /* frames of each kind, exact */
	uint32_t waiting_head, waiting_tail; /* the WAITING queue, oldest first */
	uint64_t hint;			     /* group that the last allocation was served from */
};

/** Bytes of table for a machine whose RAM ends at @ram_top. */
uint64_t owner_table_bytes(uint64_t ram_top);

/** Start with every frame below @ram_top OWNER_NONE. @mem: owner_table_bytes() of zeroed,
 * 8-byte-aligned memory. */
void owner_init(struct owner_table *t, void *mem, uint64_t ram_top);

/**
 * Settle who owns [@base, @base + @bytes) at boot; call for CONTROL and HYPERVISOR first, then for
 * the pool. HYPERVISOR and CONTROL take every frame they touch, and a frame touched by two of them
 * is the hypervisor's (never lent, never reused). WAITING is the pool: it takes only the whole
 * frames inside the range that nobody has, to be scrubbed. -HV_ERR_INVAL: another kind, or beyond
 * RAM. -HV_ERR_STATE: there is a pool already.
 */
int owner_assign(struct owner_table *t, hpa_t base, uint64_t bytes,
		 enum owner_kind kind) __must_use;

/**
 * Hand @count zeroed frames to @vm as @kind (VM or ARENA), in ascending order as far as is cheap,
 * from GiBs that are broken already as long as there are any; *@frames gets their addresses.
 * -HV_ERR_AGAIN: enough memory, but part of it waits: scrub (or get debts paid) and call again.
 * -HV_ERR_NOMEM: not enough even then. -HV_ERR_INVAL: kind, VM or count.
 */
int owner_alloc(struct owner_table *t, enum owner_kind kind, uint16_t vm, uint64_t count,
		hpa_t *frames) __must_use;

/**
 * Count the mappings of [@base, @base + @bytes), 4 KiB-aligned, by the EPT of @vm, whatever the
 * size of its leaves: what a frame's count holds is the number of its pages that are mapped.
 * -HV_ERR_INVAL: not a range of RAM. -HV_ERR_OWNER: not all of it VM frames of @vm.
 */
int owner_map_pages(struct owner_table *t, uint16_t vm, hpa_t base, uint64_t bytes) __must_use;

/** Undo owner_map_pages() for any part of it, after the leaves are gone. -HV_ERR_STATE: not mapped.
 */
int owner_unmap_pages(struct owner_table *t, uint16_t vm, hpa_t base, uint64_t bytes) __must_use;

/** The control domain may see this frame of @vm, before its EPT maps it; or its EPT no longer does
 * (it may owe a flush still). -HV_ERR_OWNER, -HV_ERR_STATE: is so already. */
int owner_share(struct owner_table *t, uint16_t vm, hpa_t frame, bool shared) __must_use;

/**
 * Take a VM or ARENA frame of @vm back, neither mapped nor shared (-HV_ERR_BUSY). Begins an epoch
 * of
 * @d, which *@epoch gets: the frame waits until no CPU owes it.
 */
int owner_reclaim(struct owner_table *t, struct debt *d, uint16_t vm, hpa_t frame,
		  uint64_t *epoch) __must_use;

/**
 * Take the oldest waiting frame to scrub it: zero it from *@dirt, its beginning or where
 * owner_scrub_leave() left it, with the lock dropped, then owner_scrub_done(). -HV_ERR_NOENT: none
 * waits. -HV_ERR_AGAIN: CPUs owe still; *@epoch gets what (for debt_owing()).
 */
int owner_scrub_take(struct owner_table *t, struct debt *d, hpa_t *dirt,
		     uint64_t *epoch) __must_use;

/**
 * The frame taken, in which @dirt lies, is zero up to there, a multiple of SCRUB_PART: it is the
 * next to be taken again. -HV_ERR_STATE: was not taken. -HV_ERR_INVAL: @dirt is not a part's
 * beginning, or before where it was taken.
 */
int owner_scrub_leave(struct owner_table *t, hpa_t dirt) __must_use;

/** @frame, taken by owner_scrub_take(), is zero: it becomes free. -HV_ERR_STATE: was not taken. */
int owner_scrub_done(struct owner_table *t, hpa_t frame) __must_use;

/** The entry of the frame that holds @pa, or NULL beyond RAM (which is OWNER_NONE). */
const struct frame *owner_of(const struct owner_table *t, hpa_t pa);

/** The first frame of @vm (either kind) at or above *@pa: moves *@pa there. False: there is none.
 * A VM is gone when this finds nothing from 0. */
bool owner_next(const struct owner_table *t, uint16_t vm, hpa_t *pa);

/** Frames that owner_alloc() can hand out at once, and those it could after scrubbing and paying.
 */
static inline uint64_t owner_free(const struct owner_table *t)
{
	return t->count[OWNER_FREE];
}

static inline uint64_t owner_waiting(const struct owner_table *t)
{
	return t->count[OWNER_WAITING] + t->count[OWNER_SCRUBBING];
}
