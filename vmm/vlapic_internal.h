// SPDX-License-Identifier: MIT
/*
 * Between the three files of the virtual local APIC: vlapic.c (registers, modes, state),
 * vlapic_irq.c (interrupts), vlapic_timer.c (time). Nobody else includes this; see vlapic.h.
 */
#pragma once

#include <vlapic.h>

#define SVR_ENABLE 0x100u
#define SVR_FOCUS  0x200u /* focus checking off: kept, without effect */
#define LVT_MASKED 0x10000u

#define ESR_SEND_VECTOR	   0x20u
#define ESR_RECEIVE_VECTOR 0x40u
#define ESR_REGISTER	   0x80u

/** Recompute PPR in the page. */
uint32_t vlapic_update_ppr(struct vlapic *v);

/** End the interrupt in service, if any; returns its vector or -1. */
int vlapic_end(struct vlapic *v);

/** Latch @bits for ESR and raise the error interrupt if one of them is new; as vlapic_set_irr(),
 * true if a vCPU other than the caller's has to be notified. */
bool vlapic_error(struct vlapic *v, uint32_t bits);

/** The present count, after bringing the timer to @now. */
uint32_t vlapic_timer_count(struct vlapic *v, uint64_t now);

/** A count begins, or ends if @count is 0, in the modes that count. */
void vlapic_timer_restart(struct vlapic *v, uint64_t now, uint32_t count);

/** New LVT timer entry: the timer stops when it becomes or ceases to be a TSC-deadline timer. */
void vlapic_timer_set_lvt(struct vlapic *v, uint64_t now, uint32_t lvt);

/** New divide configuration: what is left of a count runs at the new rate. */
void vlapic_timer_set_divide(struct vlapic *v, uint64_t now, uint32_t divide);
