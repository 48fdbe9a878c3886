// SPDX-License-Identifier: MIT
/*
 * The identity map of control_ept.h, its sink, and the MTRR copy behind it.
 *
 * All table pages come from the heap at boot; a small reserve covers what may have to be split
 * later. A 2 MiB entry of a hole that was touched points to one shared table whose 512 entries are
 * the sink page: no amount of probing takes memory. Map changes after boot are serialised by a lock
 * of this file.
 */
#define LOG_TAG "memory"
#include <string.h>

#include <log.h>
#include <panic.h>
#include <lock.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <tlb.h>
#include <x86/virt.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define MTRR_DEF_ENABLE BIT64(11)
#define WB_RWX		(EPT_RWX | EPT_TYPE(MEMORY_WB))

struct control_map control_map;
static struct lock map_lock;
static struct log_limit limit_touch;

static void *page_alloc(void *ctx)
{
	void *p = control_map.free_pages;

	(void)ctx;
	if (p) {
		control_map.free_pages = *(void **)p;
		*(void **)p = NULL;
	}
	return p;
}

void control_ept_page_free(void *p)
{
	memset(p, 0, PAGE_SIZE);
	*(void **)p = control_map.free_pages;
	control_map.free_pages = p;
}

static hpa_t page_hpa(void *ctx, const void *page)
{
	(void)ctx;
	return hpa_of(page);
}

static void *page_ptr(void *ctx, hpa_t page)
{
	(void)ctx;
	return heap_ptr(page);
}

const struct ept_pages control_ept_pages = {
	.alloc = page_alloc, .hpa_of = page_hpa, .ptr_of = page_ptr};

uint64_t control_ept_pointer(void)
{
	return ept_pointer(&control_map.ept, false);
}

/* Table pages unlinked here are few (vCPU pages' tables) and their users pay before the pool frame
 * is reused; they go back to the list when hidden frames are reclaimed. */
static struct ept_freed unlinked;
static uint64_t unlinked_epoch;

/* Drop the pointer to the sink table from a frame's entry. True if it was there. */
static bool unsink(uint64_t pa)
{
	unsigned int level;
	uint64_t *e = ept_entry(&control_map.ept, pa, EPT_2M, &level);

	if (level != EPT_2M || (*e & EPT_ADDRESS) != hpa_of(control_map.sink_table).v)
		return false;
	__atomic_store_n(e, 0, __ATOMIC_RELEASE);
	return true;
}

static void collect_unlinked(void)
{
	void *p;

	if (!unlinked.first || !debt_cleared(&tlb_debt, unlinked_epoch))
		return;
	while ((p = ept_freed_pop(&control_map.ept, &unlinked)))
		control_ept_page_free(p);
}

bool virt_control_show(hpa_t frame)
{
	bool sunk;

	lock(&map_lock);
	sunk = unsink(frame.v);
	/* The pool's tables exist since boot, so this cannot run out of them. */
	if (!sunk && ept_set(&control_map.ept, GPA(frame.v), EPT_2M, frame, WB_RWX, &unlinked) < 0)
		panic("pool frame %#lx has no table", frame.v);
	unlock(&map_lock);
	return !sunk;
}

void virt_control_hide(hpa_t frame)
{
	lock(&map_lock);
	unsink(frame.v);
	if (ept_set(&control_map.ept, GPA(frame.v), EPT_2M, frame, 0, &unlinked) < 0)
		panic("pool frame %#lx has no table", frame.v);
	if (unlinked.first)
		unlinked_epoch = debt_new(&tlb_debt);
	collect_unlinked();
	unlock(&map_lock);
}

bool virt_control_unsink(hpa_t frame)
{
	bool was;

	lock(&map_lock);
	was = unsink(frame.v);
	unlock(&map_lock);
	return was;
}

/* The table of sinks is shared by all holes: a page is never shown through it. */
static bool unsink_page(uint64_t pa)
{
	unsigned int level;
	uint64_t *e;

	if (unsink(pa))
		return true;
	e = ept_entry(&control_map.ept, pa, EPT_4K, &level);
	if (level != EPT_4K || (*e & EPT_ADDRESS) != control_map.sink_page.v)
		return false;
	__atomic_store_n(e, 0, __ATOMIC_RELEASE);
	return true;
}

int control_ept_show_pages(hpa_t page, unsigned int count)
{
	int err = 0;

	lock(&map_lock);
	collect_unlinked();
	for (unsigned int i = 0; i < count; i++)
		if (unsink_page(page.v + i * PAGE_SIZE))
			err = -HV_ERR_AGAIN;
	if (err)
		debt_new(&tlb_debt);
	for (unsigned int i = 0; i < count && !err; i++) {
		hpa_t pa = HPA(page.v + i * PAGE_SIZE);

		err = ept_set(&control_map.ept, GPA(pa.v), EPT_4K, pa,
			      EPT_R | EPT_W | EPT_TYPE(MEMORY_WB), &unlinked);
	}
	unlock(&map_lock);
	return err;
}

/* Beyond the first map (no 1 GiB pages): map the GiB around @pa as the MTRRs say. */
static bool extend(uint64_t pa)
{
	uint64_t base = align_down(pa, FRAME_SIZE), end;
	enum memory_type type = mtrr_type(&control_map.typed, base, base + FRAME_SIZE, &end);

	if (end < base + FRAME_SIZE)
		type = MEMORY_UC;
	return ept_map(&control_map.ept, GPA(base), HPA(base), FRAME_SIZE, EPT_RWX | EPT_TYPE(type),
		       EPT_2M) == 0;
}

void control_ept_violation(void)
{
	uint64_t pa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
	unsigned int level;
	bool done = true;
	uint64_t *e;

	lock(&map_lock);
	e = ept_entry(&control_map.ept, pa, EPT_4K, &level);
	if (!(*e & EPT_RWX)) {
		if (pa >= control_map.limit)
			done = pa < control_map.address_end && extend(pa);
		else if (level == EPT_4K)
			__atomic_store_n(e, control_map.sink_page.v | WB_RWX, __ATOMIC_RELEASE);
		else if (level == EPT_2M)
			__atomic_store_n(e, hpa_of(control_map.sink_table).v | EPT_RWX,
					 __ATOMIC_RELEASE);
	}
	unlock(&map_lock);
	if (pa < control_map.limit)
		log_limited(
			&limit_touch, LOG_INFO,
			"the control domain touched %#lx, which is not its memory (RIP %#lx): sunk",
			pa, vmread(VMCS_GUEST_RIP));
	if (!done)
		vmx_inject_exception(VECTOR_GP, 0);
}

bool control_mtrr_read(uint32_t msr, uint64_t *value)
{
	const uint64_t *reg = mtrr_register(&control_map.mtrr, msr);

	if (reg)
		*value = *reg;
	return reg;
}

bool control_mtrr_write(uint32_t msr, uint64_t value)
{
	uint64_t *reg = mtrr_register(&control_map.mtrr, msr);

	if (!reg || !mtrr_valid(&control_map.mtrr, msr, value))
		return false;
	lock(&map_lock);
	*reg = value;
	/* Linux switches MTRRs off, changes them, and switches them on: only the last is an order.
	 */
	if ((control_map.mtrr.def_type & MTRR_DEF_ENABLE) &&
	    memcmp(&control_map.mtrr, &control_map.typed, sizeof(control_map.mtrr)) != 0) {
		control_map.typed = control_map.mtrr;
		if (ept_identity_retype(&control_map.ept, &control_map.typed, control_map.limit) <
		    0)
			log_warn("MTRR change applied in part: no table pages left");
		else
			log_info("the control domain changed MTRRs: memory types follow");
		debt_new(&tlb_debt);
	}
	unlock(&map_lock);
	/* Every CPU writes its MTRRs in turn, and pays as it does. */
	tlb_pay(this_cpu());
	return true;
}
