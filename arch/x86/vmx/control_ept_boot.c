// SPDX-License-Identifier: MIT
/*
 * Building the control domain's map of control_ept.h.
 */
#define LOG_TAG "memory"
#include <log.h>
#include <panic.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/vmx/boot.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/ept_identity.h>

#define MSR_MTRRCAP	  0xfeu
#define SINK_PAGES	  2
#define RESERVE_PAGES	  96 /* each VM takes one to show its vCPU pages */
#define LIMIT_WITHOUT_1G  (64 * GIB)
#define PHYSICAL_BITS_MAX 46

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
		       vmx_has(VMX_OPT_EPT_1G) ? 4 * GIB : LIMIT_WITHOUT_1G);
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
	unsigned int largest = vmx_has(VMX_OPT_EPT_1G) ? EPT_1G : EPT_2M;

	for (uint64_t n = control_ept_heap_pages(ram_top) - SINK_PAGES; n; n--)
		control_ept_page_free(boot_alloc_pages(1));
	read_mtrrs(&control_map.mtrr);
	control_map.typed = control_map.mtrr;
	control_map.address_end = BIT64(physical_bits());
	control_map.limit = largest == EPT_1G
				    ? control_map.address_end
				    : min_u64(control_map.address_end, mapped_top(ram_top));
	if (ept_init(&control_map.ept, &control_ept_pages, largest) < 0 ||
	    ept_identity(&control_map.ept, &control_map.mtrr, control_map.limit, holes, count) < 0)
		panic("the control domain's memory map could not be built");

	void *sink = boot_alloc_pages(1);

	control_map.sink_page = hpa_of(sink);
	control_map.sink_table = boot_alloc_pages(1);
	for (unsigned int i = 0; i < 512; i++)
		control_map.sink_table[i] = control_map.sink_page.v | EPT_RWX | EPT_TYPE(MEMORY_WB);
	log_dbg("EPT: %lu table pages, %lu GiB", control_map.ept.tables, control_map.limit / GIB);
}

void control_ept_write_protect(hpa_t page)
{
	struct ept_freed none = {0};

	BUG_ON(ept_set(&control_map.ept, GPA(page.v), EPT_4K, page,
		       EPT_R | EPT_X | EPT_TYPE(MEMORY_UC), &none));
}
