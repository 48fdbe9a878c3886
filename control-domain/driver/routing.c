// SPDX-License-Identifier: GPL-2.0-only
/* GSI routing, see routing.h. */
#include "routing.h"

#define MSI_DATA_VECTOR	    0xffu
#define MSI_DATA_MODE(data) ((data) >> 8 & 7)
#define MSI_DATA_LEVEL	    (1u << 15)
#define MSI_MODE_LOWEST	    1 /* 0 is fixed */

#define PIC_LINES  16
#define SLAVE_LINE 8

static int wire_chip(struct route *route, const struct kvm_irq_routing_entry *entry)
{
	uint32_t chip = entry->u.irqchip.irqchip, pin = entry->u.irqchip.pin;

	if (chip == KVM_IRQCHIP_IOAPIC) {
		if (pin >= KVM_IOAPIC_NUM_PINS || route->ioapic || route->valid)
			return -EINVAL;
		route->ioapic = (uint8_t)(pin + 1);
		return 0;
	}
	if (chip > KVM_IRQCHIP_PIC_SLAVE || pin >= SLAVE_LINE || route->pic || route->valid)
		return -EINVAL;
	route->pic = (uint8_t)(pin + (chip == KVM_IRQCHIP_PIC_SLAVE ? SLAVE_LINE : 0) + 1);
	return 0;
}

static int wire_message(struct route *route, const struct kvm_irq_routing_entry *entry)
{
	if (route_connected(route))
		return -EINVAL;
	route->address = (uint64_t)entry->u.msi.address_hi << 32 | entry->u.msi.address_lo;
	route->data = entry->u.msi.data;
	route->valid = true;
	return 0;
}

int routing_fill(struct route *route, const struct kvm_irq_routing_entry *entries, uint32_t count,
		 bool chips)
{
	const struct kvm_irq_routing_entry *entry;
	int err;

	memset(route, 0, ROUTING_MAX * sizeof(*route));
	for (entry = entries; entry < entries + count; entry++) {
		if (entry->gsi >= ROUTING_MAX || entry->flags)
			return -EINVAL;
		if (entry->type == KVM_IRQ_ROUTING_MSI)
			err = wire_message(&route[entry->gsi], entry);
		else if (entry->type == KVM_IRQ_ROUTING_IRQCHIP && chips)
			err = wire_chip(&route[entry->gsi], entry);
		else
			err = -EINVAL;
		if (err)
			return err;
	}
	return 0;
}

void routing_default(struct route *route)
{
	uint8_t line;

	memset(route, 0, ROUTING_MAX * sizeof(*route));
	for (line = 0; line < KVM_IOAPIC_NUM_PINS; line++) {
		route[line].ioapic = line + 1;
		route[line].pic = line < PIC_LINES ? line + 1 : 0;
	}
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
