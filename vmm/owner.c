// SPDX-License-Identifier: MIT
/*
 * The ownership state machine (see owner.h).
 *
 * An array of 16-byte entries holds the truth. Two things are derived from it for speed and kept in
 * step by frame_become(), the only function that changes a kind: the exact count of each kind, and
 * per GiB a bitmap of its free frames. Waiting frames form one queue through the entries; since
 * reclaiming begins a new epoch each time, it is sorted by epoch and only its head is ever looked
 * at. A frame left half zeroed comes back to the head: nobody owes for it.
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

int owner_assign(struct owner_table *t, hpa_t base, uint64_t bytes, enum owner_kind kind)
{
	bool to_pool = kind == OWNER_WAITING;
	uint64_t end = base.v + bytes;
	uint64_t first = (to_pool ? align_up(base.v, FRAME_SIZE) : base.v) / FRAME_SIZE;
	uint64_t last = (to_pool ? end : align_up(end, FRAME_SIZE)) / FRAME_SIZE;

	if (!to_pool && kind != OWNER_CONTROL && kind != OWNER_HYPERVISOR)
		return -HV_ERR_INVAL;
	if (end < base.v || end > t->frames * FRAME_SIZE)
		return -HV_ERR_INVAL;
	if (!to_pool && owner_free(t) + owner_waiting(t))
		return -HV_ERR_STATE;
	for (uint64_t i = first; bytes && i < last; i++) {
		enum owner_kind was = t->frame[i].kind;

		if (!to_pool)
			frame_become(t, i,
				     was == OWNER_NONE || was == kind ? kind : OWNER_HYPERVISOR,
				     OWNER_NO_VM);
		else if (was == OWNER_NONE)
			waiting_push(t, i, 0);
	}
	return 0;
}

int owner_alloc(struct owner_table *t, enum owner_kind kind, uint16_t vm, uint64_t count,
		hpa_t *frames)
{
	uint64_t done = 0, start = t->hint;

	if ((kind != OWNER_VM && kind != OWNER_ARENA) || vm == OWNER_NO_VM || !count)
		return -HV_ERR_INVAL;
	if (count > owner_free(t))
		return count - owner_free(t) <= owner_waiting(t) ? -HV_ERR_AGAIN : -HV_ERR_NOMEM;

	/* A whole GiB is broken only when nothing else is left. */
	for (uint64_t n = 0; n < 2 * t->groups && done < count; n++) {
		uint64_t g = (start + n) % t->groups;
		struct frame_group *group = &t->group[g];

		if (group->frees == GROUP_FRAMES && n < t->groups)
			continue;
		for (uint64_t w = 0; w < ARRAY_SIZE(group->free); w++)
			while (group->free[w] && done < count) {
				uint64_t bit = (uint64_t)__builtin_ctzll(group->free[w]);
				uint64_t i = g * GROUP_FRAMES + w * 64 + bit;

				frame_become(t, i, kind, vm);
				frames[done++] = HPA(i * FRAME_SIZE);
				t->hint = g;
			}
	}
	return 0;
}

/* Pages of [@base, @end) that lie in frame @i. */
static uint32_t pages_in_frame(uint64_t i, uint64_t base, uint64_t end)
{
	uint64_t from = max_u64(base, i * FRAME_SIZE), to = min_u64(end, (i + 1) * FRAME_SIZE);

	return (uint32_t)((to - from) / PAGE_SIZE);
}

static int count_pages(struct owner_table *t, uint16_t vm, uint64_t base, uint64_t bytes, bool map)
{
	uint64_t end = base + bytes, first = base / FRAME_SIZE;

	if (vm == OWNER_NO_VM || !bytes || !is_aligned(base | bytes, PAGE_SIZE) ||
	    base >= t->frames * FRAME_SIZE || bytes > t->frames * FRAME_SIZE - base)
		return -HV_ERR_INVAL;
	for (uint64_t i = first; i * FRAME_SIZE < end; i++) {
		const struct frame *f = &t->frame[i];
		uint32_t pages = pages_in_frame(i, base, end);

		if (f->kind != OWNER_VM || f->vm != vm)
			return -HV_ERR_OWNER;
		if (map && f->mapped > UINT32_MAX - pages)
			return -HV_ERR_BUSY;
		if (!map && f->mapped < pages)
			return -HV_ERR_STATE;
	}
	for (uint64_t i = first; i * FRAME_SIZE < end; i++) {
		uint32_t pages = pages_in_frame(i, base, end);

		t->frame[i].mapped += map ? pages : -pages;
	}
	return 0;
}

int owner_map_pages(struct owner_table *t, uint16_t vm, hpa_t base, uint64_t bytes)
{
	return count_pages(t, vm, base.v, bytes, true);
}

int owner_unmap_pages(struct owner_table *t, uint16_t vm, hpa_t base, uint64_t bytes)
{
	return count_pages(t, vm, base.v, bytes, false);
}

static struct frame *frame_at(const struct owner_table *t, hpa_t frame)
{
	return is_aligned(frame.v, FRAME_SIZE) && frame.v / FRAME_SIZE < t->frames
		       ? &t->frame[frame.v / FRAME_SIZE]
		       : NULL;
}

int owner_share(struct owner_table *t, uint16_t vm, hpa_t frame, bool shared)
{
	struct frame *f = frame_at(t, frame);

	if (!f || vm == OWNER_NO_VM)
		return -HV_ERR_INVAL;
	if (f->kind != OWNER_VM || f->vm != vm)
		return -HV_ERR_OWNER;
	if (f->shared == shared)
		return -HV_ERR_STATE;
	f->shared = shared;
	return 0;
}

int owner_reclaim(struct owner_table *t, struct debt *d, uint16_t vm, hpa_t frame, uint64_t *epoch)
{
	const struct frame *f = frame_at(t, frame);

	if (!f || vm == OWNER_NO_VM)
		return -HV_ERR_INVAL;
	if ((f->kind != OWNER_VM && f->kind != OWNER_ARENA) || f->vm != vm)
		return -HV_ERR_OWNER;
	if (f->mapped || f->shared)
		return -HV_ERR_BUSY;
	*epoch = debt_new(d);
	waiting_push(t, frame.v / FRAME_SIZE, *epoch);
	return 0;
}

int owner_scrub_take(struct owner_table *t, struct debt *d, hpa_t *dirt, uint64_t *epoch)
{
	uint32_t i = t->waiting_head;
	uint8_t zeroed;

	if (i == NO_FRAME)
		return -HV_ERR_NOENT;
	*epoch = t->frame[i].epoch;
	if (!debt_cleared(d, *epoch))
		return -HV_ERR_AGAIN;
	t->waiting_head = t->frame[i].next;
	if (t->waiting_head == NO_FRAME)
		t->waiting_tail = NO_FRAME;
	zeroed = t->frame[i].zeroed;
	frame_become(t, i, OWNER_SCRUBBING, OWNER_NO_VM);
	t->frame[i].zeroed = zeroed;
	*dirt = HPA(i * FRAME_SIZE + zeroed * SCRUB_PART);
	return 0;
}

/* At the head of the queue, as its debt is paid: epoch 0. */
int owner_scrub_leave(struct owner_table *t, hpa_t dirt)
{
	struct frame *f = frame_at(t, HPA(align_down(dirt.v, FRAME_SIZE)));
	uint8_t zeroed = (uint8_t)(dirt.v % FRAME_SIZE / SCRUB_PART);

	if (!f || f->kind != OWNER_SCRUBBING)
		return -HV_ERR_STATE;
	if (!is_aligned(dirt.v, SCRUB_PART) || zeroed < f->zeroed)
		return -HV_ERR_INVAL;
	frame_become(t, dirt.v / FRAME_SIZE, OWNER_WAITING, OWNER_NO_VM);
	f->zeroed = zeroed;
	f->next = t->waiting_head;
	t->waiting_head = (uint32_t)(dirt.v / FRAME_SIZE);
	if (t->waiting_tail == NO_FRAME)
		t->waiting_tail = t->waiting_head;
	return 0;
}

int owner_scrub_done(struct owner_table *t, hpa_t frame)
{
	const struct frame *f = frame_at(t, frame);

	if (!f || f->kind != OWNER_SCRUBBING)
		return -HV_ERR_STATE;
	frame_become(t, frame.v / FRAME_SIZE, OWNER_FREE, OWNER_NO_VM);
	return 0;
}

const struct frame *owner_of(const struct owner_table *t, hpa_t pa)
{
	return frame_at(t, HPA(align_down(pa.v, FRAME_SIZE)));
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
