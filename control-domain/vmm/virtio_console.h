// SPDX-License-Identifier: MIT
/*
 * The virtio console (hvc0 in Linux): one port with window size and emergency write.
 *
 * Source: VIRTIO 1.2, 5.3 "Console Device".
 */
#pragma once

#include "console.h"
#include "virtio.h"

struct virtio_console {
	struct virtio_device device;
	struct console *console;
	uint16_t columns, rows;
	bool size_told; /* since the last reset */
};

int virtio_console_init(struct virtio_console *virtio, struct console *console,
			const struct guest_memory *memory, const struct kvm *kvm, struct irq *irq,
			struct pci_bus *bus, struct reason *why);
