// SPDX-License-Identifier: MIT
/*
 * The physical memory map, cleaned: sorted, without overlaps, neighbours of one type merged. Pure.
 */
#pragma once

#include <mem_range.h>

/**
 * Clean @map of @n ranges in place. Where ranges overlap, the more restrictive type wins; unknown
 * types (EFI's 20 and the like) become reserved; what lies above the architecture's 52 bits is cut
 * off. Returns the new number of ranges, 0 if there would be more than @max.
 */
unsigned int memmap_clean(struct mem_range *map, unsigned int n, unsigned int max);

/** End of the highest RAM range, boot services included. */
uint64_t memmap_ram_top(const struct mem_range *map, unsigned int n);

/** Bytes of RAM, boot services included. */
uint64_t memmap_ram_bytes(const struct mem_range *map, unsigned int n);

/**
 * The highest base, a multiple of @align, of @bytes that lie in one RAM range between @low and
 * @high and outside of each range of @avoid (their types do not matter). 0 if there is none. RAM of
 * the firmware's boot services counts below 1 MiB only, where memory is but borrowed.
 */
uint64_t memmap_place(const struct mem_range *map, unsigned int n, const struct mem_range *avoid,
		      unsigned int n_avoid, uint64_t bytes, uint64_t align, uint64_t low,
		      uint64_t high);

/**
 * An address below @below under which memory has a good chance of keeping its contents over a warm
 * reset: boot loaders load from the bottom of RAM upwards and allocate from its top downwards (GRUB
 * used up to 36 MiB of 1 GiB), so some distance from the top of the highest RAM range; @below
 * itself on a machine too small for that.
 */
uint64_t memmap_quiet_top(const struct mem_range *map, unsigned int n, uint64_t below);

/** For a type of a clean map. */
const char *memmap_type_name(enum mem_type type);
