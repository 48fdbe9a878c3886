// SPDX-License-Identifier: MIT
/*
 * The board: everything that is not a virtio device, and which access goes to whom.
 *
 * vCPU threads bring port and MMIO accesses here; absent devices read as all ones. Power-off and
 * reset are not carried out here but reported to the machine.
 *
 * Read next: layout.h (the addresses), machine.h.
 */
#pragma once

#include "cmos.h"
#include "console.h"
#include "ioapic.h"
#include "irq.h"
#include "pci.h"
#include "uart.h"

enum board_event { BOARD_POWER_OFF, BOARD_RESET };

struct board {
	struct irq *irq;
	struct console *console;
	struct pci_bus pci;
	struct pci_device host_bridge;
	struct ioapic ioapic;
	struct uart uart;
	pthread_mutex_t cmos_lock;
	struct cmos cmos;
	void (*event)(void *context, enum board_event event, const char *what);
	void *context;
};

void board_init(struct board *board, struct irq *irq, struct console *console,
		void (*event)(void *context, enum board_event event, const char *what),
		void *context);
void board_reset(struct board *board);

/* The person in front pressed the button: an ACPI event for the guest. */
void board_press_power_button(struct board *board);

/* Accesses; `bytes` at `data`. Any thread. */
void board_port_read(struct board *board, uint16_t port, uint8_t *data, unsigned bytes);
void board_port_write(struct board *board, uint16_t port, const uint8_t *data, unsigned bytes);
void board_mmio_read(struct board *board, uint64_t gpa, uint8_t *data, unsigned bytes);
void board_mmio_write(struct board *board, uint64_t gpa, const uint8_t *data, unsigned bytes);
