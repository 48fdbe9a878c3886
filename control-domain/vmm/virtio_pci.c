// SPDX-License-Identifier: MIT
/*
 * Virtio over PCI: where the registers are in BAR 0, and what they do.
 *
 *	0000	common configuration	2000	device configuration	4000	MSI-X table
 *	1000	interrupt status	3000	doorbells, 4 bytes each	5000	MSI-X pending bits
 *
 * Modern interface only. Doorbells are ioeventfds where the kernel offers them, so that ringing one
 * does not end KVM_RUN. The window through configuration space (PCI_CFG) is for firmware.
 *
 * Source: VIRTIO 1.2, 4.1 "Virtio Over PCI Bus".
 */
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <string.h>

#include "virtio.h"

#define BAR_BYTES	0x8000u
#define REGION_SHIFT	12
#define REGION_BYTES	(1u << REGION_SHIFT)
#define DOORBELL_BYTES	4
#define VENDOR_VIRTIO	0x1af4
#define DEVICE_BASE	0x1040
#define REVISION_MODERN 1
#define CAPABILITY_ID	0x09

enum region { COMMON, ISR, DEVICE, DOORBELLS, MSIX_TABLE, MSIX_PENDING };

static struct virtio_device *of_pci(struct pci_device *pci)
{
	return (struct virtio_device *)((char *)pci - offsetof(struct virtio_device, pci));
}

static struct virtio_queue *selected(struct virtio_device *device)
{
	return device->queue_select < device->class->queues ? &device->queue[device->queue_select]
							    : NULL;
}

/* The common configuration as the driver would read it now; slices of it answer every width. */
static void snapshot_common(struct virtio_device *device, struct virtio_pci_common_cfg *common)
{
	const struct virtio_queue *queue = selected(device);

	*common = (struct virtio_pci_common_cfg){
		.device_feature_select = device->offered_select,
		.device_feature = virtio_offered_locked(device),
		.guest_feature_select = device->accepted_select,
		.guest_feature =
			device->accepted_select < 2
				? (uint32_t)(device->accepted >> (32 * device->accepted_select))
				: 0,
		.msix_config = device->config_vector,
		.num_queues = (uint16_t)device->class->queues,
		.device_status = device->status,
		.config_generation = device->config_generation,
		.queue_select = device->queue_select,
	};
	if (!queue)
		return;
	common->queue_size = queue->ring.size;
	common->queue_msix_vector = queue->vector;
	common->queue_enable = queue->ring.enabled;
	common->queue_notify_off = device->queue_select;
	common->queue_desc_lo = (uint32_t)queue->ring.desc_gpa;
	common->queue_desc_hi = (uint32_t)(queue->ring.desc_gpa >> 32);
	common->queue_avail_lo = (uint32_t)queue->ring.avail_gpa;
	common->queue_avail_hi = (uint32_t)(queue->ring.avail_gpa >> 32);
	common->queue_used_lo = (uint32_t)queue->ring.used_gpa;
	common->queue_used_hi = (uint32_t)(queue->ring.used_gpa >> 32);
}

static uint16_t accept_vector(uint64_t value)
{
	return value < VIRTIO_VECTORS ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

/* Addresses may be written whole or by halves. */
static void write_address(uint64_t *gpa, unsigned offset, unsigned bytes, uint64_t value)
{
	if (bytes == 8)
		*gpa = value;
	else if (offset % 8 == 0)
		*gpa = (*gpa & ~0xffffffffull) | (uint32_t)value;
	else
		*gpa = (*gpa & 0xffffffffull) | value << 32;
}

static void write_queue(struct virtio_device *device, uint32_t offset, unsigned bytes,
			uint64_t value)
{
	struct virtio_queue *queue = selected(device);

	if (!queue)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
		queue->vector = accept_vector(value);
		return;
	}
	if (offset == VIRTIO_PCI_COMMON_Q_ENABLE) {
		if (value == 1)
			virtio_enable_queue_locked(device);
		return;
	}
	if (queue->ring.enabled)
		return; /* addresses and size are fixed from then on */
	if (offset == VIRTIO_PCI_COMMON_Q_SIZE)
		queue->ring.size = (uint16_t)value;
	else if (bytes < 4)
		return;
	else if (offset >= VIRTIO_PCI_COMMON_Q_USEDLO)
		write_address(&queue->ring.used_gpa, offset - VIRTIO_PCI_COMMON_Q_USEDLO, bytes,
			      value);
	else if (offset >= VIRTIO_PCI_COMMON_Q_AVAILLO)
		write_address(&queue->ring.avail_gpa, offset - VIRTIO_PCI_COMMON_Q_AVAILLO, bytes,
			      value);
	else if (offset >= VIRTIO_PCI_COMMON_Q_DESCLO)
		write_address(&queue->ring.desc_gpa, offset - VIRTIO_PCI_COMMON_Q_DESCLO, bytes,
			      value);
}

static void write_common(struct virtio_device *device, uint32_t offset, unsigned bytes,
			 uint64_t value)
{
	if (offset % bytes || offset + bytes > sizeof(struct virtio_pci_common_cfg))
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		device->offered_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		device->accepted_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_accept_locked(device, (uint32_t)value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		device->config_vector = accept_vector(value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status_locked(device, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		device->queue_select = (uint16_t)value;
		break;
	default:
		if (offset >= VIRTIO_PCI_COMMON_Q_SIZE)
			write_queue(device, offset, bytes, value);
	}
}

static uint64_t read_common(struct virtio_device *device, uint32_t offset, unsigned bytes)
{
	struct virtio_pci_common_cfg common;
	uint64_t value = 0;

	if (offset % bytes || offset + bytes > sizeof(common))
		return 0;
	snapshot_common(device, &common);
	memcpy(&value, (const uint8_t *)&common + offset, bytes);
	return value;
}

static uint64_t read_device(struct virtio_device *device, uint32_t offset, unsigned bytes)
{
	uint64_t value = 0;

	if (offset + bytes <= device->class->config_bytes)
		device->class->read_config(device, offset, &value, bytes);
	return value;
}

static uint8_t take_interrupt_status(struct virtio_device *device)
{
	uint8_t status = device->interrupt_status;

	device->interrupt_status = 0;
	return status;
}

static uint64_t bar_read(struct pci_device *pci, uint32_t offset, unsigned bytes)
{
	struct virtio_device *device = of_pci(pci);
	uint32_t inside = offset & (REGION_BYTES - 1);
	uint64_t value = 0;

	switch ((enum region)(offset >> REGION_SHIFT)) {
	case MSIX_TABLE:
		return msix_table_read(&device->msix, inside, bytes);
	case MSIX_PENDING:
		return msix_pending_read(&device->msix, inside);
	case DOORBELLS:
		return 0;
	default:
		break;
	}
	pthread_mutex_lock(&device->lock);
	switch ((enum region)(offset >> REGION_SHIFT)) {
	case COMMON:
		value = read_common(device, inside, bytes);
		break;
	case ISR:
		value = take_interrupt_status(device);
		break;
	case DEVICE:
		value = read_device(device, inside, bytes);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&device->lock);
	return value;
}

static void bar_write(struct pci_device *pci, uint32_t offset, unsigned bytes, uint64_t value)
{
	struct virtio_device *device = of_pci(pci);
	uint32_t inside = offset & (REGION_BYTES - 1);

	switch ((enum region)(offset >> REGION_SHIFT)) {
	case MSIX_TABLE:
		msix_table_write(&device->msix, inside, bytes, value);
		return;
	case DOORBELLS:
		if (inside / DOORBELL_BYTES < device->class->queues)
			virtio_kick(device, inside / DOORBELL_BYTES);
		return;
	case COMMON:
		pthread_mutex_lock(&device->lock);
		write_common(device, inside, bytes, value);
		pthread_mutex_unlock(&device->lock);
		return;
	case DEVICE:
		pthread_mutex_lock(&device->lock);
		if (device->class->write_config && inside + bytes <= device->class->config_bytes)
			device->class->write_config(device, inside, &value, bytes);
		pthread_mutex_unlock(&device->lock);
		return;
	default:
		return;
	}
}

/* Moves the ioeventfds along with the BAR. */
static void place_doorbells(struct virtio_device *device)
{
	uint64_t bar = pci_bar_address(&device->pci);
	uint64_t gpa = bar ? bar + DOORBELLS * REGION_BYTES : 0;

	if (gpa == device->doorbell_gpa)
		return;
	for (unsigned i = 0; i < device->class->queues; i++) {
		int fd = device->queue[i].doorbell.fd;
		uint64_t offset = i * DOORBELL_BYTES;

		if (device->doorbell_gpa)
			kvm_doorbell(device->kvm, device->doorbell_gpa + offset, 2, fd, false);
		if (gpa)
			kvm_doorbell(device->kvm, gpa + offset, 2, fd, true);
	}
	device->doorbell_gpa = gpa;
}

/* The PCI_CFG window: offset and length as the driver set them; false when they make no sense. */
static bool window_target(const struct virtio_device *device, uint32_t *offset, uint32_t *bytes)
{
	const uint8_t *capability = device->pci.config + device->window_capability;

	memcpy(offset, capability + offsetof(struct virtio_pci_cap, offset), sizeof(*offset));
	memcpy(bytes, capability + offsetof(struct virtio_pci_cap, length), sizeof(*bytes));
	return (*bytes == 1 || *bytes == 2 || *bytes == 4) && *offset % *bytes == 0 &&
	       *offset < BAR_BYTES && capability[offsetof(struct virtio_pci_cap, bar)] == 0;
}

static bool touches_window(const struct virtio_device *device, unsigned offset, unsigned bytes)
{
	unsigned data = device->window_capability + sizeof(struct virtio_pci_cap);

	return offset < data + 4 && offset + bytes > data && bytes <= 4;
}

static void window_read(struct pci_device *pci, unsigned reg, unsigned bytes)
{
	struct virtio_device *device = of_pci(pci);
	uint32_t offset, width;

	if (!touches_window(device, reg, bytes) || !window_target(device, &offset, &width))
		return;
	uint32_t value = (uint32_t)bar_read(pci, offset, width);

	memcpy(pci->config + device->window_capability + sizeof(struct virtio_pci_cap), &value,
	       sizeof(value));
}

static void configured(struct pci_device *pci, unsigned reg, unsigned bytes)
{
	struct virtio_device *device = of_pci(pci);
	uint32_t offset, width, value;

	msix_configured(&device->msix, pci);
	place_doorbells(device);
	if (!touches_window(device, reg, bytes) || !window_target(device, &offset, &width))
		return;
	memcpy(&value, pci->config + device->window_capability + sizeof(struct virtio_pci_cap),
	       sizeof(value));
	bar_write(pci, offset, width, value);
}

static const struct pci_ops virtio_pci_ops = {
	.read = bar_read,
	.write = bar_write,
	.configured = configured,
	.config_read = window_read,
};

/* Adds a capability that says where in BAR 0 something is; `bytes` of capability in all. */
static unsigned add_capability(struct pci_device *pci, uint8_t type, enum region region,
			       unsigned length, unsigned bytes)
{
	unsigned at = pci_add_capability(pci, CAPABILITY_ID, bytes);
	uint32_t offset = (uint32_t)region * REGION_BYTES;

	pci->config[at + offsetof(struct virtio_pci_cap, cap_len)] = (uint8_t)bytes;
	pci->config[at + offsetof(struct virtio_pci_cap, cfg_type)] = type;
	memcpy(pci->config + at + offsetof(struct virtio_pci_cap, offset), &offset, 4);
	memcpy(pci->config + at + offsetof(struct virtio_pci_cap, length), &length, 4);
	return at;
}

int virtio_pci_init(struct virtio_device *device, struct irq *irq, struct pci_bus *bus,
		    struct reason *why)
{
	struct pci_device *pci = &device->pci;
	const unsigned plain = sizeof(struct virtio_pci_cap);
	const uint32_t multiplier = DOORBELL_BYTES;
	const struct pci_id id = {
		.vendor = VENDOR_VIRTIO,
		.device = (uint16_t)(DEVICE_BASE + device->class->id),
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = (uint16_t)(DEVICE_BASE + device->class->id),
		.class_revision = device->class->pci_class << 8 | REVISION_MODERN,
	};

	pci_device_init(pci, &virtio_pci_ops, &id);
	pci->bar_bytes = BAR_BYTES;
	add_capability(pci, VIRTIO_PCI_CAP_COMMON_CFG, COMMON, sizeof(struct virtio_pci_common_cfg),
		       plain);
	add_capability(pci, VIRTIO_PCI_CAP_ISR_CFG, ISR, 1, plain);
	if (device->class->config_bytes)
		add_capability(pci, VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE, device->class->config_bytes,
			       plain);

	unsigned doorbells = add_capability(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, DOORBELLS,
					    device->class->queues * DOORBELL_BYTES,
					    sizeof(struct virtio_pci_notify_cap));

	memcpy(pci->config + doorbells + plain, &multiplier, sizeof(multiplier));

	device->window_capability =
		add_capability(pci, VIRTIO_PCI_CAP_PCI_CFG, COMMON, 0, plain + 4);
	memset(pci->writable + device->window_capability + offsetof(struct virtio_pci_cap, bar),
	       0xff, 1);
	memset(pci->writable + device->window_capability + offsetof(struct virtio_pci_cap, offset),
	       0xff, 12); /* offset, length, data */

	if (msix_init(&device->msix, irq, pci, VIRTIO_VECTORS, MSIX_TABLE * REGION_BYTES,
		      MSIX_PENDING * REGION_BYTES, why))
		return -1;
	if (pci_add(bus, pci) < 0)
		return reason_set(why, "%s: no free PCI slot; at most %d devices", device->name,
				  PCI_SLOTS - 1);
	return 0;
}
