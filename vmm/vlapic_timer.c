// SPDX-License-Identifier: MIT
/*
 * The virtual local APIC's timer (see vlapic.h): one deadline in guest TSC ticks, whatever the
 * mode.
 *
 * A count of c takes c * divisor * tsc_num / tsc_den ticks, which need not be whole. The remainder
 * is carried from period to period, so the n-th expiry of a periodic timer is where n exact periods
 * end, rounded once. All products fit 64 bits: c < 2^32, divisor <= 2^7, tsc_num and tsc_den <
 * 2^24.
 */
#include <vlapic.h>
#include <vlapic_internal.h>

enum timer_mode { ONE_SHOT = 0, PERIODIC = 1, TSC_DEADLINE = 2 };

static enum timer_mode mode_of(uint32_t lvt)
{
	return (enum timer_mode)(lvt >> 17 & 3);
}

/** Length of one tick in 1/tsc_den TSC ticks. */
static uint64_t tick(const struct vlapic *v)
{
	unsigned int shift = ((v->divide & 3) | (v->divide >> 1 & 4)) + 1;

	return (uint64_t)v->tsc_num << (shift & 7);
}

static void start(struct vlapic *v, uint64_t now, uint32_t count)
{
	uint64_t length = count * tick(v);

	v->deadline = count ? now + length / v->tsc_den : VLAPIC_NEVER;
	v->remainder = (uint32_t)(length % v->tsc_den);
}

/** The first expiry after @now of a periodic timer that is due. */
static void next_period(struct vlapic *v, uint64_t now)
{
	uint64_t length = v->regs[VLAPIC_TIMER_INITIAL / 4] * tick(v), late = now - v->deadline;
	uint64_t periods, rest;

	if (late >= BIT64(40) || !length) { /* slept for minutes at least: nobody counts periods */
		start(v, now, v->regs[VLAPIC_TIMER_INITIAL / 4]);
		return;
	}
	late *= v->tsc_den;
	periods = (late - min_u64(v->remainder, late)) / length + 1;
	rest = v->remainder + periods * (length % v->tsc_den);
	v->deadline += periods * (length / v->tsc_den) + rest / v->tsc_den;
	v->remainder = (uint32_t)(rest % v->tsc_den);
}

bool vlapic_timer(struct vlapic *v, uint64_t now)
{
	if (now < v->deadline)
		return false;
	if (mode_of(v->lvt_timer) == PERIODIC)
		next_period(v, now);
	else
		v->deadline = VLAPIC_NEVER;
	v->tsc_deadline = 0;
	if (!(v->lvt_timer & LVT_MASKED) && (v->lvt_timer & 0xff) >= 16)
		vlapic_set_irr(v, (uint8_t)v->lvt_timer, false);
	return true;
}

uint32_t vlapic_timer_count(struct vlapic *v, uint64_t now)
{
	vlapic_timer(v, now);
	if (v->deadline == VLAPIC_NEVER || mode_of(v->lvt_timer) == TSC_DEADLINE)
		return 0;
	return (uint32_t)min_u64(((v->deadline - now) * v->tsc_den + v->remainder + tick(v) - 1) /
					 tick(v),
				 v->regs[VLAPIC_TIMER_INITIAL / 4]);
}

void vlapic_timer_restart(struct vlapic *v, uint64_t now, uint32_t count)
{
	if (mode_of(v->lvt_timer) != TSC_DEADLINE)
		start(v, now, count);
}

void vlapic_timer_set_divide(struct vlapic *v, uint64_t now, uint32_t divide)
{
	uint32_t left = vlapic_timer_count(v, now);

	v->divide = divide;
	if (left)
		start(v, now, left);
}

void vlapic_timer_set_lvt(struct vlapic *v, uint64_t now, uint32_t lvt)
{
	bool was = mode_of(v->lvt_timer) == TSC_DEADLINE, is = mode_of(lvt) == TSC_DEADLINE;

	vlapic_timer(v, now); /* an expiry before this write uses the entry as it was */
	v->lvt_timer = lvt;
	if (was == is)
		return;
	v->regs[VLAPIC_TIMER_INITIAL / 4] = 0;
	v->deadline = VLAPIC_NEVER;
	v->tsc_deadline = 0;
}

uint64_t vlapic_read_tsc_deadline(struct vlapic *v, uint64_t now)
{
	vlapic_timer(v, now);
	return v->tsc_deadline;
}

void vlapic_write_tsc_deadline(struct vlapic *v, uint64_t value, uint64_t now)
{
	vlapic_timer(v, now);
	if (mode_of(v->lvt_timer) != TSC_DEADLINE)
		return;
	v->tsc_deadline = value;
	v->deadline = value ? value : VLAPIC_NEVER;
}

void vlapic_tsc_moved(struct vlapic *v, int64_t delta)
{
	if (v->deadline != VLAPIC_NEVER && mode_of(v->lvt_timer) != TSC_DEADLINE)
		v->deadline += (uint64_t)delta;
}
