// SPDX-License-Identifier: GPL-2.0-only
/*
 * GSI routing: which message an interrupt line stands for.
 *
 * With the split irqchip the device model has the IOAPIC, so every route is an MSI; the first lines
 * (as many as KVM_ENABLE_CAP named) are the IOAPIC's pins, and the EOI of a level-triggered one has
 * to come back to it. With PIC and IOAPIC in the driver a line may be wired to one pin of each.
 * Pure: events.c keeps the table alive and moves the lines.
 */
#pragma once

#include <linux/kvm.h>

#include "pure.h"

#define ROUTING_MAX 1024 /* lines, and so entries */

struct route {
	uint64_t address;
	uint32_t data;
	bool valid;	/* a message */
	uint8_t pic;	/* line of the PICs, 0 to 15, plus 1; 0: not wired there */
	uint8_t ioapic; /* pin of the IOAPIC plus 1 */
};

/*
 * Fills route[0..ROUTING_MAX) from KVM's entries; lines not named become invalid. `chips`: PIC and
 * IOAPIC exist. -EINVAL: an entry of another type, unknown flags, a line beyond ROUTING_MAX, a pin
 * that does not exist, or a line routed twice to a message or to the same chip.
 */
int routing_fill(struct route *route, const struct kvm_irq_routing_entry *entries, uint32_t count,
		 bool chips);

/* How a PC is wired, which is also KVM's default: lines 0-15 to both chips, 16-23 to the IOAPIC. */
void routing_default(struct route *route);

static inline bool route_connected(const struct route *route)
{
	return route->valid || route->pic || route->ioapic;
}

/*
 * Vectors whose EOI must reach the IOAPIC: those of level-triggered messages (SDM 3A "Message Data
 * Register Format", bit 15) with fixed or lowest-priority delivery on the first `pins` lines.
 */
void routing_eoi_vectors(const struct route *route, uint32_t pins, uint64_t vectors[4]);
