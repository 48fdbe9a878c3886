// SPDX-License-Identifier: MIT
/*
 * Guest memory as the device model sees it: at most two ranges of guest-physical addresses, below
 * and above the 32-bit device window, each one mapping in this process.
 *
 * Everything that follows an address from a guest goes through guest_memory_at(), which returns a
 * pointer only if all bytes lie in one range. Contents change under our feet: whoever reads a
 * value that decides something copies it once. Where the mapping comes from is the business of
 * guest_memory_map() alone.
 *
 * Read next: guest_memory.c, layout.h.
 */
#pragma once

#include <stdint.h>

#include "reason.h"

enum { GUEST_RANGES_MAX = 2 };

struct guest_range {
	uint64_t gpa;
	uint64_t bytes;
	uint8_t *host;
};

struct guest_memory {
	struct guest_range range[GUEST_RANGES_MAX];
	unsigned count;
	uint64_t bytes; /* of all ranges together */
};

/* Host pointer to [gpa, gpa + bytes), or NULL unless all of it is memory of one range. */
static inline void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t bytes)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_range *range = &memory->range[i];

		if (gpa < range->gpa || gpa - range->gpa >= range->bytes)
			continue;
		if (bytes > range->bytes - (gpa - range->gpa))
			return NULL;
		return range->host + (gpa - range->gpa);
	}
	return NULL;
}

struct kvm;

/*
 * Maps `bytes` (a multiple of 2 MiB) of zeroed memory and lays it out by layout.h: guest pool
 * memory under Hornero, else ordinary memory. Fails with the numbers when there is not enough. The
 * memory lives as long as the process.
 */
int guest_memory_map(struct guest_memory *memory, const struct kvm *kvm, uint64_t bytes,
		     struct reason *why);
