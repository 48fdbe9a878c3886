// SPDX-License-Identifier: MIT
// sources: vmm/debt.c
/*
 * TLB debts with real concurrency: threads cache a translation and may use it until they pay, one
 * thread takes translations away and poisons the frame as soon as no CPU owes it. Interleavings of
 * single steps are test_owner.c's.
 */
#include "test.h"

#include <debt.h>

#include <pthread.h>
#include <sched.h>

enum { CPUS = 4, FRAMES = 4, ROUNDS = 3000 };

static struct debt debt;
static struct debt_cpu paid[CPUS];
static uint64_t table;	       /* the page table: one entry, a frame number */
static uint64_t frame[FRAMES]; /* 1 = in use, 0 = poisoned */
static bool stop, forget;
static uint64_t poisoned_uses;

static void *run_cpu(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	uint64_t n = me;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t cached, epoch;

		debt_cpu_resume(&debt, me);
		for (unsigned int pays = 0; pays < 4; pays++) {
			/* the flush is this walk, which a payment before it has been waiting for */
			cached = __atomic_load_n(&table, __ATOMIC_RELAXED);
			for (unsigned int use = 0; use < 3 + n++ % 5; use++) {
				if (__atomic_load_n(&frame[cached], __ATOMIC_RELAXED) != 1)
					__atomic_add_fetch(&poisoned_uses, 1, __ATOMIC_RELAXED);
				if (use == 1)
					sched_yield();
			}
			epoch = debt_pay_begin(&debt);
			debt_pay_end(&debt, me, epoch);
		}
		debt_cpu_quiesce(&debt, me);
	}
	return NULL;
}

static uint64_t race(bool forgetful)
{
	pthread_t thread[CPUS];

	forget = forgetful;
	debt_init(&debt, paid, CPUS);
	for (unsigned int i = 0; i < FRAMES; i++)
		frame[i] = 1;
	for (uintptr_t i = 0; i < CPUS; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, run_cpu, (void *)i), 0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint64_t old = table, epoch;

		__atomic_store_n(&table, (old + 1) % FRAMES, __ATOMIC_RELAXED);
		epoch = debt_new(&debt);
		while (!forget && !debt_cleared(&debt, epoch))
			sched_yield();
		__atomic_store_n(&frame[old], 0, __ATOMIC_SEQ_CST); /* somebody else's now */
		sched_yield();
		__atomic_store_n(&frame[old], 1, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < CPUS; i++)
		pthread_join(thread[i], NULL);
	return poisoned_uses;
}

TEST(no_thread_uses_what_all_have_paid_for)
{
	CHECK_EQ(race(false), 0);
}

TEST(without_waiting_for_payment_threads_do)
{
	CHECK(race(true) > 0);
}

TEST(who_owes)
{
	static struct debt_cpu many[DEBT_MAX_CPUS];
	uint64_t bitmap[DEBT_MAX_CPUS / 64], epoch, second;

	debt_init(&debt, many, DEBT_MAX_CPUS);
	epoch = debt_new(&debt);
	CHECK(debt_cleared(&debt, epoch)); /* all quiescent */
	CHECK(!debt_cleared(&debt, epoch + 1));
	debt_cpu_resume(&debt, 0);
	debt_cpu_resume(&debt, 4095);
	CHECK(!debt_owes(&debt, 4095));
	epoch = debt_new(&debt);
	CHECK(debt_owes(&debt, 4095));
	CHECK(!debt_owes(&debt, 17));
	CHECK_EQ(debt_owing(&debt, epoch, bitmap, ARRAY_SIZE(bitmap)), 2);
	CHECK_EQ(bitmap[0], 1);
	CHECK_EQ(bitmap[63], BIT64(63));
	bitmap[63] = 7;
	CHECK_EQ(debt_owing(&debt, epoch, bitmap, 63), 2); /* counted, not shown */
	CHECK_EQ(bitmap[63], 7);
	debt_pay_end(&debt, 0, debt_pay_begin(&debt));
	second = debt_new(&debt);
	CHECK(!debt_cleared(&debt, epoch));
	debt_pay_end(&debt, 4095, debt_pay_begin(&debt));
	CHECK(debt_cleared(&debt, epoch)); /* CPU 4095 paid both, CPU 0 the first */
	CHECK(!debt_cleared(&debt, second));
	CHECK_EQ(debt_owing(&debt, second, bitmap, ARRAY_SIZE(bitmap)), 1);
	debt_cpu_quiesce(&debt, 0);
	CHECK(debt_cleared(&debt, second));
}
