// SPDX-License-Identifier: MIT
/*
 * Cleaning the firmware's memory map.
 *
 * Maps come unsorted, overlapping and with vendor types. The interval ends of all ranges cut the
 * address space into pieces; each piece takes the most restrictive type of the ranges that cover
 * it; equal neighbours are joined. Quadratic, over a few dozen ranges, once.
 */
#include <memmap.h>

#define PHYS_LIMIT    BIT64(52)
#define SMALL_MACHINE (512 * MIB)
#define MOST_FROM_TOP (256 * MIB)
#define NO_TYPE	      ((enum mem_type)0)

static uint64_t end_of(const struct mem_range *r)
{
	return r->base.v + r->bytes;
}

/* 0 for no type at all. */
static int restriction(enum mem_type t)
{
	static const int rank[] = {[MEM_RAM] = 1, [MEM_FIRMWARE] = 2, [MEM_ACPI] = 3,
				   [MEM_NVS] = 4, [MEM_RESERVED] = 5, [MEM_BAD] = 6};

	return rank[t];
}

/* The type at @pa, and the first end of an interval above it (or PHYS_LIMIT). */
static enum mem_type type_at(const struct mem_range *map, unsigned int n, uint64_t pa,
			     uint64_t *next)
{
	enum mem_type t = NO_TYPE;

	*next = PHYS_LIMIT;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t base = map[i].base.v, end = end_of(&map[i]);

		if (base > pa)
			*next = min_u64(*next, base);
		else if (end > pa && restriction(map[i].type) > restriction(t))
			t = map[i].type;
		if (end > pa)
			*next = min_u64(*next, end);
	}
	return t;
}

static void normalize(struct mem_range *map, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct mem_range *r = &map[i];

		if (r->type < MEM_RAM || r->type > MEM_FIRMWARE)
			r->type = MEM_RESERVED;
		if (r->base.v >= PHYS_LIMIT)
			r->base.v = r->bytes = 0;
		r->bytes = min_u64(r->bytes, PHYS_LIMIT - r->base.v);
	}
}

unsigned int memmap_clean(struct mem_range *map, unsigned int n, unsigned int max)
{
	static struct mem_range out[BOOT_MAX_RANGES];
	unsigned int n_out = 0;

	if (max > BOOT_MAX_RANGES)
		max = BOOT_MAX_RANGES;
	normalize(map, n);
	for (uint64_t pa = 0, next; pa < PHYS_LIMIT; pa = next) {
		enum mem_type t = type_at(map, n, pa, &next);

		if (t == NO_TYPE)
			continue;
		if (n_out && out[n_out - 1].type == t && end_of(&out[n_out - 1]) == pa) {
			out[n_out - 1].bytes += next - pa;
			continue;
		}
		if (n_out == max)
			return 0;
		out[n_out++] = (struct mem_range){HPA(pa), next - pa, t};
	}
	for (unsigned int i = 0; i < n_out; i++)
		map[i] = out[i];
	return n_out;
}

uint64_t memmap_ram_top(const struct mem_range *map, unsigned int n)
{
	uint64_t top = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (mem_is_ram(map[i].type))
			top = max_u64(top, end_of(&map[i]));
	}
	return top;
}

uint64_t memmap_ram_bytes(const struct mem_range *map, unsigned int n)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (mem_is_ram(map[i].type))
			sum += map[i].bytes;
	}
	return sum;
}

/* The lowest base among those of @avoid that [@base, @base + @bytes) touches, or UINT64_MAX. */
static uint64_t in_the_way(const struct mem_range *avoid, unsigned int n, uint64_t base,
			   uint64_t bytes)
{
	uint64_t lowest = UINT64_MAX;

	for (unsigned int i = 0; i < n; i++) {
		if (avoid[i].bytes && avoid[i].base.v < base + bytes && base < end_of(&avoid[i]))
			lowest = min_u64(lowest, avoid[i].base.v);
	}
	return lowest;
}

static uint64_t place_in(const struct mem_range *r, const struct mem_range *avoid,
			 unsigned int n_avoid, uint64_t bytes, uint64_t align, uint64_t low,
			 uint64_t high)
{
	uint64_t floor = max_u64(r->base.v, low), top = min_u64(end_of(r), high);

	while (top >= floor && top - floor >= bytes) {
		uint64_t base = align_down(top - bytes, align);

		if (base < floor)
			return 0;
		top = in_the_way(avoid, n_avoid, base, bytes);
		if (top == UINT64_MAX)
			return base;
	}
	return 0;
}

uint64_t memmap_place(const struct mem_range *map, unsigned int n, const struct mem_range *avoid,
		      unsigned int n_avoid, uint64_t bytes, uint64_t align, uint64_t low,
		      uint64_t high)
{
	uint64_t best = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (map[i].type == MEM_RAM || (high <= MIB && map[i].type == MEM_FIRMWARE))
			best = max_u64(best,
				       place_in(&map[i], avoid, n_avoid, bytes, align, low, high));
	}
	return best;
}

uint64_t memmap_quiet_top(const struct mem_range *map, unsigned int n, uint64_t below)
{
	uint64_t top = 0, from_top;

	for (unsigned int i = 0; i < n; i++) {
		if (map[i].type == MEM_RAM && map[i].base.v < below)
			top = max_u64(top, min_u64(end_of(&map[i]), below));
	}
	if (top < SMALL_MACHINE)
		return below;
	from_top = min_u64(top / 4, MOST_FROM_TOP);
	return align_down(top - from_top, FRAME_SIZE);
}

const char *memmap_type_name(enum mem_type type)
{
	static const char *const names[] = {"",		"RAM", "reserved",	    "ACPI tables",
					    "ACPI NVS", "bad", "RAM, boot services"};

	return names[type];
}
