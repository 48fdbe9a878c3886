// SPDX-License-Identifier: MIT
/*
 * The ownership state machine (see owner.h).
 *
 * An array of 16-byte entries holds the truth. Two things are derived from it for speed and kept in
 * step by frame_become(), the only function that changes a kind: the exact count of each kind, and
 * per GiB a bitmap of its free frames. Waiting frames form one queue through the entries; since
 * reclaiming begins a new epoch each time, it is sorted by epoch and only its head is ever looked
 * at.
 */
#include <owner.h>

#define GROUP_FRAMES (GIB / FRAME_SIZE)
#define NO_FRAME     UINT32_MAX

static_assert(GROUP_FRAMES == 8 * 64, "one bit per frame of a group");

uint64_t owner_table_bytes(uint64_t ram_top)
{
	uint64_t frames = align_up(ram_top, FRAME_SIZE) / FRAME_SIZE;
	uint64_t groups = align_up(ram_top, GIB) / GIB;

	return frames * sizeof(struct frame) + groups * sizeof(struct frame_group);
}

void owner_init(struct owner_table *t, void *mem, uint64_t ram_top)
{
	*t = (struct owner_table){
		.frames = align_up(ram_top, FRAME_SIZE) / FRAME_SIZE,
		.groups = align_up(ram_top, GIB) / GIB,
		.waiting_head = NO_FRAME,
		.waiting_tail = NO_FRAME,
	};
	t->frame = mem;
	t->group = (struct frame_group *)(t->frame + t->frames);
	t->count[OWNER_NONE] = t->frames;
	for (uint64_t i = 0; i < t->frames; i++)
		t->frame[i].vm = OWNER_NO_VM;
}

static void frame_become(struct owner_table *t, uint64_t i, enum owner_kind kind, uint16_t vm)
{
	struct frame *f = &t->frame[i];
	struct frame_group *g = &t->group[i / GROUP_FRAMES];
	uint64_t *word = &g->free[i % GROUP_FRAMES / 64];

	if (f->kind == OWNER_FREE) {
		*word &= ~BIT64(i % 64);
		g->frees--;
	} else if (kind == OWNER_FREE) {
		*word |= BIT64(i % 64);
		g->frees++;
	}
	t->count[f->kind]--;
	t->count[kind]++;
	*f = (struct frame){.kind = (uint8_t)kind, .vm = vm};
}

static void waiting_push(struct owner_table *t, uint64_t i, uint64_t epoch)
{
	frame_become(t, i, OWNER_WAITING, OWNER_NO_VM);
	t->frame[i].epoch = epoch;
	t->frame[i].next = NO_FRAME;
	if (t->waiting_head == NO_FRAME)
		t->waiting_head = (uint32_t)i;
	else
		t->frame[t->waiting_tail].next = (uint32_t)i;
	t->waiting_tail = (uint32_t)i;
}

/** Boot only: the queue is rebuilt in order of address, leaving out frames that stopped waiting. */
static void waiting_rebuild(struct owner_table *t)
{
	t->waiting_head = t->waiting_tail = NO_FRAME;
	for (uint64_t i = 0; i < t->frames; i++)
		if (t->frame[i].kind == OWNER_WAITING)
			waiting_push(t, i, 0);
}

int owner_assign(struct owner_table *t, hpa_t base, uint64_t bytes, enum owner_kind kind)
{
	uint64_t end = base.v + bytes;
	uint64_t first, last;

	if (kind != OWNER_WAITING && kind != OWNER_CONTROL && kind != OWNER_HYPERVISOR)
		return -HV_ERR_INVAL;
	if (end < base.v || end > t->frames * FRAME_SIZE)
		return -HV_ERR_INVAL;
	if (t->count[OWNER_VM] + t->count[OWNER_ARENA] + t->count[OWNER_FREE] +
	    t->count[OWNER_SCRUBBING])
		return -HV_ERR_STATE;
	if (kind == OWNER_WAITING) {
		first = align_up(base.v, FRAME_SIZE) / FRAME_SIZE;
		last = end / FRAME_SIZE;
	} else {
		first = base.v / FRAME_SIZE;
		last = bytes ? align_up(end, FRAME_SIZE) / FRAME_SIZE : first;
	}
	for (uint64_t i = first; i < last; i++) {
		enum owner_kind was = t->frame[i].kind;

		if (was == OWNER_NONE || kind == OWNER_HYPERVISOR)
			frame_become(t, i, kind, OWNER_NO_VM);
		else if (was != kind)
			frame_become(t, i, OWNER_HYPERVISOR, OWNER_NO_VM);
	}
	waiting_rebuild(t);
	return 0;
}

/** Frames of one group, at most @count of them, to @vm; returns how many. */
static uint64_t group_take(struct owner_table *t, uint64_t group, struct frame to, uint64_t count,
			   owner_take_fn *take, void *ctx)
{
	uint64_t taken = 0;
	struct frame_run run = {.frames = 0};

	for (uint64_t w = 0; w < 8 && taken < count; w++) {
		while (t->group[group].free[w] && taken < count) {
			uint64_t bit = (uint64_t)__builtin_ctzll(t->group[group].free[w]);
			uint64_t i = group * GROUP_FRAMES + w * 64 + bit;

			frame_become(t, i, to.kind, to.vm);
			taken++;
			if (run.frames && run.base.v + run.frames * FRAME_SIZE == i * FRAME_SIZE) {
				run.frames++;
				continue;
			}
			if (run.frames)
				take(ctx, run);
			run = (struct frame_run){HPA(i * FRAME_SIZE), 1};
		}
	}
	if (run.frames)
		take(ctx, run);
	return taken;
}

int owner_alloc(struct owner_table *t, enum owner_kind kind, uint16_t vm, uint64_t count,
		owner_take_fn *take, void *ctx)
{
	struct frame to = {.kind = (uint8_t)kind, .vm = vm};
	uint64_t left = count;

	if ((kind != OWNER_VM && kind != OWNER_ARENA) || vm == OWNER_NO_VM || !count)
		return -HV_ERR_INVAL;
	if (count > t->count[OWNER_FREE])
		return count - t->count[OWNER_FREE] <= owner_waiting(t) ? -HV_ERR_AGAIN
									: -HV_ERR_NOMEM;

	for (uint64_t g = 0; g < t->groups && left >= GROUP_FRAMES; g++)
		if (t->group[g].frees == GROUP_FRAMES)
			left -= group_take(t, g, to, left, take, ctx);
	for (int whole = 0; whole < 2;
	     whole++) { /* a whole GiB is broken only when nothing else is left */
		for (uint64_t n = 0; n < t->groups && left; n++) {
			uint64_t g = (t->hint + n) % t->groups;

			if (!t->group[g].frees || (t->group[g].frees == GROUP_FRAMES && !whole))
				continue;
			left -= group_take(t, g, to, left, take, ctx);
			if (!left)
				t->hint = g;
		}
	}
	return 0;
}

/** Decode @run to [*first, *last); false if it is not a run of RAM frames. */
static bool run_decode(const struct owner_table *t, struct frame_run run, uint64_t *first,
		       uint64_t *last)
{
	*first = run.base.v / FRAME_SIZE;
	*last = *first + run.frames;
	return is_aligned(run.base.v, FRAME_SIZE) && run.frames && *first < t->frames &&
	       run.frames <= t->frames - *first;
}

int owner_map(struct owner_table *t, uint16_t vm, struct frame_run run)
{
	uint64_t first, last;

	if (vm == OWNER_NO_VM || !run_decode(t, run, &first, &last))
		return -HV_ERR_INVAL;
	for (uint64_t i = first; i < last; i++) {
		const struct frame *f = &t->frame[i];

		if (f->kind != OWNER_CONTROL && (f->kind != OWNER_VM || f->vm != vm))
			return -HV_ERR_OWNER;
		if (f->mapped == UINT32_MAX)
			return -HV_ERR_BUSY;
	}
	for (uint64_t i = first; i < last; i++)
		t->frame[i].mapped++;
	return 0;
}

int owner_unmap(struct owner_table *t, uint16_t vm, struct frame_run run)
{
	uint64_t first, last;

	if (vm == OWNER_NO_VM || !run_decode(t, run, &first, &last))
		return -HV_ERR_INVAL;
	for (uint64_t i = first; i < last; i++) {
		const struct frame *f = &t->frame[i];

		if (f->kind != OWNER_CONTROL && (f->kind != OWNER_VM || f->vm != vm))
			return -HV_ERR_OWNER;
		if (!f->mapped)
			return -HV_ERR_STATE;
	}
	for (uint64_t i = first; i < last; i++)
		t->frame[i].mapped--;
	return 0;
}

static int set_shared(struct owner_table *t, uint16_t vm, struct frame_run run, uint8_t shared)
{
	uint64_t first, last;

	if (vm == OWNER_NO_VM || !run_decode(t, run, &first, &last))
		return -HV_ERR_INVAL;
	for (uint64_t i = first; i < last; i++) {
		if (t->frame[i].kind != OWNER_VM || t->frame[i].vm != vm)
			return -HV_ERR_OWNER;
		if (t->frame[i].shared == shared)
			return -HV_ERR_STATE;
	}
	for (uint64_t i = first; i < last; i++)
		t->frame[i].shared = shared;
	return 0;
}

/* Pages of [@base, @end) that lie in frame @i. */
static uint32_t pages_in_frame(uint64_t i, uint64_t base, uint64_t end)
{
	uint64_t from = max_u64(base, i * FRAME_SIZE), to = min_u64(end, (i + 1) * FRAME_SIZE);

	return (uint32_t)((to - from) / PAGE_SIZE);
}

static int pages_check(const struct owner_table *t, uint16_t vm, uint64_t base, uint64_t bytes)
{
	if (vm == OWNER_NO_VM || !bytes || !is_aligned(base | bytes, PAGE_SIZE) ||
	    base >= t->frames * FRAME_SIZE || bytes > t->frames * FRAME_SIZE - base)
		return -HV_ERR_INVAL;
	for (uint64_t i = base / FRAME_SIZE; i * FRAME_SIZE < base + bytes; i++)
		if (t->frame[i].kind != OWNER_VM || t->frame[i].vm != vm)
			return -HV_ERR_OWNER;
	return 0;
}

int owner_map_pages(struct owner_table *t, uint16_t vm, hpa_t base, uint64_t bytes)
{
	uint64_t end = base.v + bytes;
	int err = pages_check(t, vm, base.v, bytes);

	if (err)
		return err;
	for (uint64_t i = base.v / FRAME_SIZE; i * FRAME_SIZE < end; i++)
		if (t->frame[i].mapped > UINT32_MAX - pages_in_frame(i, base.v, end))
			return -HV_ERR_BUSY;
	for (uint64_t i = base.v / FRAME_SIZE; i * FRAME_SIZE < end; i++)
		t->frame[i].mapped += pages_in_frame(i, base.v, end);
	return 0;
}

int owner_unmap_pages(struct owner_table *t, uint16_t vm, hpa_t base, uint64_t bytes)
{
	uint64_t end = base.v + bytes;
	int err = pages_check(t, vm, base.v, bytes);

	if (err)
		return err;
	for (uint64_t i = base.v / FRAME_SIZE; i * FRAME_SIZE < end; i++)
		if (t->frame[i].mapped < pages_in_frame(i, base.v, end))
			return -HV_ERR_STATE;
	for (uint64_t i = base.v / FRAME_SIZE; i * FRAME_SIZE < end; i++)
		t->frame[i].mapped -= pages_in_frame(i, base.v, end);
	return 0;
}

int owner_share(struct owner_table *t, uint16_t vm, struct frame_run run)
{
	return set_shared(t, vm, run, 1);
}

int owner_unshare(struct owner_table *t, uint16_t vm, struct frame_run run)
{
	return set_shared(t, vm, run, 0);
}

int owner_reclaim(struct owner_table *t, struct debt *d, uint16_t vm, struct frame_run run,
		  uint64_t *epoch)
{
	uint64_t first, last;

	if (vm == OWNER_NO_VM || !run_decode(t, run, &first, &last))
		return -HV_ERR_INVAL;
	for (uint64_t i = first; i < last; i++) {
		const struct frame *f = &t->frame[i];

		if ((f->kind != OWNER_VM && f->kind != OWNER_ARENA) || f->vm != vm)
			return -HV_ERR_OWNER;
		if (f->mapped || f->shared)
			return -HV_ERR_BUSY;
	}
	*epoch = debt_new(d);
	for (uint64_t i = first; i < last; i++)
		waiting_push(t, i, *epoch);
	return 0;
}

int owner_scrub_take(struct owner_table *t, struct debt *d, hpa_t *frame, uint64_t *epoch)
{
	uint32_t i = t->waiting_head;

	if (i == NO_FRAME)
		return -HV_ERR_NOENT;
	*epoch = t->frame[i].epoch;
	if (!debt_cleared(d, *epoch))
		return -HV_ERR_AGAIN;
	t->waiting_head = t->frame[i].next;
	if (t->waiting_head == NO_FRAME)
		t->waiting_tail = NO_FRAME;
	frame_become(t, i, OWNER_SCRUBBING, OWNER_NO_VM);
	*frame = HPA(i * FRAME_SIZE);
	return 0;
}

int owner_scrub_done(struct owner_table *t, hpa_t frame)
{
	uint64_t first, last;

	if (!run_decode(t, (struct frame_run){frame, 1}, &first, &last))
		return -HV_ERR_INVAL;
	if (t->frame[first].kind != OWNER_SCRUBBING)
		return -HV_ERR_STATE;
	frame_become(t, first, OWNER_FREE, OWNER_NO_VM);
	return 0;
}

const struct frame *owner_of(const struct owner_table *t, hpa_t pa)
{
	return pa.v / FRAME_SIZE < t->frames ? &t->frame[pa.v / FRAME_SIZE] : NULL;
}

bool owner_next(const struct owner_table *t, uint16_t vm, hpa_t *pa)
{
	for (uint64_t i = align_up(pa->v, FRAME_SIZE) / FRAME_SIZE; i < t->frames; i++) {
		if (t->frame[i].vm == vm && vm != OWNER_NO_VM) {
			*pa = HPA(i * FRAME_SIZE);
			return true;
		}
	}
	return false;
}
