// SPDX-License-Identifier: MIT
/*
 * From address to function name, for backtraces.
 *
 * vmm/build.mk links twice: the first image's functions become the table that the second one
 * carries (vmm/symtab.awk), sorted by address. The sections are empty in the first.
 */
#include <crash.h>

struct symbol {
	uint32_t offset; /* from the image's start */
	uint32_t name;	 /* in symstr */
};

extern const struct symbol symtab_start[], symtab_end[];
extern const char image_start[], image_rodata[];

const char *symbol_name(uint64_t va, uint64_t *offset)
{
	uint64_t at = va - (uint64_t)image_start;
	const struct symbol *lo = symtab_start, *hi = symtab_end;

	if (va < (uint64_t)image_start || va >= (uint64_t)image_rodata || lo == hi ||
	    at < lo->offset)
		return NULL;
	while (hi - lo > 1) {
		const struct symbol *mid = lo + (hi - lo) / 2;

		if (mid->offset <= at)
			lo = mid;
		else
			hi = mid;
	}
	*offset = at - lo->offset;
	return (const char *)symtab_end + lo->name;
}
