// SPDX-License-Identifier: MIT
/*
 * A virtio disk over a raw file or a block device, served by a thread of its own.
 *
 * Read, write, flush (fdatasync), discard, write zeroes and the serial number. Requests run one
 * after the other and through the page cache: guest memory may be device memory to Linux, which
 * direct I/O cannot use. A full host disk keeps the request and asks the machine to pause; after
 * virtio_block_resume() it is tried again. Every other error goes to the guest as
 * VIRTIO_BLK_S_IOERR.
 *
 * Source: VIRTIO 1.2, 5.2 "Block Device".
 */
#pragma once

#include "config.h"
#include "virtio.h"

struct virtio_block_stats {
	uint64_t reads, writes, flushes, discards, errors;
	uint64_t read_bytes, written_bytes;
};

struct virtio_block {
	struct virtio_device device;
	const struct config_disk *config;
	int fd;
	bool is_device;
	uint64_t sectors;
	struct loop loop;
	struct virtio_block_stats stats; /* device lock */
	/* The host disk is full: `what` says which. Any thread. */
	void (*stuck)(void *context, const char *what);
	void *context;
	pthread_cond_t resumed; /* with the device lock */
	bool waits;
};

/* Opens and locks the image, or says why not. `index` names the disk in messages and serial number.
 */
int virtio_block_open(struct virtio_block *block, const struct config_disk *config,
		      struct reason *why);

int virtio_block_init(struct virtio_block *block, unsigned index,
		      void (*stuck)(void *context, const char *what), void *context,
		      const struct guest_memory *memory, const struct kvm *kvm, struct irq *irq,
		      struct pci_bus *bus, struct reason *why);

/* The disk may have room again, or the device was reset: go on. */
void virtio_block_resume(struct virtio_block *block);
