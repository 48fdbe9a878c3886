// SPDX-License-Identifier: MIT
// sources: vmm/vlapic.c vmm/vlapic_irq.c vmm/vlapic_timer.c
/*
 * The virtual local APIC's timer, with a clock that the test turns: vectors for each mode, and
 * exact fractions (in 128 bits) against the carried remainder.
 */
#include "test.h"

#include <vlapic.h>

typedef unsigned __int128 u128;

static uint32_t page[1024] __aligned(4096);
static struct vlapic v;
static uint64_t now;

static void put(uint32_t offset, uint64_t value)
{
	struct vlapic_effect effect;

	CHECK_EQ(vlapic_write(&v, offset, value, now, &effect), 0);
}

static uint64_t count(void)
{
	uint64_t value;

	CHECK_EQ(vlapic_read(&v, VLAPIC_TIMER_CURRENT, now, &value), 0);
	return value;
}

static void begin(uint32_t num, uint32_t den, uint32_t lvt)
{
	memset(page, 0, sizeof(page));
	vlapic_init(&v, page, 0, true, num, den);
	now = 1000000;
	put(VLAPIC_SVR, 0x1ff);
	put(VLAPIC_LVT_TIMER, lvt);
}

/* Interrupts that arrived (0 or 1), taken and ended. */
static bool took(uint8_t vector)
{
	struct vlapic_effect effect;

	if (!vlapic_has_interrupt(&v))
		return false;
	CHECK_EQ(vlapic_next_interrupt(&v), vector);
	vlapic_ack(&v, vector);
	CHECK_EQ(vlapic_write(&v, VLAPIC_EOI, 0, now, &effect), 0);
	return true;
}

TEST(divide_configuration)
{
	static const struct {
		uint32_t reg, divisor;
	} row[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		begin(10, 1, 0x40);
		put(VLAPIC_TIMER_DIVIDE, row[i].reg);
		put(VLAPIC_TIMER_INITIAL, 7);
		CHECK_EQ(vlapic_deadline(&v), now + 7 * 10 * row[i].divisor);
	}
}

TEST(one_shot)
{
	begin(10, 1, 0x40);
	put(VLAPIC_TIMER_DIVIDE, 11);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
	put(VLAPIC_TIMER_INITIAL, 100);
	CHECK_EQ(count(), 100);
	now += 1;
	CHECK_EQ(count(), 100);
	now += 9;
	CHECK_EQ(count(), 99);
	now += 989;
	CHECK_EQ(count(), 1);
	CHECK(!vlapic_timer(&v, now));
	CHECK(!took(0x40));
	now += 1;
	CHECK(vlapic_timer(&v, now));
	CHECK(took(0x40));
	CHECK_EQ(count(), 0);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
	CHECK(!vlapic_timer(&v, now + 1000000));
	put(VLAPIC_TIMER_INITIAL, 100);
	put(VLAPIC_TIMER_INITIAL, 0);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
}

TEST(masked_timers_run_silently)
{
	begin(10, 1, 0x10040);
	put(VLAPIC_TIMER_DIVIDE, 11);
	put(VLAPIC_TIMER_INITIAL, 100);
	now += 1000;
	CHECK(vlapic_timer(&v, now));
	CHECK(!took(0x40));
	/* unmasked after the expiry, before anybody looked: still lost, as on hardware */
	put(VLAPIC_TIMER_INITIAL, 100);
	now += 1000;
	put(VLAPIC_LVT_TIMER, 0x40);
	vlapic_timer(&v, now);
	CHECK(!took(0x40));
	/* and the other way round: an expiry before the mask is kept */
	put(VLAPIC_TIMER_INITIAL, 100);
	now += 1000;
	put(VLAPIC_LVT_TIMER, 0x10041);
	CHECK(took(0x40));
}

TEST(a_new_count_does_not_swallow_an_expiry)
{
	struct vlapic_effect effect;

	begin(10, 1, 0x40);
	put(VLAPIC_TIMER_INITIAL, 100);
	now += 2000;
	put(VLAPIC_TIMER_INITIAL, 100);
	CHECK(took(0x40));
	CHECK_EQ(vlapic_deadline(&v), now + 2000);
	/* stopped by a trapped write just when a period ends: the page holds the 0 already */
	put(VLAPIC_LVT_TIMER, 0x20040);
	now += 2000;
	v.regs[VLAPIC_TIMER_INITIAL / 4] = 0;
	vlapic_write_trapped(&v, VLAPIC_TIMER_INITIAL, now, &effect);
	CHECK(took(0x40));
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
}

TEST(software_disable_silences_the_timer)
{
	begin(10, 1, 0x20040);
	put(VLAPIC_TIMER_INITIAL, 100);
	put(VLAPIC_SVR, 0xff);
	now += 2000;
	vlapic_timer(&v, now);
	put(VLAPIC_SVR, 0x1ff);
	CHECK(!took(0x40));
	put(VLAPIC_LVT_TIMER, 0x20040); /* it was masked, not stopped */
	now += 2000;
	vlapic_timer(&v, now);
	CHECK(took(0x40));
}

TEST(periodic_without_drift)
{
	static const uint32_t ratio[][2] = {
		{252, 2},	   {3, 1},	 {8388593, 65537}, {1, 1}, {16777215, 16777213},
		{100000, 1000000}, {1, 16777215}};
	static const uint32_t initial[] = {1, 7, 1000, 999983, 0xffffffff};

	srand(5);
	for (size_t r = 0; r < ARRAY_SIZE(ratio); r++)
		for (size_t i = 0; i < ARRAY_SIZE(initial); i++) {
			uint64_t start;
			u128 length = (u128)initial[i] * 2 * ratio[r][0], n = 0;

			begin(ratio[r][0], ratio[r][1], 0x20040);
			start = now;
			put(VLAPIC_TIMER_INITIAL, initial[i]);
			for (unsigned int step = 0; step < 3000; step++) {
				/* mostly the next expiry, sometimes a few missed, or a look too
				 * early */
				uint64_t due = (uint64_t)(start + (n + 1) * length / ratio[r][1]),
					 left;

				CHECK_EQ(vlapic_deadline(&v), due);
				left = due - now;
				if (rand() % 3 == 0 && left > 1) {
					now += (uint64_t)rand() % left;
					CHECK_EQ(vlapic_timer(&v, now), now >= due);
					CHECK(count() <= initial[i]);
					continue;
				}
				now = due + (rand() % 8 ? 0 : (uint64_t)rand());
				CHECK(vlapic_timer(&v, now));
				CHECK(took(0x40));
				CHECK(!took(0x40)); /* once, however many were missed */
				u128 exact = (u128)(now - start) * ratio[r][1];

				n = exact / length > n ? exact / length : n + 1;
			}
		}
}

TEST(periodic_after_a_long_sleep)
{
	begin(3, 1, 0x20040);
	put(VLAPIC_TIMER_INITIAL, 1);
	now += BIT64(50);
	CHECK(vlapic_timer(&v, now));
	CHECK_EQ(vlapic_deadline(&v), now + 6);
}

TEST(count_in_periodic_mode)
{
	begin(10, 1, 0x20040);
	put(VLAPIC_TIMER_DIVIDE, 11);
	put(VLAPIC_TIMER_INITIAL, 100);
	now += 2500; /* reading the count brings the timer up to date */
	CHECK_EQ(count(), 50);
	CHECK(took(0x40));
	put(VLAPIC_LVT_TIMER, 0x40); /* becomes one-shot and runs on */
	CHECK_EQ(count(), 50);
	now += 500;
	CHECK(vlapic_timer(&v, now));
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
}

TEST(a_timer_faster_than_the_tsc)
{
	begin(100, 1000, 0x40); /* ten counts a TSC tick */
	put(VLAPIC_TIMER_DIVIDE, 11);
	put(VLAPIC_TIMER_INITIAL, 1007);
	CHECK_EQ(count(), 1007);
	now += 1;
	CHECK_EQ(count(), 997);
	CHECK_EQ(vlapic_deadline(&v), now + 99);
}

TEST(divide_changed_under_way)
{
	begin(10, 1, 0x40);
	put(VLAPIC_TIMER_DIVIDE, 11);
	put(VLAPIC_TIMER_INITIAL, 100);
	now += 400;
	put(VLAPIC_TIMER_DIVIDE, 1); /* by 4 */
	CHECK_EQ(count(), 60);
	CHECK_EQ(vlapic_deadline(&v), now + 60 * 40);
	/* the same, trapped: the page has the new value before we look */
	struct vlapic_effect effect;

	now += 40 * 10;
	v.regs[VLAPIC_TIMER_DIVIDE / 4] = 11;
	vlapic_write_trapped(&v, VLAPIC_TIMER_DIVIDE, now, &effect);
	CHECK_EQ(vlapic_deadline(&v), now + 50 * 10);
}

TEST(tsc_deadline)
{
	begin(10, 1, 0x40);
	vlapic_write_tsc_deadline(&v, now + 5, now);
	CHECK_EQ(vlapic_read_tsc_deadline(&v, now), 0); /* not in this mode */
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
	put(VLAPIC_TIMER_INITIAL, 100);
	put(VLAPIC_LVT_TIMER, 0x40040);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER); /* the mode change stopped the count */
	CHECK_EQ(count(), 0);
	put(VLAPIC_TIMER_INITIAL, 100);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER); /* ignored */
	CHECK_EQ(page[VLAPIC_TIMER_INITIAL / 4], 0);
	vlapic_write_tsc_deadline(&v, now + 5, now);
	CHECK_EQ(vlapic_deadline(&v), now + 5);
	CHECK_EQ(count(), 0);
	now += 4;
	CHECK_EQ(vlapic_read_tsc_deadline(&v, now), now + 1);
	now += 1;
	CHECK_EQ(vlapic_read_tsc_deadline(&v, now), 0);
	CHECK(took(0x40));
	vlapic_write_tsc_deadline(&v, now - 7, now); /* in the past: at once */
	CHECK(vlapic_timer(&v, now));
	CHECK(took(0x40));
	vlapic_write_tsc_deadline(&v, now + 9, now);
	vlapic_write_tsc_deadline(&v, 0, now);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
	vlapic_write_tsc_deadline(&v, now + 9, now);
	put(VLAPIC_LVT_TIMER, 0x20040);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
	CHECK_EQ(vlapic_read_tsc_deadline(&v, now), 0);
}

TEST(a_moved_tsc)
{
	begin(10, 1, 0x40);
	put(VLAPIC_TIMER_INITIAL, 100);
	vlapic_tsc_moved(&v, -5000);
	now -= 5000;
	CHECK_EQ(count(), 100);
	put(VLAPIC_LVT_TIMER, 0x40040);
	vlapic_write_tsc_deadline(&v, now + 5, now);
	vlapic_tsc_moved(&v, 5000);
	CHECK_EQ(vlapic_deadline(&v), now + 5);
	vlapic_write_tsc_deadline(&v, 0, now);
	put(VLAPIC_LVT_TIMER, 0x40);
	vlapic_tsc_moved(&v, 5000);
	CHECK_EQ(vlapic_deadline(&v), VLAPIC_NEVER);
}

TEST(illegal_vector_fires_nothing)
{
	begin(10, 1, 0x0f);
	put(VLAPIC_TIMER_INITIAL, 1);
	CHECK(vlapic_timer(&v, now + 20));
	CHECK_EQ(v.posted.control | v.posted.pir[0], 0);
}

TEST(saved_timers)
{
	static const struct {
		uint32_t lvt, initial, current;
		uint64_t deadline; /* after now; 0: never */
	} row[] = {
		{0x40, 100, 60, 60 * 20},    {0x40, 100, 0, 0},	    {0x20040, 100, 0, 100 * 20},
		{0x20040, 100, 60, 60 * 20}, {0x40040, 100, 60, 0}, {0x40, 100, 500, 100 * 20},
		{0x20040, 0, 5, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		uint32_t state[VLAPIC_STATE_BYTES / 4] = {0};

		begin(10, 1, 0x40);
		state[VLAPIC_SVR / 4] = 0x1ff;
		state[VLAPIC_LVT_TIMER / 4] = row[i].lvt;
		state[VLAPIC_TIMER_INITIAL / 4] = row[i].initial;
		state[VLAPIC_TIMER_CURRENT / 4] = row[i].current;
		vlapic_set_state(&v, (const uint8_t *)state, now);
		CHECK_EQ(vlapic_deadline(&v),
			 row[i].deadline ? now + row[i].deadline : VLAPIC_NEVER);
	}
	/* the deadline MSR is not part of the image and survives it */
	uint32_t state[VLAPIC_STATE_BYTES / 4] = {0};

	begin(10, 1, 0x40040);
	vlapic_write_tsc_deadline(&v, now + 77, now);
	state[VLAPIC_SVR / 4] = 0x1ff;
	state[VLAPIC_LVT_TIMER / 4] = 0x40040;
	vlapic_set_state(&v, (const uint8_t *)state, now);
	CHECK_EQ(vlapic_deadline(&v), now + 77);
}
