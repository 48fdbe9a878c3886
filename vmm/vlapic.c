// SPDX-License-Identifier: MIT
/*
 * The virtual local APIC's registers, modes and saved state (see vlapic.h).
 *
 * One table says for every register what can be read and written in which mode, and which bits
 * exist; the write function then only knows what a write *does*. A trapped write (the processor has
 * stored it in the page already) is the same write again, so nothing here may depend on a
 * register's old value in the page.
 */
#include <vlapic.h>
#include <vlapic_internal.h>

#define VERSION	       (0x14u | 5u << 16) /* integrated APIC, six LVT entries */
#define REG_COUNT      64u
#define ICR_BUSY       0x1000u
#define BASE_BITS_USED (VLAPIC_BASE_BSP | VLAPIC_BASE_X2APIC | VLAPIC_BASE_ENABLE)

enum access { READ_X = 1, WRITE_X = 2, READ_X2 = 4, WRITE_X2 = 8, READ = 5, WRITE = 10, BOTH = 15 };

/* Writable bits: SDM 3A "Local APIC Registers", "x2APIC Register Address Space". */
static const struct {
	uint8_t access;
	uint32_t bits;
} rows[REG_COUNT] = {
	[VLAPIC_ID / 16] = {READ | WRITE_X, 0},
	[VLAPIC_VERSION / 16] = {READ, 0},
	[VLAPIC_TPR / 16] = {BOTH, 0xff},
	[VLAPIC_PPR / 16] = {READ, 0},
	[VLAPIC_EOI / 16] = {WRITE, 0},
	[VLAPIC_LDR / 16] = {READ | WRITE_X, 0xff000000},
	[VLAPIC_DFR / 16] = {READ_X | WRITE_X, 0xf0000000},
	[VLAPIC_SVR / 16] = {BOTH, SVR_ENABLE | SVR_FOCUS | 0xff},
	[VLAPIC_ISR / 16 ... VLAPIC_IRR / 16 + 7] = {READ, 0}, /* and TMR */
	[VLAPIC_ESR / 16] = {BOTH, 0},
	[VLAPIC_ICR / 16] = {BOTH, 0xccfff & ~ICR_BUSY},
	[VLAPIC_ICR_HIGH / 16] = {READ_X | WRITE_X, 0xff000000},
	[VLAPIC_LVT_TIMER / 16] = {BOTH, LVT_MASKED | 0x600ff},
	[VLAPIC_LVT_THERMAL / 16] = {BOTH, LVT_MASKED | 0x7ff},
	[VLAPIC_LVT_PMC / 16] = {BOTH, LVT_MASKED | 0x7ff},
	[VLAPIC_LVT_LINT0 / 16] = {BOTH, LVT_MASKED | 0xa7ff},
	[VLAPIC_LVT_LINT1 / 16] = {BOTH, LVT_MASKED | 0xa7ff},
	[VLAPIC_LVT_ERROR / 16] = {BOTH, LVT_MASKED | 0xff},
	[VLAPIC_TIMER_INITIAL / 16] = {BOTH, 0xffffffff},
	[VLAPIC_TIMER_CURRENT / 16] = {READ, 0},
	[VLAPIC_TIMER_DIVIDE / 16] = {BOTH, 0xb},
	[VLAPIC_SELF_IPI / 16] = {WRITE_X2, 0xff},
};

static void set(struct vlapic *v, uint32_t offset, uint32_t value)
{
	__atomic_store_n(&v->regs[offset / 4], value, __ATOMIC_RELAXED);
}

static bool is_lvt(uint32_t offset)
{
	return offset >= VLAPIC_LVT_TIMER && offset <= VLAPIC_LVT_ERROR;
}

/** The registers that say who this is: they follow from id and mode. */
static void set_identity(struct vlapic *v)
{
	set(v, VLAPIC_ID, vlapic_x2apic(v) ? v->id : v->id << 24);
	set(v, VLAPIC_VERSION, VERSION);
	if (vlapic_x2apic(v))
		set(v, VLAPIC_LDR, v->id >> 4 << 16 | 1u << (v->id & 0xf));
}

void vlapic_reset(struct vlapic *v)
{
	for (uint32_t offset = 0; offset < REG_COUNT * 16; offset += 16)
		set(v, offset, is_lvt(offset) ? LVT_MASKED : 0);
	set(v, VLAPIC_DFR, 0xffffffff);
	set(v, VLAPIC_SVR, 0xff);
	set_identity(v);
	for (unsigned int i = 0; i < 4; i++)
		__atomic_store_n(&v->posted.pir[i], 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->errors, 0, __ATOMIC_RELAXED);
	v->moved = true;
	v->lvt_timer = LVT_MASKED;
	v->divide = 0;
	v->deadline = VLAPIC_NEVER;
	v->tsc_deadline = 0;
}

void vlapic_init(struct vlapic *v, void *page, uint32_t id, bool bsp, uint32_t tsc_num,
		 uint32_t tsc_den)
{
	*v = (struct vlapic){
		.regs = page,
		.id = id,
		.base = VLAPIC_DEFAULT_BASE | VLAPIC_BASE_ENABLE | (bsp ? VLAPIC_BASE_BSP : 0),
		.tsc_num = tsc_num,
		.tsc_den = tsc_den,
	};
	vlapic_reset(v);
}

int vlapic_set_base(struct vlapic *v, uint64_t value, bool host)
{
	bool enable = value & VLAPIC_BASE_ENABLE, x2apic = value & VLAPIC_BASE_X2APIC;

	if ((value & ~BASE_BITS_USED) != VLAPIC_DEFAULT_BASE || (x2apic && !enable))
		return -HV_ERR_INVAL;
	if (!host && ((vlapic_x2apic(v) && enable && !x2apic) || (!vlapic_enabled(v) && x2apic)))
		return -HV_ERR_INVAL;
	bool was_enabled = vlapic_enabled(v);

	__atomic_store_n(&v->base, value, __ATOMIC_RELAXED);
	if (was_enabled && !enable)
		vlapic_reset(v);
	set_identity(v);
	return 0;
}

/** The access that @kind, READ or WRITE, needs in this mode; false if the register lacks it. */
static bool may(const struct vlapic *v, uint32_t offset, enum access kind)
{
	unsigned int mode = vlapic_x2apic(v) ? READ_X2 | WRITE_X2 : READ_X | WRITE_X;

	return offset < REG_COUNT * 16 && is_aligned(offset, 16) &&
	       (rows[offset / 16].access & kind & mode);
}

/** An access that the mode does not have: #GP as an MSR, an error as memory. */
static int refuse(struct vlapic *v)
{
	if (vlapic_x2apic(v))
		return -HV_ERR_INVAL;
	vlapic_error(v, ESR_REGISTER);
	return 0;
}

int vlapic_read(struct vlapic *v, uint32_t offset, uint64_t now, uint64_t *value)
{
	*value = 0;
	if (!may(v, offset, READ))
		return refuse(v);
	if (offset == VLAPIC_TIMER_CURRENT)
		*value = vlapic_timer_count(v, now);
	else if (offset == VLAPIC_PPR)
		*value = vlapic_update_ppr(v);
	else
		*value = v->regs[offset / 4];
	if (offset == VLAPIC_ICR && vlapic_x2apic(v))
		*value |= (uint64_t)v->regs[VLAPIC_ICR_HIGH / 4] << 32;
	return 0;
}

static void write_svr(struct vlapic *v, uint32_t value, uint64_t now)
{
	set(v, VLAPIC_SVR, value);
	if (value & SVR_ENABLE)
		return;
	vlapic_timer_set_lvt(v, now, v->lvt_timer | LVT_MASKED);
	for (uint32_t lvt = VLAPIC_LVT_TIMER; lvt <= VLAPIC_LVT_ERROR; lvt += 16)
		set(v, lvt, v->regs[lvt / 4] | LVT_MASKED);
}

static void write_lvt(struct vlapic *v, uint32_t offset, uint32_t value, uint64_t now)
{
	if (!(v->regs[VLAPIC_SVR / 4] & SVR_ENABLE))
		value |= LVT_MASKED;
	if (offset == VLAPIC_LVT_TIMER)
		vlapic_timer_set_lvt(v, now, value);
	set(v, offset, value);
}

/** Send what @low and @high of the ICR say; to itself alone it is done here. */
static void send(struct vlapic *v, uint32_t low, uint32_t high, struct vlapic_effect *effect)
{
	struct vlapic_message m = {
		.dest = vlapic_x2apic(v) ? high : high >> 24,
		.vector = (uint8_t)low,
		.mode = low >> 8 & 7,
		.shorthand = low >> 18 & 3,
		.logical = low >> 11 & 1,
		.assert = (low & 0x4000) || !(low & 0x8000),
		.wide = vlapic_x2apic(v),
	};

	if (m.mode <= VLAPIC_LOWEST && m.vector < 16) {
		vlapic_error(v, ESR_SEND_VECTOR);
	} else if (m.shorthand == VLAPIC_SELF && m.mode == VLAPIC_FIXED) {
		vlapic_deliver(v, &m);
	} else {
		effect->send = true;
		effect->message = m;
	}
}

static void write_eoi(struct vlapic *v, struct vlapic_effect *effect)
{
	int vector = vlapic_end(v);

	if (vector >= 0 && (v->eoi_exit[vector / 64] & BIT64(vector % 64))) {
		effect->eoi = true;
		effect->eoi_vector = (uint8_t)vector;
	}
}

int vlapic_write(struct vlapic *v, uint32_t offset, uint64_t value, uint64_t now,
		 struct vlapic_effect *effect)
{
	uint64_t exist;
	uint32_t bits;

	*effect = (struct vlapic_effect){0};
	if (!may(v, offset, WRITE))
		return refuse(v);
	exist = rows[offset / 16].bits;
	if (offset == VLAPIC_ICR && vlapic_x2apic(v))
		exist |= MASK64(63, 32) | ICR_BUSY;
	if (vlapic_x2apic(v) && (value & ~exist))
		return -HV_ERR_INVAL;
	bits = (uint32_t)value & rows[offset / 16].bits;

	switch (offset) {
	case VLAPIC_ID: /* read-only here, as on recent processors; the page may hold a trapped
			   write */
		set_identity(v);
		break;
	case VLAPIC_TPR:
		vlapic_set_tpr(v, (uint8_t)bits);
		break;
	case VLAPIC_EOI:
		set(v, offset, 0);
		write_eoi(v, effect);
		break;
	case VLAPIC_DFR:
		set(v, offset, bits | 0x0fffffff);
		break;
	case VLAPIC_SVR:
		write_svr(v, bits, now);
		break;
	case VLAPIC_ESR:
		set(v, offset, __atomic_exchange_n(&v->errors, 0, __ATOMIC_RELAXED));
		break;
	case VLAPIC_ICR:
		set(v, offset, bits);
		if (vlapic_x2apic(v))
			set(v, VLAPIC_ICR_HIGH, (uint32_t)(value >> 32));
		send(v, bits, v->regs[VLAPIC_ICR_HIGH / 4], effect);
		break;
	case VLAPIC_SELF_IPI:
		send(v, bits | VLAPIC_SELF << 18, 0, effect);
		break;
	case VLAPIC_TIMER_INITIAL:
		vlapic_timer(v, now);
		set(v, offset, v->regs[VLAPIC_LVT_TIMER / 4] >> 17 & 2 ? 0 : bits);
		vlapic_timer_restart(v, now, bits);
		break;
	case VLAPIC_TIMER_DIVIDE:
		vlapic_timer_set_divide(v, now, bits);
		set(v, offset, bits);
		break;
	default:
		if (is_lvt(offset))
			write_lvt(v, offset, bits, now);
		else
			set(v, offset, bits);
	}
	return 0;
}

void vlapic_write_trapped(struct vlapic *v, uint32_t offset, uint64_t now,
			  struct vlapic_effect *effect)
{
	uint64_t value = v->regs[offset % PAGE_SIZE / 4];

	if (offset == VLAPIC_ICR && vlapic_x2apic(v))
		value |= (uint64_t)v->regs[VLAPIC_ICR_HIGH / 4] << 32;
	/* The processor traps only writes that the mode allows; a refused one has no effect to
	 * report. */
	if (vlapic_write(v, offset, value, now, effect))
		*effect = (struct vlapic_effect){0};
}

void vlapic_get_state(struct vlapic *v, uint8_t state[VLAPIC_STATE_BYTES], bool wide_id,
		      uint64_t now)
{
	vlapic_merge(v);
	vlapic_update_ppr(v);
	set(v, VLAPIC_TIMER_CURRENT, vlapic_timer_count(v, now));
	__builtin_memcpy(state, v->regs, VLAPIC_STATE_BYTES);
	if (vlapic_x2apic(v) && !wide_id)
		__builtin_memcpy(state + VLAPIC_ID, &(uint32_t){v->id << 24}, 4);
}

void vlapic_set_state(struct vlapic *v, const uint8_t state[VLAPIC_STATE_BYTES], uint64_t now)
{
	uint64_t tsc_deadline = v->tsc_deadline;
	uint32_t count;

	vlapic_reset(v);
	for (uint32_t offset = 0; offset < REG_COUNT * 16; offset += 16) {
		uint32_t bits = rows[offset / 16].bits, value;

		__builtin_memcpy(&value, state + offset, sizeof(value));
		if (rows[offset / 16].access & READ)
			set(v, offset, bits ? value & bits : value);
	}
	set(v, VLAPIC_DFR, v->regs[VLAPIC_DFR / 4] | 0x0fffffff);
	if (vlapic_x2apic(v)) /* 32 bits of destination */
		__builtin_memcpy(&v->regs[VLAPIC_ICR_HIGH / 4], state + VLAPIC_ICR_HIGH, 4);
	set_identity(v);
	vlapic_update_ppr(v);
	v->divide = v->regs[VLAPIC_TIMER_DIVIDE / 4];
	v->lvt_timer = v->regs[VLAPIC_LVT_TIMER / 4];
	/* A one-shot count that has run out stays so; a periodic one cannot be at 0. */
	count = v->regs[VLAPIC_TIMER_CURRENT / 4];
	if (!count && (v->lvt_timer >> 17 & 1))
		count = v->regs[VLAPIC_TIMER_INITIAL / 4];
	vlapic_timer_restart(v, now, (uint32_t)min_u64(count, v->regs[VLAPIC_TIMER_INITIAL / 4]));
	vlapic_write_tsc_deadline(v, tsc_deadline, now);
}
