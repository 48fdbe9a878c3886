// SPDX-License-Identifier: MIT
/*
 * Interrupts into the guest. All of them are messages to local APICs: an address and a datum.
 *
 * A `struct irq_route` is one source with its message: an MSI-X vector, or a pin of the IOAPIC.
 * The kernel keeps the table (KVM_SET_GSI_ROUTING); with irqfd a source is raised by writing to an
 * eventfd, which later lets the kernel raise it without us (vhost). Routes of the pins also tell
 * the kernel for which vectors to report the end of interrupt.
 *
 * Read next: msix.c and ioapic.c, the users.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm.h"
#include "reason.h"

enum { IRQ_ROUTES_MAX = 96 };

struct irq_route {
	bool used;
	uint64_t address;
	uint32_t data;
	int event_fd; /* -1 without irqfd */
};

struct irq {
	const struct kvm *kvm;
	pthread_mutex_t lock;
	struct irq_route route[IRQ_ROUTES_MAX]; /* by global system interrupt */
	unsigned count;
};

void irq_init(struct irq *irq, const struct kvm *kvm);

/* A new source after the pins; returns its global system interrupt number, or -1. */
int irq_add(struct irq *irq, struct reason *why);

/* Sets (or, if not `used`, drops) the message of source `gsi`. */
void irq_set_message(struct irq *irq, unsigned gsi, bool used, uint64_t address, uint32_t data);

/* Raises source `gsi` with the message it has. Any thread. */
void irq_raise(struct irq *irq, unsigned gsi);

/* Sends a message that has no route. */
void irq_send(struct irq *irq, uint64_t address, uint32_t data);
