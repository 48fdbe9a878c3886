// SPDX-License-Identifier: MIT
/*
 * Building the hypervisor's page tables, and the memory that boot takes.
 *
 * One set for all CPUs, no global pages, nothing both writable and executable: image, heap, stacks,
 * device windows, plus empty lower levels for what changes later (arena, per-CPU windows), so that
 * nothing allocates after boot. Tables live in the heap and are reached through its linear mapping.
 * The early tables that we run on until paging_load() are boot/entry.S's; they show the low 4 GiB
 * at HEAP_BASE too, hence all functions here work before and after alike.
 */
#include <x86/paging.h>
#include <x86/asm.h>
#include <x86/layout.h>
#include <string.h>
#include <panic.h>

#define EARLY_PAGES  8	/* page tables of boot_map() above 4 GiB, before there is a heap */
#define TABLE_SLACK  24 /* tables of boot mappings and devices */
#define LARGE_PAGE   (2 * MIB)
#define LARGE_PER_PD GIB

static uint64_t tail, used; /* bytes of the heap */
static bool boot_over;
static uint8_t early_heap[EARLY_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);
static uint64_t device_next = DEVICE_BASE;

extern uint64_t early_pml4[];
extern const char image_rodata[], image_data[], image_end[], boot_rodata[], boot_data[];

void heap_init(hpa_t base, uint64_t bytes, uint64_t tail_bytes)
{
	paging.heap = base.v;
	paging.heap_bytes = bytes;
	tail = tail_bytes;
	used = 0;
}

void paging_early(hpa_t image)
{
	paging.image = image.v;
	paging.root = early_pml4;
	heap_init(hpa_of(early_heap), sizeof(early_heap), 0);
}

void *heap_tail(void)
{
	return heap_ptr(HPA(paging.heap + paging.heap_bytes - tail));
}

uint64_t heap_used_bytes(void)
{
	return used + tail;
}

void *boot_alloc_pages(size_t n)
{
	void *p = heap_ptr(HPA(paging.heap + used));

	BUG_ON(boot_over);
	if (n > (paging.heap_bytes - tail - used) / PAGE_SIZE)
		machine_refuse(
			"the hypervisor's own memory was estimated too small",
			"%lu of %lu KiB are in use and %lu pages more were asked for. Please report this.",
			heap_used_bytes() / KIB, paging.heap_bytes / KIB, n);
	used += n * PAGE_SIZE;
	return memset(p, 0, n * PAGE_SIZE);
}

static void *new_table(void)
{
	return boot_alloc_pages(1);
}

static uint64_t *entry(uint64_t va, int level)
{
	return paging_entry(va, level, new_table);
}

void page_map(uint64_t va, hpa_t pa, uint64_t bytes, uint64_t flags)
{
	uint64_t end = va + align_up(bytes, PAGE_SIZE), p = pa.v;

	while (va < end) {
		bool large = is_aligned(va | p, LARGE_PAGE) && end - va >= LARGE_PAGE;
		uint64_t step = large ? LARGE_PAGE : PAGE_SIZE;

		*entry(va, large ? LEVEL_PDE : LEVEL_PTE) = p | flags | (large ? PTE_PS : 0);
		va += step;
		p += step;
	}
}

static void map_image(const char *from, const char *to, uint64_t flags)
{
	page_map((uint64_t)from, hpa_of(from), (uint64_t)(to - from), flags);
}

uint64_t paging_heap_bytes(uint64_t heap_bytes, unsigned int cpus, const struct mem_range *map,
			   unsigned int n)
{
	uint64_t tables = TABLE_SLACK + 4 + 3 + heap_bytes / LARGE_PAGE + 2; /* image, heap */

	tables += 1 + cpus / (LARGE_PAGE / STACK_STRIDE) + 2; /* stacks */
	tables += 2 * (cpus / 512 + 1) + 4;		      /* windows */
	for (unsigned int i = 0; i < n; i++) {
		if (map[i].type == MEM_RAM)
			tables += map[i].bytes / LARGE_PER_PD + 3;
	}
	return tables * PAGE_SIZE;
}

void paging_init(unsigned int cpus, const struct mem_range *map, unsigned int n)
{
	paging.root = boot_alloc_pages(1);
	map_image(image_start, boot_rodata, PTE_CODE);
	map_image(boot_rodata, boot_data, PTE_RO_DATA);
	map_image(boot_data, image_text, PTE_RW_DATA);
	map_image(image_text, image_rodata, PTE_CODE);
	map_image(image_rodata, image_data, PTE_RO_DATA);
	map_image(image_data, image_end, PTE_RW_DATA);
	page_map(HEAP_BASE + paging.heap, HPA(paging.heap), paging.heap_bytes, PTE_RW_DATA);

	for (unsigned int i = 0; i < cpus; i++) {
		entry(WINDOW_BASE + i * PAGE_SIZE, LEVEL_PTE);
		entry(SCRUB_BASE + i * LARGE_PAGE, LEVEL_PDE);
	}
	for (unsigned int i = 0; i < n; i++) {
		if (map[i].type != MEM_RAM)
			continue;
		for (uint64_t pa = align_down(map[i].base.v, GIB);
		     pa < map[i].base.v + map[i].bytes; pa += GIB)
			entry(ARENA_BASE + pa, LEVEL_PDE);
	}
}

void paging_load(void)
{
	write_cr3(hpa_of(paging.root).v);
}

bool boot_can_map(hpa_t pa, uint64_t bytes)
{
	uint64_t bits = min_u64(cpuid(0x80000008, 0).eax & 0xff, BOOT_BITS);

	return bytes <= BIT64(bits) && pa.v <= BIT64(bits) - bytes;
}

void *boot_map(hpa_t pa, uint64_t bytes)
{
	BUG_ON(boot_over);
	for (uint64_t p = align_down(pa.v, LARGE_PAGE); p < pa.v + bytes; p += LARGE_PAGE)
		*entry(BOOT_BASE + p, LEVEL_PDE) = p | PTE_RW_DATA | PTE_PS;
	return (void *)(BOOT_BASE + pa.v);
}

void *map_device(hpa_t pa, uint64_t bytes)
{
	uint64_t first = align_down(pa.v, PAGE_SIZE);
	uint64_t end = align_up(pa.v + bytes, PAGE_SIZE);
	uint64_t va = device_next + (first & (LARGE_PAGE - 1));

	BUG_ON(boot_over);
	page_map(va, HPA(first), end - first, PTE_DEVICE);
	device_next = align_up(va + (end - first), LARGE_PAGE);
	return (void *)(va + (pa.v - first));
}

void map_trampoline(hpa_t pa)
{
	page_map(pa.v, pa, PAGE_SIZE, PTE_CODE);
}

void boot_done(void)
{
	for (int i = BOOT_SLOT; i < HEAP_SLOT; i++)
		paging.root[i] = 0;
	paging.root[0] = 0;
	boot_over = true;
	paging_load();
}

bool hv_extent(unsigned int i, hpa_t *base, uint64_t *bytes)
{
	*base = HPA(i ? paging.heap : paging.image);
	*bytes = i ? paging.heap_bytes : (uint64_t)(image_end - image_start);
	return i < 2;
}
