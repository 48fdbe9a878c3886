// SPDX-License-Identifier: MIT
/*
 * The virtual local APIC's interrupts: messages, routing, posting, and the priority calculus
 * between IRR, ISR and TPR (see vlapic.h). Registers are in vlapic.c.
 */
#include <vlapic.h>
#include <vlapic_internal.h>

#define OUTSTANDING BIT64(0)
#define ICR_SELF    (UINT64_C(1) << 18) /* fixed, edge-triggered */
#define ICR_ASSERT  BIT64(14)		/* of no meaning there */

static uint32_t reg(const struct vlapic *v, uint32_t offset)
{
	return __atomic_load_n(&v->regs[offset / 4], __ATOMIC_RELAXED);
}

/** The word of a 256-bit register that holds @vector; the words lie 16 bytes apart. */
static uint32_t *vector_word(struct vlapic *v, uint32_t offset, uint8_t vector)
{
	return &v->regs[offset / 4 + vector / 32 * 4u];
}

/** The highest vector set in ISR or IRR, or -1. */
static int highest(const struct vlapic *v, uint32_t offset)
{
	for (int word = 7; word >= 0; word--) {
		uint32_t bits = reg(v, offset + (uint32_t)word * 16);

		if (bits)
			return word * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

static uint8_t ppr_of(const struct vlapic *v)
{
	int isr = highest(v, VLAPIC_ISR);
	uint8_t tpr = (uint8_t)reg(v, VLAPIC_TPR);

	return isr < 0 || tpr >> 4 >= isr >> 4 ? tpr : (uint8_t)(isr & 0xf0);
}

uint32_t vlapic_update_ppr(struct vlapic *v)
{
	return v->regs[VLAPIC_PPR / 4] = ppr_of(v);
}

bool vlapic_set_irr(struct vlapic *v, uint8_t vector, bool level)
{
	uint32_t *tmr = vector_word(v, VLAPIC_TMR, vector), bit = 1u << vector % 32;

	if (level)
		__atomic_fetch_or(tmr, bit, __ATOMIC_RELAXED);
	else if (__atomic_load_n(tmr, __ATOMIC_RELAXED) & bit)
		__atomic_fetch_and(tmr, ~bit, __ATOMIC_RELAXED);
	__atomic_fetch_or(&v->posted.pir[vector / 64], BIT64(vector % 64), __ATOMIC_SEQ_CST);
	return !(__atomic_fetch_or(&v->posted.control, OUTSTANDING, __ATOMIC_SEQ_CST) &
		 OUTSTANDING);
}

void vlapic_merge(struct vlapic *v)
{
	if (!(__atomic_load_n(&v->posted.control, __ATOMIC_SEQ_CST) & OUTSTANDING))
		return;
	/* In this order: whoever posts after the words were taken finds the bit clear and notifies.
	 */
	__atomic_fetch_and(&v->posted.control, ~OUTSTANDING, __ATOMIC_SEQ_CST);
	v->moved = true;
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t pir = __atomic_exchange_n(&v->posted.pir[i], 0, __ATOMIC_SEQ_CST);

		v->regs[VLAPIC_IRR / 4 + i * 8] |= (uint32_t)pir;
		v->regs[VLAPIC_IRR / 4 + i * 8 + 4] |= (uint32_t)(pir >> 32);
	}
}

bool vlapic_self_ipi(struct vlapic *v, uint64_t icr, uint16_t *status)
{
	uint8_t vector = (uint8_t)icr;

	if ((icr & ~(UINT64_C(0xff) | ICR_ASSERT)) != ICR_SELF || vector < 16 || v->moved ||
	    !vlapic_x2apic(v) || !(reg(v, VLAPIC_SVR) & SVR_ENABLE) ||
	    (*vector_word(v, VLAPIC_TMR, vector) & 1u << vector % 32))
		return false;
	v->regs[VLAPIC_ICR / 4] = (uint32_t)icr;
	v->regs[VLAPIC_ICR_HIGH / 4] = 0;
	*vector_word(v, VLAPIC_IRR, vector) |= 1u << vector % 32;
	if ((*status & 0xff) < vector)
		*status = (uint16_t)((*status & 0xff00) | vector);
	return true;
}

int vlapic_next_interrupt(struct vlapic *v)
{
	int irr = highest(v, VLAPIC_IRR);
	uint32_t ppr = vlapic_update_ppr(v);

	return vlapic_enabled(v) && irr >> 4 > (int)(ppr >> 4) ? irr : -1;
}

void vlapic_ack(struct vlapic *v, uint8_t vector)
{
	*vector_word(v, VLAPIC_IRR, vector) &= ~(1u << vector % 32);
	*vector_word(v, VLAPIC_ISR, vector) |= 1u << vector % 32;
	v->moved = true;
	vlapic_update_ppr(v);
}

int vlapic_end(struct vlapic *v)
{
	int vector = highest(v, VLAPIC_ISR);

	v->moved = true;
	if (vector >= 0)
		*vector_word(v, VLAPIC_ISR, (uint8_t)vector) &= ~(1u << vector % 32);
	vlapic_update_ppr(v);
	return vector;
}

bool vlapic_has_interrupt(struct vlapic *v)
{
	vlapic_merge(v);
	return vlapic_next_interrupt(v) >= 0;
}

uint16_t vlapic_interrupt_status(struct vlapic *v)
{
	int irr = highest(v, VLAPIC_IRR), isr = highest(v, VLAPIC_ISR);

	v->moved = false;
	return (uint16_t)((isr < 0 ? 0 : isr << 8) | (irr < 0 ? 0 : irr));
}

uint32_t vlapic_tpr_threshold(struct vlapic *v)
{
	int irr = highest(v, VLAPIC_IRR) >> 4, isr = highest(v, VLAPIC_ISR) >> 4;
	int tpr = (int)(reg(v, VLAPIC_TPR) >> 4 & 0xf);

	/* An exit helps only if TPR is what blocks the interrupt. */
	return irr > isr && irr <= tpr ? (uint32_t)irr : 0;
}

void vlapic_set_tpr(struct vlapic *v, uint8_t tpr)
{
	v->regs[VLAPIC_TPR / 4] = tpr;
	vlapic_update_ppr(v);
}

bool vlapic_accepts_extint(const struct vlapic *v)
{
	uint32_t lint0 = reg(v, VLAPIC_LVT_LINT0);

	return !vlapic_enabled(v) || (!(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == VLAPIC_EXTINT);
}

bool vlapic_error(struct vlapic *v, uint32_t bits)
{
	uint32_t lvt = reg(v, VLAPIC_LVT_ERROR);

	if ((__atomic_fetch_or(&v->errors, bits, __ATOMIC_RELAXED) & bits) == bits)
		return false;
	return !(lvt & LVT_MASKED) && (lvt & 0xff) >= 16 && vlapic_set_irr(v, (uint8_t)lvt, false);
}

enum vlapic_delivery vlapic_deliver(struct vlapic *v, const struct vlapic_message *m)
{
	switch (m->mode) {
	case VLAPIC_FIXED:
	case VLAPIC_LOWEST:
		if (!(reg(v, VLAPIC_SVR) & SVR_ENABLE))
			return VLAPIC_NOTHING;
		if (m->vector < 16)
			return vlapic_error(v, ESR_RECEIVE_VECTOR) ? VLAPIC_NOTIFY : VLAPIC_NOTHING;
		return vlapic_set_irr(v, m->vector, m->level) ? VLAPIC_NOTIFY : VLAPIC_NOTHING;
	case VLAPIC_NMI:
		return VLAPIC_DELIVER_NMI;
	case VLAPIC_INIT:
		return m->assert ? VLAPIC_DELIVER_INIT : VLAPIC_NOTHING;
	case VLAPIC_SIPI:
		return VLAPIC_DELIVER_SIPI;
	default:
		return VLAPIC_NOTHING;
	}
}

void vlapic_decode_msi(uint64_t address, uint32_t data, struct vlapic_message *m)
{
	*m = (struct vlapic_message){
		.dest = (uint32_t)field_get(address, 19, 12) | ((uint32_t)(address >> 32) & ~0xffu),
		.vector = (uint8_t)data,
		.mode = data >> 8 & 7,
		.logical = address & BIT64(2),
		.level = data & BIT64(15),
		.assert = true,
	};
}

static bool match_logical(const struct vlapic *v, const struct vlapic_message *m)
{
	uint32_t ldr = reg(v, VLAPIC_LDR);

	if (vlapic_x2apic(v))
		return ldr >> 16 == m->dest >> 16 && (ldr & m->dest & 0xffff);
	if (reg(v, VLAPIC_DFR) >> 28 == 0xf) /* flat */
		return m->dest <= 0xff && (ldr >> 24 & m->dest);
	return m->dest <= 0xff && ldr >> 28 == m->dest >> 4 && (ldr >> 24 & m->dest & 0xf);
}

bool vlapic_match(const struct vlapic *v, const struct vlapic *source,
		  const struct vlapic_message *m)
{
	if (!vlapic_enabled(v))
		return false;
	if (m->shorthand != VLAPIC_DEST)
		return m->shorthand == VLAPIC_ALL || (v == source) == (m->shorthand == VLAPIC_SELF);
	if (m->dest == (m->wide ? UINT32_MAX : 0xff))
		return true;
	return m->logical ? match_logical(v, m) : m->dest == v->id;
}

uint64_t vlapic_route(struct vlapic *const *v, unsigned int count, const struct vlapic *source,
		      const struct vlapic_message *m)
{
	uint64_t reached = 0;
	uint32_t lowest = UINT32_MAX;

	for (unsigned int i = 0; i < count; i++) {
		if (!v[i] || !vlapic_match(v[i], source, m))
			continue;
		if (m->mode != VLAPIC_LOWEST) {
			reached |= BIT64(i);
		} else if ((reg(v[i], VLAPIC_SVR) & SVR_ENABLE) && ppr_of(v[i]) < lowest) {
			lowest = ppr_of(v[i]);
			reached = BIT64(i);
		}
	}
	return reached;
}
