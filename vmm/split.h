// SPDX-License-Identifier: MIT
/*
 * Who gets which memory at boot: the control domain from the bottom, the guest pool the rest. Pure.
 *
 * The pool consists of whole 2 MiB frames. Edges that fill no frame stay with the control domain,
 * so nothing is lost; so does RAM of the firmware's boot services, and what is scattered over more
 * than SPLIT_MAX_POOL pieces. Linux is told of everything that is not its own as E820 *reserved*,
 * never as a gap, because it puts device windows into gaps.
 */
#pragma once

#include <mem_range.h>

#define SPLIT_MAX_POOL 64
#define CONTROL_MIN_BYTES                                                                          \
	(192 * MIB) /* kernel's init_size, an initramfs twice, and room to work                    \
		     */

struct memory_split {
	struct mem_range map[BOOT_MAX_RANGES + SPLIT_MAX_POOL]; /* for Linux */
	unsigned int ranges;
	struct mem_range pool[SPLIT_MAX_POOL];
	unsigned int pools;
	uint64_t control_bytes, pool_bytes;
};

/** Default for `control_mem=` with @ram_bytes of RAM: 1 GiB + 1/32 of it, at most 4 GiB; below 2
 * GiB half. */
uint64_t split_default_control(uint64_t ram_bytes);

/**
 * Divide the clean map @map of @n ranges. @own: the hypervisor's @n_own extents, 4 KiB-aligned. The
 * control domain gets at least @control_bytes (as far as there is RAM), always including all below
 * 16 MiB. False if a table is too small for this map.
 */
bool split_memory(const struct mem_range *map, unsigned int n, const struct mem_range *own,
		  unsigned int n_own, uint64_t control_bytes, struct memory_split *out);

/** True if all of [@base, @base + @bytes) is RAM of the control domain, whoever shares its frame.
 */
static inline bool split_is_control(const struct memory_split *s, uint64_t base, uint64_t bytes)
{
	for (unsigned int i = 0; i < s->ranges; i++) {
		const struct mem_range *r = &s->map[i];

		if (r->type == MEM_RAM && base >= r->base.v && bytes <= r->bytes &&
		    base - r->base.v <= r->bytes - bytes)
			return true;
	}
	return false;
}
