// SPDX-License-Identifier: GPL-2.0-only
/*
 * PIC, IOAPIC and PIT in the driver (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2), for device models that
 * leave them to the kernel. The local APICs are the hypervisor's in any case.
 *
 * The chips themselves are pure (pic.c, ioapic.c, pit.c); here they get a lock, ports and
 * addresses, and a way to the vCPUs: the IOAPIC sends messages and hears of EOIs by the
 * hypervisor's EOI exits; the PIC's output is a wire to the boot vCPU's LINT0, for which the
 * hypervisor reports when the guest can take an interrupt (HV_RUN_WINDOW).
 */
#pragma once

#include "vm.h"

/* What may pull a line; it is high while any of them does. */
enum irq_source { IRQ_SOURCE_USER = 1, IRQ_SOURCE_PIT = 2 };

int irqchip_create(struct vm *vm);
void irqchip_stop(struct vm *vm); /* no interrupt comes from here any more */
void irqchip_free(struct vm *vm);

/*
 * Sets the pins of a route. Positive: taken; 0: merged with one that waits, or masked; negative:
 * wired to no chip. Context: any.
 */
int irqchip_set(struct vm *vm, const struct route *route, enum irq_source source, bool level);

int irqchip_get_state(struct vm *vm, struct kvm_irqchip __user *user);
int irqchip_set_state(struct vm *vm, const struct kvm_irqchip __user *user);

/* An access by a vCPU; false when no chip has that address. Context: process. */
bool irqchip_port(struct vm *vm, u16 port, unsigned int bytes, bool in, u64 *data);
bool irqchip_memory(struct vm *vm, u64 address, unsigned int bytes, bool write, u64 *data);

/* The EOI of a vector. Context: process. */
void irqchip_end(struct vm *vm, u8 vector);

/* True while the PIC's output is high and this vCPU is the one that it leads to. */
struct vcpu;
bool irqchip_wants_window(const struct vcpu *vcpu);

/* The guest takes the PIC's interrupt now: its vector, or negative when it is gone. */
int irqchip_acknowledge(struct vm *vm);

/* ---- irqchip_pit.c */

struct irqchip_pit;

/* Where the VM's PIT hangs; NULL without PIC and IOAPIC. */
struct irqchip_pit **irqchip_pit_of(struct vm *vm);

int irqchip_pit_create(struct vm *vm, const struct kvm_pit_config *config);
void irqchip_pit_stop(struct irqchip_pit *pit);
int irqchip_pit_get_state(struct vm *vm, struct kvm_pit_state2 __user *user);
int irqchip_pit_set_state(struct vm *vm, const struct kvm_pit_state2 *state);
bool irqchip_pit_port(struct irqchip_pit *pit, u16 port, bool in, u8 *data);
