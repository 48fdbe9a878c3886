// SPDX-License-Identifier: MIT
/*
 * The IOAPIC: 24 pins, each with a redirection entry that makes a message to a local APIC.
 *
 * Pure state: the messages and the table of routes leave through two callbacks. Few things use it
 * (serial port, power button); guests want one nevertheless, Linux gives up SMP without. Local
 * APICs are the hypervisor's: it tells us the end of level-triggered interrupts (ioapic_eoi).
 * Not modelled: remote IRR of edge-triggered pins, the EOI register, delivery status.
 *
 * Source: Intel 82093AA I/O Advanced Programmable Interrupt Controller, "Register Description".
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { IOAPIC_PINS = 24 };

struct ioapic_ops {
	/* Sends the message once. */
	void (*send)(void *context, uint64_t address, uint32_t data);
	/* The message of `pin` changed; not `used` = masked. */
	void (*route)(void *context, unsigned pin, bool used, uint64_t address, uint32_t data);
};

struct ioapic {
	const struct ioapic_ops *ops;
	void *context;
	pthread_mutex_t lock;
	uint64_t entry[IOAPIC_PINS];
	uint32_t level; /* pins that are asserted, one bit each */
	uint8_t select;
	uint8_t id;
};

void ioapic_init(struct ioapic *ioapic, const struct ioapic_ops *ops, void *context);
void ioapic_reset(struct ioapic *ioapic);

/* Accesses to its page; `offset` below 4 KiB. Anything but aligned 32 bits reads 0, writes nothing.
 */
uint32_t ioapic_read(struct ioapic *ioapic, uint64_t offset);
void ioapic_write(struct ioapic *ioapic, uint64_t offset, uint32_t value);

/* Drives a pin. A rising edge on an unmasked edge-triggered pin sends; a level one while asserted.
 */
void ioapic_set(struct ioapic *ioapic, unsigned pin, bool asserted);

/* A local APIC ended `vector`: pins with it that are level-triggered and still asserted send again.
 */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
