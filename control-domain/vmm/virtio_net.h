// SPDX-License-Identifier: MIT
/*
 * A virtio network card on a tap interface, served by a thread of its own.
 *
 * Checksum and segmentation offloads are passed through to Linux in both directions (the tap's
 * header is virtio's). One queue pair, no control queue. If the tap disappears, the link goes down.
 *
 * Source: VIRTIO 1.2, 5.1 "Network Device"; Linux Documentation/networking/tuntap.rst.
 */
#pragma once

#include "config.h"
#include "virtio.h"

struct virtio_net_stats {
	uint64_t received, sent, dropped;
	uint64_t received_bytes, sent_bytes;
};

struct virtio_net {
	struct virtio_device device;
	const struct config_net *config;
	struct loop_source tap;
	bool tap_watched;
	bool link_up;
	struct loop loop;
	struct virtio_net_stats stats; /* device lock */
};

/* Attaches to the tap interface, which exists already or is made (that takes CAP_NET_ADMIN). */
int virtio_net_open(struct virtio_net *net, const struct config_net *config, struct reason *why);

int virtio_net_init(struct virtio_net *net, unsigned index, const struct guest_memory *memory,
		    const struct kvm *kvm, struct irq *irq, struct pci_bus *bus,
		    struct reason *why);
