// SPDX-License-Identifier: MIT
/*
 * What all virtio devices share: features, status, queues, doorbells and interrupts.
 *
 * A device fills in a `struct virtio_class` and embeds a `struct virtio_device`. Its functions are
 * called with the device's lock held: from vCPU threads for registers, from the device's event
 * loop for doorbells. Registers and PCI are in virtio_pci.c. Only virtio 1.x drivers are served.
 *
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, 2 "Basic Facilities of a Virtio Device".
 */
#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <pthread.h>

#include "loop.h"
#include "msix.h"
#include "pci.h"
#include "virtqueue.h"

enum { VIRTIO_QUEUES_MAX = 2 };

/* Vectors: one for each queue and one for configuration changes. */
enum { VIRTIO_VECTORS = VIRTIO_QUEUES_MAX + 1 };

#define VIRTIO_FEATURE(bit) (1ull << (bit))
#define VIRTIO_NO_VECTOR    0xffff

struct virtio_device;

struct virtio_class {
	const char *kind; /* "block" */
	uint16_t id;
	uint32_t pci_class;
	unsigned queues;
	uint16_t queue_size;
	uint64_t features; /* in addition to the ones of virtio.c */
	unsigned config_bytes;
	/* Device-specific configuration: `offset` + `bytes` within config_bytes. write may be NULL.
	 */
	void (*read_config)(struct virtio_device *device, unsigned offset, void *to,
			    unsigned bytes);
	void (*write_config)(struct virtio_device *device, unsigned offset, const void *from,
			     unsigned bytes);
	/* The driver is ready; queues are enabled. May be NULL. */
	void (*start)(struct virtio_device *device);
	/* Back to the initial state; requests in flight are forgotten. May be NULL. */
	void (*reset)(struct virtio_device *device);
	/* Requests may wait in queue `index`. From the event loop only. */
	void (*doorbell)(struct virtio_device *device, unsigned index);
};

struct virtio_queue {
	struct virtqueue ring;
	uint16_t vector;
	struct loop_source doorbell; /* an eventfd */
	struct virtio_device *device;
};

struct virtio_device {
	const struct virtio_class *class;
	char name[32]; /* "disk0" */
	pthread_mutex_t lock;
	uint64_t offered, accepted;
	uint32_t offered_select, accepted_select;
	uint8_t status;
	uint8_t interrupt_status;
	uint8_t config_generation;
	uint16_t config_vector;
	uint16_t queue_select;
	unsigned resets; /* counts resets: tells whoever let go of the lock that all changed */
	struct virtio_queue queue[VIRTIO_QUEUES_MAX];

	struct pci_device pci;
	struct msix msix;
	const struct kvm *kvm;
	uint64_t doorbell_gpa; /* where ioeventfds are registered, 0 = nowhere */
	unsigned window_capability;
};

/* Sets up a device of `class` on `bus`, its doorbells served by `loop`. */
int virtio_init(struct virtio_device *device, const struct virtio_class *class, const char *name,
		uint64_t more_features, const struct guest_memory *memory, const struct kvm *kvm,
		struct irq *irq, struct pci_bus *bus, struct loop *loop, struct reason *why);

/* Device reset, as by status 0; takes the lock. */
void virtio_reset(struct virtio_device *device);

/* The rest wants the lock held. */
bool virtio_is_running(const struct virtio_device *device);
bool virtio_has(const struct virtio_device *device, unsigned feature_bit);
void virtio_reset_locked(struct virtio_device *device);
void virtio_set_status_locked(struct virtio_device *device, uint8_t status);
void virtio_enable_queue_locked(struct virtio_device *device);
uint32_t virtio_offered_locked(const struct virtio_device *device);
void virtio_accept_locked(struct virtio_device *device, uint32_t features);

/* Interrupt for used buffers of queue `index`, if the driver wants it. */
void virtio_interrupt_queue(struct virtio_device *device, unsigned index);

/* Interrupt for changed device configuration. */
void virtio_interrupt_config(struct virtio_device *device);

/* The driver broke the rules of a queue: DEVICE_NEEDS_RESET until it resets us. */
void virtio_need_reset(struct virtio_device *device, unsigned index);

/* Rings queue `index`'s doorbell ourselves: its handler runs in the event loop. */
void virtio_kick(struct virtio_device *device, unsigned index);

/* virtio_pci.c: registers in BAR 0. */
int virtio_pci_init(struct virtio_device *device, struct irq *irq, struct pci_bus *bus,
		    struct reason *why);
