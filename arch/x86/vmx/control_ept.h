// SPDX-License-Identifier: MIT
/*
 * The control domain's view of physical memory: identity, with holes.
 *
 * Guest-physical equals host-physical. What is not the control domain's is absent; touching it is
 * logged with a rate limit and then leads to a sink page, so that neither a probing driver nor
 * /dev/mem harms the machine. Pool frames are shown here while a device model needs them and hidden
 * again after. MTRRs are a copy that the control domain may write: they change the types in this
 * map, never the hardware.
 */
#pragma once

#include <types.h>
#include <x86/mtrr.h>
#include <x86/vmx/ept.h>

struct ept_hole;

extern struct control_map {
	struct ept ept;
	uint64_t limit;	       /* identity-mapped below this from the start */
	uint64_t address_end;  /* 2^physical bits */
	struct mtrr_map mtrr;  /* as the control domain sees it */
	struct mtrr_map typed; /* as the map has it */
	uint64_t *sink_table;
	hpa_t sink_page;
	void *free_pages; /* for tables: what the map takes at boot, and a reserve */
} control_map;

extern const struct ept_pages control_ept_pages;

/** Give a page to `free_pages`. */
void control_ept_page_free(void *page);

/** Pages of heap that the map can take at most for RAM up to @ram_top. Context: boot. */
uint64_t control_ept_heap_pages(uint64_t ram_top);

/** Build the map around @holes (sorted, disjoint). Context: boot, boot processor. */
void control_ept_init(const struct ept_hole *holes, unsigned int count, uint64_t ram_top);

uint64_t control_ept_pointer(void);

/** Let the control domain read and write pages of ours: at boot, or in a frame that is otherwise
 * hidden (vCPU pages). -HV_ERR_NOMEM. -HV_ERR_AGAIN: somebody touched them before, and
 * CPUs may still translate them to the sink: once all have paid, it works. */
int control_ept_show_pages(hpa_t page, unsigned int pages) __must_use;

/** Let writes to a device's page exit. Context: boot. */
void control_ept_write_protect(hpa_t page);

/* Pool frames: <x86/virt.h>, virt_control_*. */

/** The MTRR @msr as the control domain sees it; false: there is no such register. */
bool control_mtrr_read(uint32_t msr, uint64_t *value);

/** The control domain writes MTRR @msr; false: it may not have that value (#GP). */
bool control_mtrr_write(uint32_t msr, uint64_t value);
