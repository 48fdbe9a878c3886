// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two cascaded 8259A interrupt controllers, as in a PC: lines 0-7 at the master (ports 20h, 21h),
 * 8-15 at the slave (A0h, A1h) behind the master's line 2, edge/level registers at 4D0h, 4D1h.
 *
 * Pure: the state is KVM's own structure (KVM_GET_IRQCHIP copies it), irqchip.c holds the lock and
 * brings the output to a vCPU. Source: Intel 8259A data sheet.
 */
#pragma once

#include <linux/kvm.h>

#include "pure.h"

#define PIC_LINES 16

struct pics {
	struct kvm_pic_state chip[2]; /* master, slave */
};

void pics_reset(struct pics *pics);

/* Sets a line, 0 to 15. False when the edge met one that was latched already. */
bool pics_set(struct pics *pics, unsigned int line, bool level);

/* True while the master's INT is high. */
bool pics_output(const struct pics *pics);

/* The CPU's interrupt acknowledge: a vector, the spurious one when nothing is left to take. */
uint8_t pics_acknowledge(struct pics *pics);

/* True when the port belongs to the controllers. */
bool pics_port(uint16_t port);
uint8_t pics_read(struct pics *pics, uint16_t port);
void pics_write(struct pics *pics, uint16_t port, uint8_t value);

/* After a state was set from outside: the cascade follows the slave. */
void pics_update(struct pics *pics);
