// SPDX-License-Identifier: MIT
/*
 * Configuration space is bytes with write masks; BAR sizing falls out of the mask of the BAR.
 * Lock order: bus lock, then a device's own (in `configured`); BAR accesses run without bus lock.
 */
#include "pci.h"

#include <string.h>

#include "layout.h"

enum {
	REG_VENDOR = 0x00,
	REG_DEVICE = 0x02,
	REG_STATUS = 0x06,
	REG_CLASS = 0x08,
	REG_SUBSYSTEM_VENDOR = 0x2c,
	REG_SUBSYSTEM = 0x2e,
	REG_INTERRUPT_LINE = 0x3c,
	FIRST_CAPABILITY = 0x40,
};

#define STATUS_CAPABILITIES 0x0010
#define COMMAND_WRITABLE    0x0406 /* memory, bus master, INTx disable */
#define ECAM_FUNCTION_SHIFT 12
#define ECAM_SLOT_SHIFT	    15

static void put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

void pci_bus_init(struct pci_bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	pthread_mutex_init(&bus->lock, NULL);
	bus->next_bar = LAYOUT_PCI_BASE;
}

void pci_device_init(struct pci_device *device, const struct pci_ops *ops, const struct pci_id *id)
{
	device->ops = ops;
	put16(device->config + REG_VENDOR, id->vendor);
	put16(device->config + REG_DEVICE, id->device);
	put32(device->config + REG_CLASS, id->class_revision);
	put16(device->config + REG_SUBSYSTEM_VENDOR, id->subsystem_vendor);
	put16(device->config + REG_SUBSYSTEM, id->subsystem);
	put16(device->writable + PCI_REG_COMMAND, COMMAND_WRITABLE);
	device->writable[REG_INTERRUPT_LINE] = 0xff;
	device->next_capability = FIRST_CAPABILITY;
}

unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned bytes)
{
	unsigned offset = device->next_capability;

	/* Newest first: the list then needs no walk. */
	device->config[offset] = id;
	device->config[offset + 1] = device->config[PCI_REG_CAPABILITIES];
	device->config[PCI_REG_CAPABILITIES] = (uint8_t)offset;
	put16(device->config + REG_STATUS, STATUS_CAPABILITIES);
	device->next_capability = (offset + bytes + 3) & ~3u;
	return offset;
}

int pci_add(struct pci_bus *bus, struct pci_device *device)
{
	int slot = 0;

	while (slot < PCI_SLOTS && bus->slot[slot])
		slot++;
	if (slot == PCI_SLOTS)
		return -1;
	if (device->bar_bytes) {
		bus->next_bar = (bus->next_bar + device->bar_bytes - 1) & -device->bar_bytes;
		device->bar_initial = bus->next_bar;
		bus->next_bar += device->bar_bytes;
		put32(device->config + PCI_REG_BAR0, device->bar_initial);
		put32(device->writable + PCI_REG_BAR0, -device->bar_bytes);
	}
	bus->slot[slot] = device;
	return slot;
}

static void notify_configured(struct pci_device *device, unsigned offset, unsigned bytes)
{
	if (device->ops && device->ops->configured)
		device->ops->configured(device, offset, bytes);
}

void pci_reset(struct pci_bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_device *device = bus->slot[slot];

		if (!device)
			continue;
		/* Whatever the guest could write starts as zero, but for the BAR. */
		for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++)
			device->config[i] &= (uint8_t)~device->writable[i];
		put32(device->config + PCI_REG_BAR0, device->bar_initial);
		notify_configured(device, 0, PCI_CONFIG_BYTES);
	}
	pthread_mutex_unlock(&bus->lock);
}

uint64_t pci_bar_address(const struct pci_device *device)
{
	uint64_t base = get32(device->config + PCI_REG_BAR0) & -device->bar_bytes;

	if (!(device->config[PCI_REG_COMMAND] & PCI_COMMAND_MEMORY) || !device->bar_bytes)
		return 0;
	if (base < LAYOUT_PCI_BASE || base - LAYOUT_PCI_BASE > LAYOUT_PCI_BYTES - device->bar_bytes)
		return 0;
	return base;
}

static struct pci_device *ecam_device(const struct pci_bus *bus, uint64_t offset)
{
	unsigned function = (offset >> ECAM_FUNCTION_SHIFT) & 7;

	if (offset >= LAYOUT_ECAM_BYTES || function)
		return NULL;
	return bus->slot[offset >> ECAM_SLOT_SHIFT];
}

uint64_t pci_ecam_read(struct pci_bus *bus, uint64_t offset, unsigned bytes)
{
	unsigned reg = offset & 0xfff;
	uint64_t value = 0;

	pthread_mutex_lock(&bus->lock);
	struct pci_device *device = ecam_device(bus, offset);

	if (!device) {
		value = ~0ull;
	} else if (reg + bytes <= PCI_CONFIG_BYTES) {
		if (device->ops && device->ops->config_read)
			device->ops->config_read(device, reg, bytes);
		memcpy(&value, device->config + reg, bytes);
	}
	pthread_mutex_unlock(&bus->lock);
	return value;
}

void pci_ecam_write(struct pci_bus *bus, uint64_t offset, unsigned bytes, uint64_t value)
{
	unsigned reg = offset & 0xfff;

	pthread_mutex_lock(&bus->lock);
	struct pci_device *device = ecam_device(bus, offset);

	if (device && reg + bytes <= PCI_CONFIG_BYTES) {
		for (unsigned i = 0; i < bytes; i++) {
			uint8_t mask = device->writable[reg + i];
			uint8_t *at = &device->config[reg + i];

			*at = (uint8_t)((*at & ~mask) | ((value >> (8 * i)) & mask));
		}
		notify_configured(device, reg, bytes);
	}
	pthread_mutex_unlock(&bus->lock);
}

static struct pci_device *window_device(struct pci_bus *bus, uint64_t gpa, unsigned bytes,
					uint32_t *offset)
{
	struct pci_device *found = NULL;

	pthread_mutex_lock(&bus->lock);
	for (unsigned slot = 0; slot < PCI_SLOTS && !found; slot++) {
		struct pci_device *device = bus->slot[slot];
		uint64_t base = device ? pci_bar_address(device) : 0;

		if (!base || gpa < base || gpa - base > device->bar_bytes - bytes)
			continue;
		*offset = (uint32_t)(gpa - base);
		found = device;
	}
	pthread_mutex_unlock(&bus->lock);
	return found;
}

bool pci_window_read(struct pci_bus *bus, uint64_t gpa, unsigned bytes, uint64_t *value)
{
	uint32_t offset;
	struct pci_device *device = window_device(bus, gpa, bytes, &offset);

	if (device)
		*value = device->ops->read(device, offset, bytes);
	return device;
}

bool pci_window_write(struct pci_bus *bus, uint64_t gpa, unsigned bytes, uint64_t value)
{
	uint32_t offset;
	struct pci_device *device = window_device(bus, gpa, bytes, &offset);

	if (device)
		device->ops->write(device, offset, bytes, value);
	return device;
}
