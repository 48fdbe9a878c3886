// SPDX-License-Identifier: MIT
/*
 * One PCI bus with up to 32 single-function devices, configured through ECAM only.
 *
 * Pure state: configuration space with write masks, and 32-bit memory BARs that the guest may size
 * and move inside the window of layout.h. There are no ports CF8/CFC (each of their accesses costs
 * two exits), no bridges, no INTx, no option ROMs, no extended capabilities.
 *
 * Source: PCI Local Bus Specification 3.0, chapter 6 "Configuration Space"; PCI Express Base
 * Specification, "Enhanced Configuration Access Mechanism".
 *
 * Read next: virtio_pci.c, the devices; msix.c.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { PCI_SLOTS = 32, PCI_CONFIG_BYTES = 256 };

/* Offsets and bits that devices use. */
enum {
	PCI_REG_COMMAND = 0x04,
	PCI_REG_BAR0 = 0x10,
	PCI_REG_CAPABILITIES = 0x34,
};

#define PCI_COMMAND_MEMORY 0x0002

struct pci_device;

struct pci_ops {
	/* Access to BAR 0 at `offset`; `bytes` is 1, 2, 4 or 8 and does not leave the BAR. */
	uint64_t (*read)(struct pci_device *device, uint32_t offset, unsigned bytes);
	void (*write)(struct pci_device *device, uint32_t offset, unsigned bytes, uint64_t value);
	/* Configuration registers changed: offset and length of the write. Bus lock held. */
	void (*configured)(struct pci_device *device, unsigned offset, unsigned bytes);
	/* Before a configuration read, to fill in registers made on demand. Bus lock held. May be
	 * NULL. */
	void (*config_read)(struct pci_device *device, unsigned offset, unsigned bytes);
};

struct pci_device {
	const struct pci_ops *ops; /* NULL: configuration space only */
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES]; /* mask of bits that the guest may write */
	uint32_t bar_bytes;		    /* of BAR 0; 0 = none */
	uint32_t bar_initial;		    /* where reset puts it */
	unsigned next_capability;
};

struct pci_bus {
	pthread_mutex_t lock;
	struct pci_device *slot[PCI_SLOTS];
	uint32_t next_bar;
};

struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_revision; /* class code << 8 | revision */
};

void pci_bus_init(struct pci_bus *bus);

/* Fills in the header of a device. Call pci_add() after adding capabilities. */
void pci_device_init(struct pci_device *device, const struct pci_ops *ops, const struct pci_id *id);

/* Reserves `bytes` (with its 2 byte head) for a capability and links it; returns its offset. */
unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned bytes);

/* Puts the device into the next free slot, BAR 0 (bar_bytes: a power of two) assigned and enabled
 * by the guest later. Returns the slot, or -1 when all are taken. */
int pci_add(struct pci_bus *bus, struct pci_device *device);

/* Registers back to their state after pci_add(). */
void pci_reset(struct pci_bus *bus);

/* Address of BAR 0, or 0 while it does not decode (disabled, or outside the window). */
uint64_t pci_bar_address(const struct pci_device *device);

/* ECAM: `offset` from the base of bus 0. Absent devices read as all ones. */
uint64_t pci_ecam_read(struct pci_bus *bus, uint64_t offset, unsigned bytes);
void pci_ecam_write(struct pci_bus *bus, uint64_t offset, unsigned bytes, uint64_t value);

/* An access in the BAR window; false when no BAR decodes it. */
bool pci_window_read(struct pci_bus *bus, uint64_t gpa, unsigned bytes, uint64_t *value);
bool pci_window_write(struct pci_bus *bus, uint64_t gpa, unsigned bytes, uint64_t value);
