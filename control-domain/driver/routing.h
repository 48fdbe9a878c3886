// SPDX-License-Identifier: GPL-2.0-only
/*
 * GSI routing: which message an interrupt line stands for.
 *
 * With the split irqchip the device model has the IOAPIC, so every route is an MSI; the first lines
 * (as many as KVM_ENABLE_CAP named) are the IOAPIC's pins, and the EOI of a level-triggered one has
 * to come back to it. Pure: irqfd.c and vm.c keep the table alive and send the messages.
 */
#pragma once

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
#endif

#include <linux/kvm.h>

#define ROUTING_MAX 1024 /* lines, and so entries */

struct route {
	uint64_t address;
	uint32_t data;
	bool valid;
};

/*
 * Fills route[0..ROUTING_MAX) from KVM's entries; lines not named become invalid. -EINVAL: an entry
 * that is not an MSI, has unknown flags, a line beyond ROUTING_MAX, or a line routed twice.
 */
int routing_fill(struct route *route, const struct kvm_irq_routing_entry *entries, uint32_t count);

/*
 * Vectors whose EOI must reach the IOAPIC: those of level-triggered messages (SDM 3A "Message Data
 * Register Format", bit 15) with fixed or lowest-priority delivery on the first `pins` lines.
 */
void routing_eoi_vectors(const struct route *route, uint32_t pins, uint64_t vectors[4]);
