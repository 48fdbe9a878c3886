// SPDX-License-Identifier: MIT
/*
 * Creation, look-up and destruction of VMs; see vm.h.
 *
 * Destruction needs no cooperation: no vCPU runs (nobody holds the VM), so its tables are simply
 * forgotten and its frames given back under one TLB debt. What other CPUs still have in their TLBs
 * keeps the frames waiting, not us.
 */
#define LOG_TAG "vm"
#include <string.h>

#include <calls.h>
#include <log.h>
#include <panic.h>
#include <platform.h>
#include <pool.h>
#include <tlb.h>
#include <vm.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/percpu.h>
#include <x86/virt.h>

#define FRAMES_PER_CALL 64 /* handed out in one call, when they are clean */
#define SCRUBS_PER_CALL 4  /* zeroed in one call, when they are not: under a millisecond */
#define FUNDS_PER_CALL	16
#define PAGES_PER_FRAME (FRAME_SIZE / PAGE_SIZE)

static_assert(sizeof(struct vm) <= PAGE_SIZE, "first page of the arena");

static struct vm *table[VM_SLOTS];
static uint32_t holds[VM_SLOTS]; /* not in the VM, which may be gone when one looks */
static uint16_t generation[VM_SLOTS];
static struct lock table_lock;
static struct log_limit name_limit;

static struct hv_vm_name name_of[VM_SLOTS]; /* by slot, also while it is reserved */

/* Keeps a slot taken while its VM is being made or taken apart: no handle is 0. */
static struct vm reserved;

static void release_slot(unsigned int slot)
{
	__atomic_fetch_sub(&holds[slot], 1, __ATOMIC_SEQ_CST);
}

/* Without a lock, for each stay in a guest begins and ends here: first the hold, then the look
 * whether the VM is still there. call_vm_destroy() does it the other way round, so one of the two
 * sees the other. */
struct vm *vm_hold(uint64_t handle)
{
	unsigned int slot = handle & 0xffff;
	struct vm *vm;

	if (!handle || handle > UINT32_MAX || slot >= VM_SLOTS)
		return NULL;
	__atomic_fetch_add(&holds[slot], 1, __ATOMIC_SEQ_CST);
	vm = __atomic_load_n(&table[slot], __ATOMIC_SEQ_CST);
	if (likely(vm && vm->handle == handle))
		return vm;
	release_slot(slot);
	return NULL;
}

void vm_release(struct vm *vm)
{
	release_slot(vm->slot);
}

uint32_t vm_holds(const struct vm *vm)
{
	return __atomic_load_n(&holds[vm->slot], __ATOMIC_SEQ_CST);
}

/* --- arena --- */

hpa_t vm_hpa(const void *p)
{
	return arena_hpa(p);
}

/* Pages that may be taken: those that are promised to the page tables stay. */
static uint64_t pages_left(const struct vm *vm)
{
	return vm->free_page_count + (vm->bump_end - vm->bump) / PAGE_SIZE -
	       (vm->promised ? *vm->promised : 0);
}

void *vm_pages(struct vm *vm, unsigned int n)
{
	uint64_t at = vm->bump;

	if (pages_left(vm) < n || vm->bump_end - at < n * PAGE_SIZE)
		return NULL;
	vm->bump += n * PAGE_SIZE;
	return arena_ptr(HPA(at));
}

void *vm_page(struct vm *vm)
{
	void *p = vm->free_pages;

	if (!pages_left(vm))
		return NULL;
	if (!p)
		return vm_pages(vm, 1);
	vm->free_pages = *(void **)p;
	vm->free_page_count--;
	*(void **)p = NULL;
	return p;
}

static void list_page(struct vm *vm, void *page)
{
	*(void **)page = vm->free_pages;
	vm->free_pages = page;
	vm->free_page_count++;
}

void vm_page_free(struct vm *vm, void *page)
{
	memset(page, 0, PAGE_SIZE);
	list_page(vm, page);
}

uint64_t vm_frames_short(const struct vm *vm, uint64_t pages)
{
	uint64_t have = pages_left(vm);

	return pages > have ? (pages - have + PAGES_PER_FRAME - 1) / PAGES_PER_FRAME : 0;
}

/* What is left of the present frame goes to the list, the new one becomes the source of runs. */
static void arena_add(struct vm *vm, hpa_t frame)
{
	arena_map(frame);
	for (; vm->bump < vm->bump_end; vm->bump += PAGE_SIZE)
		list_page(vm, arena_ptr(HPA(vm->bump)));
	vm->bump = frame.v;
	vm->bump_end = frame.v + FRAME_SIZE;
	vm->arena_frames++;
	vm->frames++;
}

/* --- frames of the pool --- */

static void give_back(uint16_t slot, hpa_t frame, uint64_t *epoch)
{
	BUG_ON(owner_reclaim(&pool, &tlb_debt, slot, frame, epoch) < 0);
}

/* The control domain sees the frame no more, and nobody owns it. */
static void hide_and_give_back(uint16_t slot, hpa_t frame, uint64_t *epoch)
{
	virt_control_hide(frame);
	if (owner_of(&pool, frame)->shared)
		BUG_ON(owner_share(&pool, slot, frame, false) < 0);
	give_back(slot, frame, epoch);
}

/*
 * Up to @want frames for @slot; how many, or why none. OWNER_VM ones are shown to the control
 * domain before the lock is dropped, for from then on another CPU may free them.
 */
static int take_frames(enum owner_kind kind, uint16_t slot, uint64_t want, hpa_t *frames)
{
	int err, given = 0;
	unsigned int scrub;
	uint64_t epoch;

	lock(&pool_lock);
	if (owner_free(&pool) < want) {
		want = max_u64(owner_free(&pool), min_u64(want, SCRUBS_PER_CALL));
		scrub = (unsigned int)(want - owner_free(&pool));
		unlock(&pool_lock);
		pool_scrub(scrub);
		lock(&pool_lock);
	}
	if (owner_free(&pool))
		want = min_u64(want, owner_free(&pool));
	err = owner_alloc(&pool, kind, slot, want, frames);
	for (uint64_t i = 0; i < want && !err; i++) {
		bool touched = kind == OWNER_VM ? !virt_control_show(frames[i])
						: virt_control_unsink(frames[i]);

		/* Touched while it was a hole: CPUs may still translate it to the sink. Back in the
		 * queue. */
		if (touched) {
			give_back(slot, frames[i], &epoch);
			continue;
		}
		if (kind == OWNER_VM)
			BUG_ON(owner_share(&pool, slot, frames[i], true) < 0);
		frames[given++] = frames[i];
	}
	unlock(&pool_lock);
	if (err)
		return err;
	return given ? given : -HV_ERR_AGAIN;
}

/* --- life --- */

/* Names get into lines of the log. */
static bool printable(const char *name)
{
	for (; *name; name++)
		if (*name < ' ' || *name > '~')
			return false;
	return true;
}

/* Context: table_lock. @name NULL: only the UUID counts. */
static bool name_taken(uint16_t slot, const uint8_t uuid[16], const char *name)
{
	static const uint8_t nil[16];
	bool any = memcmp(uuid, nil, sizeof(nil));

	for (uint16_t i = 0; i < VM_SLOTS; i++)
		if (table[i] && i != slot &&
		    ((any && !memcmp(name_of[i].uuid, uuid, sizeof(nil))) ||
		     (name && !strcmp(name_of[i].name, name))))
			return true;
	return false;
}

static int reserve_slot(const struct hv_vm_create *args, uint16_t *slot)
{
	int err = -HV_ERR_NOMEM;

	lock(&table_lock);
	if (name_taken(VM_SLOTS, args->uuid, NULL))
		err = -HV_ERR_EXIST;
	for (uint16_t i = 0; i < VM_SLOTS && err == -HV_ERR_NOMEM; i++)
		if (!table[i]) {
			table[i] = &reserved;
			name_of[i] = (struct hv_vm_name){0};
			memcpy(name_of[i].uuid, args->uuid, sizeof(args->uuid));
			memcpy(name_of[i].name, args->name, sizeof(args->name));
			*slot = i;
			err = 0;
		}
	unlock(&table_lock);
	return err;
}

static void set_slot(uint16_t slot, struct vm *vm)
{
	lock(&table_lock);
	__atomic_store_n(&table[slot], vm, __ATOMIC_SEQ_CST);
	unlock(&table_lock);
}

int64_t call_vm_create(struct call *c)
{
	struct hv_vm_create args;
	hpa_t frame;
	uint16_t slot;
	struct vm *vm;
	int err;

	memcpy(&args, c->page, sizeof(args));
	args.name[sizeof(args.name) - 1] = 0;
	if (!args.vcpus || args.vcpus > HV_MAX_VCPUS || args.pad || !printable(args.name))
		return -HV_ERR_INVAL;
	if (args.tsc_khz && args.tsc_khz != platform.tsc_khz)
		return -HV_ERR_UNSUPPORTED;
	err = reserve_slot(&args, &slot);
	if (err)
		return err;
	err = take_frames(OWNER_ARENA, slot, 1, &frame);
	if (err < 0) {
		set_slot(slot, NULL);
		return err;
	}

	vm = arena_map(frame);
	memset(vm, 0, sizeof(*vm));
	vm->slot = slot;
	vm->args = args;
	arena_add(vm, frame);
	vm->bump += PAGE_SIZE;	  /* this structure */
	BUG_ON(virt_vm_init(vm)); /* a whole frame is enough */
	generation[slot] = (uint16_t)(generation[slot] % 0x7fff + 1);
	vm->handle = slot | (uint32_t)generation[slot] << 16;
	set_slot(slot, vm);
	log_dbg("VM %x '%s' created, %u vCPUs at most", vm->handle, args.name, args.vcpus);
	return vm->handle;
}

int64_t call_vm_name(struct call *c)
{
	struct vm *vm = c->vm;
	struct hv_vm_name wanted;
	bool taken;

	memcpy(&wanted, c->page, sizeof(wanted));
	if (wanted.flags & ~HV_VM_KEEP || wanted.pad || !wanted.name[0] ||
	    wanted.name[sizeof(wanted.name) - 1] || !printable(wanted.name))
		return -HV_ERR_INVAL;
	if (wanted.flags & HV_VM_KEEP && vm->lent_pages)
		return -HV_ERR_STATE;
	lock(&table_lock);
	taken = name_taken(vm->slot, wanted.uuid, wanted.name);
	if (!taken)
		name_of[vm->slot] = wanted;
	unlock(&table_lock);
	if (taken)
		return -HV_ERR_EXIST;
	vm->kept = wanted.flags & HV_VM_KEEP;
	log_limited(&name_limit, vm->kept ? LOG_INFO : LOG_DBG, "VM %x is '%s' now%s", vm->handle,
		    wanted.name, vm->kept ? ", and outlives its process" : "");
	return 0;
}

int64_t call_vm_fund(struct call *c)
{
	struct vm *vm = vm_hold(c->args[0]);
	int64_t err = 0;
	hpa_t frame;

	if (!vm)
		return -HV_ERR_NOENT;
	if (!c->args[1] || c->args[1] > FUNDS_PER_CALL)
		err = -HV_ERR_INVAL;
	for (uint64_t i = 0; i < c->args[1] && err >= 0; i++) {
		err = take_frames(OWNER_ARENA, vm->slot, 1, &frame);
		if (err < 0)
			break;
		lock(&vm->lock);
		arena_add(vm, frame);
		unlock(&vm->lock);
	}
	vm_release(vm);
	return err < 0 ? err : 0;
}

/* Give back every frame of a VM that nobody can find any more. */
static uint64_t reclaim_all(uint16_t slot)
{
	uint64_t epoch = 0;
	hpa_t pa = HPA(0);

	lock(&pool_lock);
	for (; owner_next(&pool, slot, &pa); pa.v += FRAME_SIZE) {
		const struct frame *f = owner_of(&pool, pa);

		if (f->kind == OWNER_ARENA)
			arena_unmap(pa);
		while (f->kind == OWNER_VM && f->mapped) { /* more than once, perhaps */
			uint64_t pages = min_u64(f->mapped, PAGES_PER_FRAME);

			BUG_ON(owner_unmap_pages(&pool, slot, pa, pages * PAGE_SIZE) < 0);
		}
		hide_and_give_back(slot, pa, &epoch);
	}
	unlock(&pool_lock);
	return epoch;
}

int64_t call_vm_destroy(struct call *c)
{
	struct vm *vm = vm_hold(c->args[0]);
	uint64_t epoch;
	uint16_t slot;
	bool busy;

	if (!vm)
		return -HV_ERR_NOENT;
	slot = vm->slot;
	lock(&table_lock);
	busy = vm_holds(vm) > 1;
	if (!busy) { /* nobody finds it any more; but somebody may have just before */
		__atomic_store_n(&table[slot], &reserved, __ATOMIC_SEQ_CST);
		busy = vm_holds(vm) > 1;
		if (busy)
			__atomic_store_n(&table[slot], vm, __ATOMIC_SEQ_CST);
	}
	unlock(&table_lock);
	if (busy) {
		release_slot(slot);
		return -HV_ERR_BUSY;
	}
	log_dbg("VM %lx '%s' destroyed", c->args[0], name_of[slot].name);
	epoch = reclaim_all(slot);
	release_slot(slot);
	set_slot(slot, NULL);
	return (int64_t)epoch;
}

int64_t call_vm_info(struct call *c)
{
	struct hv_vm_info *info = c->page;
	uint64_t slot = c->args[0];
	const struct vm *vm;

	if (slot >= VM_SLOTS)
		return -HV_ERR_INVAL;
	memset(info, 0, sizeof(*info));
	lock(&table_lock);
	vm = table[slot];
	if (vm && vm->handle) {
		memcpy(info->uuid, name_of[slot].uuid, sizeof(info->uuid));
		memcpy(info->name, name_of[slot].name, sizeof(info->name));
		info->flags = name_of[slot].flags;
		info->handle = vm->handle;
		info->vcpus = vm->vcpus;
		info->frames = vm->frames;
		info->arena_frames = vm->arena_frames;
		info->arena_free_pages = pages_left(vm);
	}
	unlock(&table_lock);
	return 0;
}

unsigned int vm_count(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VM_SLOTS; i++)
		n += table[i] != NULL;
	return n;
}

/* --- pool memory --- */

int64_t call_pool_alloc(struct call *c)
{
	struct vm *vm = vm_hold(c->args[0]);
	hpa_t frames[FRAMES_PER_CALL];
	uint64_t *out = c->page;
	int given = -HV_ERR_INVAL;

	if (!vm)
		return -HV_ERR_NOENT;
	if (c->args[1])
		given = take_frames(OWNER_VM, vm->slot, min_u64(c->args[1], FRAMES_PER_CALL),
				    frames);
	lock(&vm->lock);
	for (int i = 0; i < given; i++) {
		out[i] = frames[i].v;
		vm->frames++;
	}
	unlock(&vm->lock);
	vm_release(vm);
	return given;
}

int64_t call_pool_free(struct call *c)
{
	struct vm *vm = vm_hold(c->args[0]);
	uint64_t base = c->args[1], count = c->args[2], epoch = 0;
	int64_t err = 0;

	if (!vm)
		return -HV_ERR_NOENT;
	lock(&pool_lock);
	if (!is_aligned(base, FRAME_SIZE) || !count || base >= pool.frames * FRAME_SIZE ||
	    count > pool.frames - base / FRAME_SIZE)
		err = -HV_ERR_INVAL;
	for (uint64_t i = 0; i < count && !err; i++) {
		const struct frame *f = owner_of(&pool, HPA(base + i * FRAME_SIZE));

		if (f->kind != OWNER_VM || f->vm != vm->slot)
			err = -HV_ERR_OWNER;
		else if (f->mapped)
			err = -HV_ERR_BUSY;
	}
	for (uint64_t i = 0; i < count && !err; i++)
		hide_and_give_back(vm->slot, HPA(base + i * FRAME_SIZE), &epoch);
	unlock(&pool_lock);
	if (!err) {
		lock(&vm->lock);
		vm->frames -= count;
		unlock(&vm->lock);
	}
	vm_release(vm);
	return err ? err : (int64_t)epoch;
}
