// SPDX-License-Identifier: MIT
/*
 * The virtio entropy source: random bytes of the host, as many as the guest has buffers for.
 *
 * Source: VIRTIO 1.2, 5.4 "Entropy Device".
 */
#pragma once

#include "virtio.h"

struct virtio_entropy {
	struct virtio_device device;
};

int virtio_entropy_init(struct virtio_entropy *entropy, struct loop *loop,
			const struct guest_memory *memory, const struct kvm *kvm, struct irq *irq,
			struct pci_bus *bus, struct reason *why);
