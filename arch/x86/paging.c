// SPDX-License-Identifier: MIT
/*
 * The hypervisor's page tables once they stand (paging_boot.c builds them): what changes are single
 * entries, of the arena and of the per-CPU windows, and, once, those of the boot part.
 */
#include <x86/paging.h>
#include <x86/asm.h>
#include <x86/layout.h>
#include <x86/percpu.h>
#include <string.h>
#include <panic.h>

struct paging paging;

void *heap_ptr(hpa_t pa)
{
	return (void *)(HEAP_BASE + pa.v);
}

uint64_t *paging_entry(uint64_t va, int level, void *(*new_table)(void))
{
	uint64_t *table = paging.root;

	for (int l = LEVEL_PML4E;; l--) {
		uint64_t *e = &table[field_get(va, 20 + 9 * (unsigned)l, 12 + 9 * (unsigned)l)];

		if (l == level)
			return e;
		if (!(*e & PTE_P)) {
			BUG_ON(!new_table);
			*e = hpa_of(new_table()).v | PTE_P | PTE_W;
		}
		BUG_ON(*e & PTE_PS);
		table = heap_ptr(HPA(*e & PTE_ADDR));
	}
}

static uint64_t *entry(uint64_t va, int level)
{
	return paging_entry(va, level, NULL);
}

hpa_t hpa_of(const void *p)
{
	uint64_t va = (uint64_t)p;

	if (va >= ARENA_BASE && va < BOOT_BASE)
		return arena_hpa(p);
	if (va >= IMAGE_BASE)
		return HPA(va - IMAGE_BASE + paging.image);
	if (va >= HEAP_BASE + paging.heap && va < HEAP_BASE + paging.heap + paging.heap_bytes)
		return HPA(va - HEAP_BASE);
	BUG_ON(va < STACK_BASE || va >= WINDOW_BASE);
	return HPA((*entry(va, LEVEL_PTE) & PTE_ADDR) + (va & (PAGE_SIZE - 1)));
}

void *window_open(hpa_t pa)
{
	uint64_t va = WINDOW_BASE + this_cpu()->index * PAGE_SIZE;

	*entry(va, LEVEL_PTE) = (pa.v & PTE_ADDR) | PTE_RW_DATA;
	return (void *)(va + (pa.v & (PAGE_SIZE - 1)));
}

void window_close(void)
{
	uint64_t va = WINDOW_BASE + this_cpu()->index * PAGE_SIZE;

	*entry(va, LEVEL_PTE) = 0;
	invlpg((void *)va);
}

void window_scrub(hpa_t pa, uint64_t bytes)
{
	uint64_t va = SCRUB_BASE + this_cpu()->index * FRAME_SIZE;
	uint64_t *pde = entry(va, LEVEL_PDE);

	*pde = align_down(pa.v, FRAME_SIZE) | PTE_RW_DATA | PTE_PS;
	memset((void *)(va + pa.v % FRAME_SIZE), 0, bytes);
	*pde = 0;
	invlpg((void *)va);
}

void *arena_ptr(hpa_t pa)
{
	return (void *)(ARENA_BASE + pa.v);
}

hpa_t arena_hpa(const void *p)
{
	return HPA((uint64_t)p - ARENA_BASE);
}

void *arena_map(hpa_t frame)
{
	*entry(ARENA_BASE + frame.v, LEVEL_PDE) = frame.v | PTE_RW_DATA | PTE_PS;
	return arena_ptr(frame);
}

void arena_unmap(hpa_t frame)
{
	*entry(ARENA_BASE + frame.v, LEVEL_PDE) = 0;
	invlpg(arena_ptr(frame));
}

void paging_drop_boot(void)
{
	for (const char *p = image_start; p < image_text; p += PAGE_SIZE) {
		memset(window_open(hpa_of(p)), 0, PAGE_SIZE);
		window_close();
		*entry((uint64_t)p, LEVEL_PTE) = 0;
	}
}
