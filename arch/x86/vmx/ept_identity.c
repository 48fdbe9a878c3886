// SPDX-License-Identifier: MIT
/*
 * The control domain's identity map (see ept_identity.h): one pass over the address space in
 * pieces, a hole or a run of one memory type, whichever ends first.
 */
#include <x86/vmx/ept_identity.h>

struct piece {
	uint64_t base, end;
	const struct ept_hole *hole; /* NULL: mapped with `type` */
	enum memory_type type;
};

/** The piece that begins where @p ends; start with an empty one. False past @limit. */
static bool piece_next(struct piece *p, const struct mtrr_map *types, uint64_t limit,
		       const struct ept_hole *holes, unsigned int hole_count)
{
	uint64_t border = limit;

	p->base = p->end;
	p->hole = NULL;
	if (p->base >= limit)
		return false;
	for (unsigned int i = 0; i < hole_count; i++) {
		if (p->base >= holes[i].end)
			continue;
		if (p->base >= holes[i].base)
			p->hole = &holes[i];
		border = min_u64(limit, p->hole ? holes[i].end : holes[i].base);
		break;
	}
	if (p->hole)
		p->end = border;
	else
		p->type = mtrr_type(types, p->base, border, &p->end);
	return true;
}

static bool arguments_valid(uint64_t limit, const struct ept_hole *holes, unsigned int hole_count)
{
	uint64_t last = 0;

	if (!limit || limit > EPT_LIMIT || !is_aligned(limit, PAGE_SIZE))
		return false;
	for (unsigned int i = 0; i < hole_count; i++) {
		const struct ept_hole *h = &holes[i];

		if (h->base < last || h->end <= h->base ||
		    !is_aligned(h->base | h->end, h->pool ? FRAME_SIZE : PAGE_SIZE))
			return false;
		last = h->end;
	}
	return true;
}

int ept_identity(struct ept *e, const struct mtrr_map *types, uint64_t limit,
		 const struct ept_hole *holes, unsigned int hole_count)
{
	struct piece p = {0};
	int err = arguments_valid(limit, holes, hole_count) ? 0 : -HV_ERR_INVAL;

	while (!err && piece_next(&p, types, limit, holes, hole_count)) {
		if (!p.hole)
			err = ept_map(e, GPA(p.base), HPA(p.base), p.end - p.base,
				      EPT_RWX | EPT_TYPE(p.type), e->largest);
		else if (p.hole->pool)
			err = ept_reserve(e, GPA(p.base), p.end - p.base, EPT_2M);
	}
	return err;
}

int ept_identity_retype(struct ept *e, const struct mtrr_map *types, uint64_t limit)
{
	struct piece p = {0};
	int err = arguments_valid(limit, NULL, 0) ? 0 : -HV_ERR_INVAL;

	while (!err && piece_next(&p, types, limit, NULL, 0))
		err = ept_protect(e, GPA(p.base), p.end - p.base, EPT_TYPES, EPT_TYPE(p.type));
	return err;
}

uint64_t ept_identity_pages(const struct ept *e, const struct mtrr_map *types, uint64_t limit,
			    const struct ept_hole *holes, unsigned int hole_count)
{
	struct piece p = {0};
	uint64_t pages = 0;

	while (piece_next(&p, types, limit, holes, hole_count))
		if (!p.hole || p.hole->pool)
			pages += ept_pages_needed(GPA(p.base), HPA(p.base), p.end - p.base,
						  p.hole ? EPT_2M : e->largest);
	return pages;
}
