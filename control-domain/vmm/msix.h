// SPDX-License-Identifier: MIT
/*
 * MSI-X of one PCI device: table, pending bits, and raising a vector.
 *
 * Each vector owns one source of irq.h. A masked vector that is raised sets its pending bit and is
 * sent when it is unmasked. The capability's enable and mask bits live in configuration space; the
 * device tells us when they change.
 *
 * Source: PCI Local Bus Specification 3.0, 6.8.2 "MSI-X Capability and Table Structures".
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "irq.h"
#include "pci.h"

enum { MSIX_VECTORS_MAX = 8, MSIX_ENTRY_BYTES = 16 };

struct msix {
	struct irq *irq;
	pthread_mutex_t lock;
	unsigned count;
	unsigned capability; /* offset in configuration space */
	bool enabled, masked;
	uint32_t entry[MSIX_VECTORS_MAX][4]; /* address low, high, data, control */
	uint32_t pending;
	unsigned gsi[MSIX_VECTORS_MAX];
};

/* Adds the capability with `count` vectors; table and pending bits at offsets into BAR 0. */
int msix_init(struct msix *msix, struct irq *irq, struct pci_device *device, unsigned count,
	      uint32_t table_offset, uint32_t pending_offset, struct reason *why);

/* The device's configuration space changed (or was reset). */
void msix_configured(struct msix *msix, const struct pci_device *device);

/* All entries back to masked, nothing pending. */
void msix_reset(struct msix *msix);

/* Accesses to table and pending bits; out of range reads 0 and writes nothing. */
uint64_t msix_table_read(struct msix *msix, uint32_t offset, unsigned bytes);
void msix_table_write(struct msix *msix, uint32_t offset, unsigned bytes, uint64_t value);
uint64_t msix_pending_read(struct msix *msix, uint32_t offset);

/* Raises `vector`; nothing happens while MSI-X is off or the number out of range. Any thread. */
void msix_raise(struct msix *msix, unsigned vector);
