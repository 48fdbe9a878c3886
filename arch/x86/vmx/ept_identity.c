// SPDX-License-Identifier: MIT
/*
 * The control domain's identity map (see ept_identity.h): run by run of one memory type, between
 * the holes.
 */
#include <x86/vmx/ept_identity.h>

int ept_identity(struct ept *e, const struct mtrr_map *types, uint64_t limit,
		 const struct ept_hole *holes, unsigned int hole_count)
{
	uint64_t at = 0, end;
	int err = 0;

	for (unsigned int i = 0; i <= hole_count && !err; i++) {
		struct ept_hole hole = {limit, limit};

		if (i < hole_count)
			hole = holes[i];
		for (; at < hole.base && !err; at = end) {
			enum memory_type type = mtrr_type(types, at, hole.base, &end);

			err = ept_map(e, GPA(at), HPA(at), end - at, EPT_RWX | EPT_TYPE(type),
				      e->largest);
		}
		if (!err && hole.end > hole.base)
			err = ept_reserve(e, GPA(hole.base), hole.end - hole.base, EPT_2M);
		at = hole.end;
	}
	return err;
}
