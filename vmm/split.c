// SPDX-License-Identifier: MIT
/*
 * The division of memory; see split.h. One pass over the sorted map, a piece of RAM at a time.
 */
#include <string.h>

#include <split.h>

#define LOW_END (16 * MIB) /* legacy devices, trampolines, real-mode code */

uint64_t split_default_control(uint64_t ram_bytes)
{
	if (ram_bytes < 2 * GIB)
		return ram_bytes / 2;
	return min_u64(GIB + ram_bytes / 32, 4 * GIB);
}

static bool add_range(struct memory_split *s, uint64_t base, uint64_t end, enum mem_type type)
{
	struct mem_range *last = s->ranges ? &s->map[s->ranges - 1] : NULL;

	if (base >= end)
		return true;
	if (mem_is_ram(type))
		s->control_bytes += end - base;
	if (last && last->type == type && last->base.v + last->bytes == base) {
		last->bytes += end - base;
		return true;
	}
	if (s->ranges == ARRAY_SIZE(s->map))
		return false;
	s->map[s->ranges++] = (struct mem_range){HPA(base), end - base, type};
	return true;
}

static bool add_pool(struct memory_split *s, uint64_t base, uint64_t end)
{
	if (s->pools == SPLIT_MAX_POOL)
		return add_range(s, base, end, MEM_RAM);
	s->pool[s->pools++] = (struct mem_range){HPA(base), end - base, MEM_RAM};
	s->pool_bytes += end - base;
	return add_range(s, base, end, MEM_RESERVED);
}

/* One piece of RAM that is all ours to give. */
static bool give(struct memory_split *s, uint64_t base, uint64_t end, uint64_t wanted)
{
	uint64_t left = wanted > s->control_bytes ? wanted - s->control_bytes : 0;
	uint64_t pool_base = base, pool_end = align_down(end, FRAME_SIZE);

	if (left)
		pool_base = left < end - base ? base + left : end;
	if (pool_base < LOW_END)
		pool_base = LOW_END;
	pool_base = align_up(pool_base, FRAME_SIZE);
	if (pool_base >= pool_end)
		return add_range(s, base, end, MEM_RAM);
	return add_range(s, base, pool_base, MEM_RAM) && add_pool(s, pool_base, pool_end) &&
	       add_range(s, pool_end, end, MEM_RAM);
}

/* The lowest of our own extents that begins or lies at or above @from and below @end. */
static const struct mem_range *next_own(const struct mem_range *own, unsigned int n, uint64_t from,
					uint64_t end)
{
	const struct mem_range *best = NULL;

	for (unsigned int i = 0; i < n; i++)
		if (own[i].base.v + own[i].bytes > from && own[i].base.v < end &&
		    (!best || own[i].base.v < best->base.v))
			best = &own[i];
	return best;
}

bool split_memory(const struct mem_range *map, unsigned int n, const struct mem_range *own,
		  unsigned int n_own, uint64_t control_bytes, struct memory_split *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned int i = 0; i < n; i++) {
		uint64_t at = map[i].base.v, end = at + map[i].bytes;
		const struct mem_range *mine;

		if (map[i].type != MEM_RAM) {
			if (!add_range(s, at, end, map[i].type))
				return false;
			continue;
		}
		while ((mine = next_own(own, n_own, at, end))) {
			uint64_t mine_end = min_u64(mine->base.v + mine->bytes, end);

			if (mine->base.v > at && !give(s, at, mine->base.v, control_bytes))
				return false;
			if (!add_range(s, max_u64(at, mine->base.v), mine_end, MEM_RESERVED))
				return false;
			at = mine_end;
		}
		if (at < end && !give(s, at, end, control_bytes))
			return false;
	}
	return true;
}
