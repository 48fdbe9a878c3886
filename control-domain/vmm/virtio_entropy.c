// SPDX-License-Identifier: MIT
/*
 * A buffer gets at most REQUEST_BYTES: a guest that asks for megabytes takes turns with the
 * console, which shares the main loop.
 */
#include "virtio_entropy.h"

#include <sys/random.h>

enum {
	REQUEST_BYTES = 256,
	TURN_REQUESTS = 64,
	QUEUE_SIZE = 8,
	PCI_CLASS_OTHER = 0x00ff00,
};

static void doorbell(struct virtio_device *device, unsigned index)
{
	struct virtqueue *ring = &device->queue[index].ring;
	struct virtqueue_chain chain;
	uint8_t bytes[REQUEST_BYTES];
	unsigned turn = TURN_REQUESTS;

	do {
		virtqueue_doorbell_off(ring);
		while (turn && virtqueue_pop(ring, &chain) == VIRTQUEUE_CHAIN) {
			/* Up to 256 bytes never block and never come short once seeded. */
			ssize_t got = getrandom(bytes, sizeof(bytes), 0);
			size_t used = virtqueue_write(&chain, 0, bytes, got > 0 ? (size_t)got : 0);

			virtqueue_push(ring, &chain, (uint32_t)used);
			turn--;
		}
	} while (turn && virtqueue_doorbell_on(ring));
	if (!turn)
		virtio_kick(device, index);
	if (ring->broken)
		virtio_need_reset(device, index);
	virtio_interrupt_queue(device, index);
}

static const struct virtio_class entropy_class = {
	.kind = "entropy",
	.id = VIRTIO_ID_RNG,
	.pci_class = PCI_CLASS_OTHER,
	.queues = 1,
	.queue_size = QUEUE_SIZE,
	.doorbell = doorbell,
};

int virtio_entropy_init(struct virtio_entropy *entropy, struct loop *loop,
			const struct guest_memory *memory, const struct kvm *kvm, struct irq *irq,
			struct pci_bus *bus, struct reason *why)
{
	return virtio_init(&entropy->device, &entropy_class, "entropy", 0, memory, kvm, irq, bus,
			   loop, why);
}
