// SPDX-License-Identifier: MIT
/*
 * The hypervisor's page tables and heap, for boot code (paging_boot.c) but for paging.c's few. What
 * everybody may use is in <x86/mem.h>.
 */
#pragma once

#include <x86/mem.h>
#include <mem_range.h>

#define PTE_P	    BIT64(0)
#define PTE_W	    BIT64(1)
#define PTE_PCD	    BIT64(4) /* alone: UC-, so an MTRR may still say write-combining */
#define PTE_PS	    BIT64(7)
#define PTE_NX	    BIT64(63)
#define PTE_ADDR    MASK64(51, 12)
#define PTE_RW_DATA (PTE_P | PTE_W | PTE_NX)
#define PTE_RO_DATA (PTE_P | PTE_NX)
#define PTE_CODE    PTE_P
#define PTE_DEVICE  (PTE_P | PTE_W | PTE_NX | PTE_PCD)

enum { LEVEL_PTE, LEVEL_PDE, LEVEL_PDPTE, LEVEL_PML4E };

extern struct paging {
	uint64_t *root;
	uint64_t image, heap, heap_bytes; /* physical addresses */
} paging;

extern const char image_start[], image_text[]; /* between the two: the boot part */

/** The entry at @level that translates @va. Tables on the way that are missing come from
 * @new_table, after boot NULL: they are there. */
uint64_t *paging_entry(uint64_t va, int level, void *(*new_table)(void));

/** Heap that page tables need for a heap of @heap_bytes, @cpus CPUs and the RAM of @map. */
uint64_t paging_heap_bytes(uint64_t heap_bytes, unsigned int cpus, const struct mem_range *map,
			   unsigned int n);

/** Make heap and boot_map() work, in a small way, on the early tables. Context: boot, first. */
void paging_early(hpa_t image);

/** Take [@base, @base + @bytes) as the heap; the last @tail_bytes of it are not handed out
 * (heap_tail()). Context: boot, early page tables, below 4 GiB. */
void heap_init(hpa_t base, uint64_t bytes, uint64_t tail_bytes);
void *heap_tail(void);
uint64_t heap_used_bytes(void);

/** Build and load the final tables: image W^X, heap, arena and window skeletons. */
void paging_init(unsigned int cpus, const struct mem_range *map, unsigned int n);
void paging_load(void);

/** True if boot_map() can show [@pa, @pa + @bytes). */
bool boot_can_map(hpa_t pa, uint64_t bytes);

/** Map [@pa, @pa + @bytes) at @va with the largest pages that fit. Context: boot, or one's own
 * entries. */
void page_map(uint64_t va, hpa_t pa, uint64_t bytes, uint64_t flags);

/** Map a device's registers for good, uncached; valid after boot_done() too. Context: boot, after
 * paging_init(). */
void *map_device(hpa_t pa, uint64_t bytes);

/** Map the page at @pa executable at the same address, for starting CPUs; boot_done() removes it.
 */
void map_trampoline(hpa_t pa);
