// SPDX-License-Identifier: MIT
/*
 * The hypervisor's own address space and boot-time memory.
 *
 * Four regions: the image (linked high, W^X), the heap (one physically contiguous block taken from
 * the top of a RAM range at boot, mapped linearly, RW NX), the stacks (heap pages mapped with a
 * guard page below each), and the arena (VM metadata frames of the pool, mapped at ARENA_BASE + HPA
 * while the hypervisor owns them). Guest memory is never mapped, except through the per-CPU window.
 *
 * After boot_done() the heap hands out nothing more and boot_map() is gone.
 */
#pragma once

#include <types.h>

/** @n zeroed, page-aligned pages from the heap; refuses the machine if the heap is too small.
 * Context: boot, boot processor. */
void *boot_alloc_pages(size_t n);

/** Physical address of @p, which lies in the image or heap. */
hpa_t hpa_of(const void *p);

/** Pointer to @pa, which lies in the heap (page tables walk with it). */
void *heap_ptr(hpa_t pa);

/** Map physical memory [@pa, @pa + @bytes) read-write, write-back, for boot code.
 * The mapping stays until boot_done(). Context: boot. */
void *boot_map(hpa_t pa, uint64_t bytes);

/** Drop every boot mapping and the identity map; only the four regions remain.
 * Called once by the boot processor; each CPU then reloads CR3. */
void boot_done(void);

/** Zero and unmap the boot part; each CPU then reloads CR3. Context: no CPU runs code of it any
 * more. */
void paging_drop_boot(void);

/** Physical extents that belong to the hypervisor: image, heap. @i counts from 0; false past the
 * last. */
bool hv_extent(unsigned int i, hpa_t *base, uint64_t *bytes);

/** Map the 4 KiB page at @pa into this CPU's window and return it; one page at a time, until
 * window_close(). Context: root mode, interrupts off, not from NMI. */
void *window_open(hpa_t pa);
void window_close(void);

/** Zero [@pa, @pa + @bytes), within one 2 MiB frame, through this CPU's large window. Context: as
 * window_open(). */
void window_scrub(hpa_t pa, uint64_t bytes);

/** Map or unmap a 2 MiB pool frame in the arena region (the frame becomes VM metadata). After
 * unmapping, other CPUs may hold a stale translation until they reload CR3: that is part of their
 * TLB debt. */
void *arena_map(hpa_t frame);
void arena_unmap(hpa_t frame);
void *arena_ptr(hpa_t pa);
hpa_t arena_hpa(const void *p);
