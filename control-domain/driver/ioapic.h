// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 24-pin IOAPIC of a PC, as a state machine without a world around it.
 *
 * Pure: the state is KVM's own structure. A change says which message has to be sent; irqchip.c
 * holds the lock, tells the hypervisor which EOIs it wants to hear of, and sends, in this order.
 * `irr` keeps the level of each pin. Source: Intel 82093AA data sheet.
 */
#pragma once

#include <linux/kvm.h>

#include "pure.h"

#define IOAPIC_ADDRESS 0xfec00000ull
#define IOAPIC_BYTES   0x100
#define IOAPIC_PINS    KVM_IOAPIC_NUM_PINS

struct ioapic_message {
	uint64_t address;
	uint32_t data;
};

void ioapic_reset(struct kvm_ioapic_state *ioapic);

uint32_t ioapic_read(const struct kvm_ioapic_state *ioapic, uint64_t offset);

/* A register write; returns the pin whose entry changed and may now have something to send, or -1.
 */
int ioapic_write(struct kvm_ioapic_state *ioapic, uint64_t offset, uint32_t value);

/* Sets a pin: *send when a message goes out at once. False: the edge was lost, or it is masked. */
bool ioapic_set(struct kvm_ioapic_state *ioapic, unsigned int pin, bool level, bool *send);

/* True when a level-triggered pin waits to be sent. */
bool ioapic_waits(const struct kvm_ioapic_state *ioapic, unsigned int pin);

/* The pin's message, which is sent now. */
struct ioapic_message ioapic_send(struct kvm_ioapic_state *ioapic, unsigned int pin);

/* The EOI of a vector; returns the pins that it ended. */
uint32_t ioapic_end(struct kvm_ioapic_state *ioapic, uint8_t vector);

/* Vectors of level-triggered pins: their EOI has to come here. */
void ioapic_eoi_vectors(const struct kvm_ioapic_state *ioapic, uint64_t vectors[4]);
