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

#define MSR_MTRRCAP	  0xfeu
#define MTRR_DEF_ENABLE	  BIT64(11)
#define RESERVE_PAGES	  96 /* each VM takes one to show its vCPU pages */
#define LIMIT_WITHOUT_1G  (64 * GIB)
#define PHYSICAL_BITS_MAX 46
#define WB_RWX		  (EPT_RWX | EPT_TYPE(MEMORY_WB))

static struct ept ept;
static uint64_t limit;	      /* identity-mapped below this from the start */
static uint64_t address_end;  /* 2^physical bits */
static struct mtrr_map mtrr;  /* as the control domain sees it */
static struct mtrr_map typed; /* as the map has it */
static uint64_t *sink_table;
static hpa_t sink_page;
static struct lock map_lock;
static struct log_limit limit_touch;

/* Table pages: what the map takes at boot, and a list for later. */
static void *free_pages;
static bool booted;

static void *page_alloc(void *ctx)
{
	void *p = free_pages;

	(void)ctx;
	if (!p)
		return booted ? NULL : boot_alloc_pages(1);
	free_pages = *(void **)p;
	*(void **)p = NULL;
	return p;
}

static void page_free(void *p)
{
	memset(p, 0, PAGE_SIZE);
	*(void **)p = free_pages;
	free_pages = p;
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

static const struct ept_pages pages = {.alloc = page_alloc, .hpa_of = page_hpa, .ptr_of = page_ptr};

static unsigned int physical_bits(void)
{
	unsigned int bits = cpuid_has_leaf(0x80000008) ? cpuid(0x80000008, 0).eax & 0xff : 36;

	return bits > PHYSICAL_BITS_MAX ? PHYSICAL_BITS_MAX : bits;
}

static void read_mtrrs(struct mtrr_map *m)
{
	uint64_t cap, *reg;

	m->physical_bits = physical_bits();
	if (!rdmsr_safe(MSR_MTRRCAP, &cap))
		return;
	m->variables = (uint32_t)min_u64(cap & 0xff, MTRR_VARIABLE);
	for (uint32_t msr = 0x200; msr <= MSR_MTRR_DEF_TYPE; msr++)
		if ((reg = mtrr_register(m, msr)))
			rdmsr_safe(msr, reg);
}

/* Up to where 2 MiB pages are enough to map at once. */
static uint64_t mapped_top(uint64_t ram_top)
{
	return max_u64(align_up(ram_top, GIB),
		       vmx_caps_has(&vmx_caps, VMX_OPT_EPT_1G) ? 4 * GIB : LIMIT_WITHOUT_1G);
}

uint64_t control_ept_heap_pages(uint64_t ram_top)
{
	/* Directories for RAM (its pool needs them), pointer tables for the rest, splits at type
	 * edges and holes, sink, reserve; without 1 GiB leaves directories up to the limit. */
	return mapped_top(ram_top) / GIB + (BIT64(physical_bits()) >> 39) + 3 * 16 + RESERVE_PAGES +
	       8;
}

void control_ept_init(const struct ept_hole *holes, unsigned int count, uint64_t ram_top)
{
	unsigned int largest = vmx_caps_has(&vmx_caps, VMX_OPT_EPT_1G) ? EPT_1G : EPT_2M;

	read_mtrrs(&mtrr);
	typed = mtrr;
	address_end = BIT64(physical_bits());
	limit = largest == EPT_1G ? address_end : min_u64(address_end, mapped_top(ram_top));
	if (ept_init(&ept, &pages, largest) < 0 ||
	    ept_identity(&ept, &mtrr, limit, holes, count) < 0)
		panic("the control domain's memory map could not be built");

	void *sink = boot_alloc_pages(1);

	sink_page = hpa_of(sink);
	sink_table = boot_alloc_pages(1);
	for (unsigned int i = 0; i < 512; i++)
		sink_table[i] = sink_page.v | WB_RWX;
	booted = true;
	for (unsigned int i = 0; i < RESERVE_PAGES; i++)
		page_free(boot_alloc_pages(1));
	log_dbg("EPT: %lu table pages, %lu GiB", ept.tables, limit / GIB);
}

uint64_t control_ept_pointer(void)
{
	return ept_pointer(&ept, false);
}

/* Table pages unlinked here are few (vCPU pages' tables) and their users pay before the pool frame
 * is reused; they go back to the list when hidden frames are reclaimed. */
static struct ept_freed unlinked;
static uint64_t unlinked_epoch;

void control_ept_write_protect(hpa_t page)
{
	BUG_ON(ept_set(&ept, GPA(page.v), EPT_4K, page, EPT_R | EPT_X | EPT_TYPE(MEMORY_UC),
		       &unlinked));
}

/* Drop the pointer to the sink table from a frame's entry. True if it was there. */
static bool unsink(uint64_t pa)
{
	unsigned int level;
	uint64_t *e = ept_entry(&ept, pa, EPT_2M, &level);

	if (level != EPT_2M || (*e & EPT_ADDRESS) != hpa_of(sink_table).v)
		return false;
	__atomic_store_n(e, 0, __ATOMIC_RELEASE);
	return true;
}

static void collect_unlinked(void)
{
	void *p;

	if (!unlinked.first || !debt_cleared(&tlb_debt, unlinked_epoch))
		return;
	while ((p = ept_freed_pop(&ept, &unlinked)))
		page_free(p);
}

void virt_control_show(hpa_t frame)
{
	lock(&map_lock);
	/* The pool's tables exist since boot, so this cannot run out of them. */
	if (ept_set(&ept, GPA(frame.v), EPT_2M, frame, WB_RWX, &unlinked) < 0)
		panic("pool frame %#lx has no table", frame.v);
	unlock(&map_lock);
}

void virt_control_hide(hpa_t frame)
{
	lock(&map_lock);
	unsink(frame.v);
	if (ept_set(&ept, GPA(frame.v), EPT_2M, frame, 0, &unlinked) < 0)
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

int control_ept_show_pages(hpa_t page, unsigned int count)
{
	int err = 0;

	lock(&map_lock);
	collect_unlinked();
	for (unsigned int i = 0; i < count && !err; i++) {
		hpa_t pa = HPA(page.v + i * PAGE_SIZE);

		err = ept_set(&ept, GPA(pa.v), EPT_4K, pa, EPT_R | EPT_W | EPT_TYPE(MEMORY_WB),
			      &unlinked);
	}
	unlock(&map_lock);
	return err;
}

/* Beyond the first map (no 1 GiB pages): map the GiB around @pa as the MTRRs say. */
static bool extend(uint64_t pa)
{
	uint64_t base = align_down(pa, FRAME_SIZE), end;
	enum memory_type type = mtrr_type(&typed, base, base + FRAME_SIZE, &end);

	if (end < base + FRAME_SIZE)
		type = MEMORY_UC;
	return ept_map(&ept, GPA(base), HPA(base), FRAME_SIZE, EPT_RWX | EPT_TYPE(type), EPT_2M) ==
	       0;
}

void control_ept_violation(void)
{
	uint64_t pa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
	unsigned int level;
	bool done = true;
	uint64_t *e;

	lock(&map_lock);
	e = ept_entry(&ept, pa, EPT_4K, &level);
	if (!(*e & EPT_RWX)) {
		if (pa >= limit)
			done = pa < address_end && extend(pa);
		else if (level == EPT_4K)
			__atomic_store_n(e, sink_page.v | WB_RWX, __ATOMIC_RELEASE);
		else if (level == EPT_2M)
			__atomic_store_n(e, hpa_of(sink_table).v | EPT_RWX, __ATOMIC_RELEASE);
	}
	unlock(&map_lock);
	if (pa < limit)
		log_limited(
			&limit_touch, LOG_INFO,
			"the control domain touched %#lx, which is not its memory (RIP %#lx): sunk",
			pa, vmread(VMCS_GUEST_RIP));
	if (!done)
		vmx_inject_exception(VECTOR_GP, 0);
}

bool control_mtrr_read(uint32_t msr, uint64_t *value)
{
	const uint64_t *reg = mtrr_register(&mtrr, msr);

	if (reg)
		*value = *reg;
	return reg;
}

bool control_mtrr_write(uint32_t msr, uint64_t value)
{
	uint64_t *reg = mtrr_register(&mtrr, msr);

	if (!reg || !mtrr_valid(&mtrr, msr, value))
		return false;
	lock(&map_lock);
	*reg = value;
	/* Linux switches MTRRs off, changes them, and switches them on: only the last is an order.
	 */
	if ((mtrr.def_type & MTRR_DEF_ENABLE) && memcmp(&mtrr, &typed, sizeof(mtrr)) != 0) {
		typed = mtrr;
		if (ept_identity_retype(&ept, &typed, limit) < 0)
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
