// SPDX-License-Identifier: MIT
/*
 * Feature negotiation and the status field. The rules are the standard's; a driver that breaks one
 * is answered the way the standard offers (FEATURES_OK not set, DEVICE_NEEDS_RESET), not with an
 * end of the VM.
 */
#include "virtio.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "say.h"

#define INTERRUPT_QUEUE	 0x1
#define INTERRUPT_CONFIG 0x2

#define COMMON_FEATURES                                                                            \
	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |        \
	 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX))

static struct virtio_queue *doorbell_queue(struct loop_source *source)
{
	return (struct virtio_queue *)((char *)source - offsetof(struct virtio_queue, doorbell));
}

static void doorbell_rung(struct loop_source *source, uint32_t events)
{
	struct virtio_queue *queue = doorbell_queue(source);
	struct virtio_device *device = queue->device;
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&device->lock);
	if (virtio_is_running(device) && queue->ring.enabled)
		device->class->doorbell(device, (unsigned)(queue - device->queue));
	pthread_mutex_unlock(&device->lock);
}

int virtio_init(struct virtio_device *device, const struct virtio_class *class, const char *name,
		uint64_t more_features, const struct guest_memory *memory, const struct kvm *kvm,
		struct irq *irq, struct pci_bus *bus, struct loop *loop, struct reason *why)
{
	device->class = class;
	device->kvm = kvm;
	device->offered = class->features | more_features | COMMON_FEATURES;
	snprintf(device->name, sizeof(device->name), "%s", name);
	pthread_mutex_init(&device->lock, NULL);
	for (unsigned i = 0; i < class->queues; i++) {
		struct virtio_queue *queue = &device->queue[i];

		queue->device = device;
		queue->ring.memory = memory;
		queue->ring.size_max = class->queue_size;
		queue->doorbell.ready = doorbell_rung;
		queue->doorbell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->doorbell.fd < 0 || loop_add(loop, &queue->doorbell, EPOLLIN))
			return reason_set(why, "%s: doorbell: %s", name, strerror(errno));
	}
	if (virtio_pci_init(device, irq, bus, why))
		return -1;
	virtio_reset(device);
	return 0;
}

bool virtio_is_running(const struct virtio_device *device)
{
	return (device->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) ==
	       VIRTIO_CONFIG_S_DRIVER_OK;
}

bool virtio_has(const struct virtio_device *device, unsigned feature_bit)
{
	return device->accepted & VIRTIO_FEATURE(feature_bit);
}

void virtio_reset_locked(struct virtio_device *device)
{
	device->status = 0;
	device->accepted = 0;
	device->offered_select = device->accepted_select = 0;
	device->interrupt_status = 0;
	device->queue_select = 0;
	device->config_vector = VIRTIO_NO_VECTOR;
	device->resets++;
	for (unsigned i = 0; i < device->class->queues; i++) {
		virtqueue_reset(&device->queue[i].ring);
		device->queue[i].vector = VIRTIO_NO_VECTOR;
	}
	if (device->class->reset)
		device->class->reset(device);
}

void virtio_reset(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	virtio_reset_locked(device);
	pthread_mutex_unlock(&device->lock);
}

uint32_t virtio_offered_locked(const struct virtio_device *device)
{
	return device->offered_select < 2
		       ? (uint32_t)(device->offered >> (32 * device->offered_select))
		       : 0;
}

void virtio_accept_locked(struct virtio_device *device, uint32_t features)
{
	unsigned shift = 32 * device->accepted_select;

	if (device->accepted_select > 1 || (device->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	device->accepted &= ~(0xffffffffull << shift);
	device->accepted |= (uint64_t)features << shift;
}

static bool features_are_fine(const struct virtio_device *device)
{
	return !(device->accepted & ~device->offered) && virtio_has(device, VIRTIO_F_VERSION_1);
}

void virtio_set_status_locked(struct virtio_device *device, uint8_t status)
{
	uint8_t before = device->status;

	if (!status) {
		virtio_reset_locked(device);
		return;
	}
	/* Bits are only ever added, and NEEDS_RESET only by us. */
	status |= before;
	if (!(before & VIRTIO_CONFIG_S_NEEDS_RESET))
		status &= (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (!features_are_fine(device))
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	/* Without agreed features there is no working driver. */
	if (!(status & VIRTIO_CONFIG_S_FEATURES_OK))
		status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	device->status = status;
	if (!(status & ~before & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (device->class->start)
		device->class->start(device);
	/* A doorbell rung too early was ignored. */
	for (unsigned i = 0; i < device->class->queues; i++)
		virtio_kick(device, i);
}

void virtio_enable_queue_locked(struct virtio_device *device)
{
	struct virtqueue *ring;

	if (device->queue_select >= device->class->queues)
		return;
	ring = &device->queue[device->queue_select].ring;
	if (ring->enabled || ring->broken || !(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	ring->event_index = virtio_has(device, VIRTIO_RING_F_EVENT_IDX);
	if (!virtqueue_enable(ring))
		virtio_need_reset(device, device->queue_select);
}

void virtio_interrupt_queue(struct virtio_device *device, unsigned index)
{
	struct virtio_queue *queue = &device->queue[index];

	if (!virtqueue_should_interrupt(&queue->ring))
		return;
	device->interrupt_status |= INTERRUPT_QUEUE;
	msix_raise(&device->msix, queue->vector);
}

void virtio_interrupt_config(struct virtio_device *device)
{
	device->config_generation++;
	if (!(device->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	device->interrupt_status |= INTERRUPT_CONFIG;
	msix_raise(&device->msix, device->config_vector);
}

void virtio_need_reset(struct virtio_device *device, unsigned index)
{
	static struct say_limit limit;

	say_limited(&limit, "%s: the guest's driver broke queue %u; it must reset the device",
		    device->name, index);
	device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_interrupt_config(device);
}

void virtio_kick(struct virtio_device *device, unsigned index)
{
	uint64_t one = 1;

	/* Cannot fail but when it has been rung 2^64 times already. */
	if (write(device->queue[index].doorbell.fd, &one, sizeof(one)) != sizeof(one))
		return;
}
