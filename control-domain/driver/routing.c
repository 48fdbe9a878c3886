// SPDX-License-Identifier: GPL-2.0-only
/* GSI routing, see routing.h. */
#include "routing.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <string.h>
#endif

#define MSI_DATA_VECTOR	    0xffu
#define MSI_DATA_MODE(data) ((data) >> 8 & 7)
#define MSI_DATA_LEVEL	    (1u << 15)
#define MSI_MODE_LOWEST	    1 /* 0 is fixed */

int routing_fill(struct route *route, const struct kvm_irq_routing_entry *entries, uint32_t count)
{
	const struct kvm_irq_routing_entry *entry;

	memset(route, 0, ROUTING_MAX * sizeof(*route));
	for (entry = entries; entry < entries + count; entry++) {
		if (entry->gsi >= ROUTING_MAX || entry->type != KVM_IRQ_ROUTING_MSI ||
		    entry->flags || route[entry->gsi].valid)
			return -EINVAL;
		route[entry->gsi] = (struct route){
			.address =
				(uint64_t)entry->u.msi.address_hi << 32 | entry->u.msi.address_lo,
			.data = entry->u.msi.data,
			.valid = true,
		};
	}
	return 0;
}

void routing_eoi_vectors(const struct route *route, uint32_t pins, uint64_t vectors[4])
{
	uint32_t gsi, vector;

	memset(vectors, 0, 4 * sizeof(*vectors));
	for (gsi = 0; gsi < pins && gsi < ROUTING_MAX; gsi++) {
		if (!route[gsi].valid || !(route[gsi].data & MSI_DATA_LEVEL) ||
		    MSI_DATA_MODE(route[gsi].data) > MSI_MODE_LOWEST)
			continue;
		vector = route[gsi].data & MSI_DATA_VECTOR;
		vectors[vector / 64] |= 1ull << (vector % 64);
	}
}
