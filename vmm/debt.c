// SPDX-License-Identifier: MIT
/*
 * TLB debts (see debt.h). The whole difficulty is one race, a store-then-load on both sides:
 *
 *   remover: entry = absent;    epoch += 1;       look at paid[cpu]
 *   resumer: paid[cpu] = epoch; flush, walk the tables
 *
 * Either the remover sees that the CPU is awake (and counts its debt), or the CPU's flush comes
 * after the entry went absent. Sequentially consistent operations on both sides give that; on x86
 * they are one locked instruction each.
 */
#include <debt.h>

#define QUIESCENT UINT64_MAX

void debt_init(struct debt *d, struct debt_cpu *cpu, unsigned int cpus)
{
	d->epoch = 0;
	d->cleared = 0;
	d->cpus = cpus;
	d->cpu = cpu;
	for (unsigned int i = 0; i < cpus; i++)
		cpu[i].paid = QUIESCENT;
}

uint64_t debt_new(struct debt *d)
{
	return __atomic_add_fetch(&d->epoch, 1, __ATOMIC_SEQ_CST);
}

uint64_t debt_pay_begin(const struct debt *d)
{
	return __atomic_load_n(&d->epoch, __ATOMIC_SEQ_CST);
}

void debt_pay_end(struct debt *d, unsigned int cpu, uint64_t epoch)
{
	__atomic_store_n(&d->cpu[cpu].paid, epoch, __ATOMIC_RELEASE);
}

bool debt_owes(const struct debt *d, unsigned int cpu)
{
	return __atomic_load_n(&d->cpu[cpu].paid, __ATOMIC_RELAXED) <
	       __atomic_load_n(&d->epoch, __ATOMIC_RELAXED);
}

void debt_cpu_quiesce(struct debt *d, unsigned int cpu)
{
	__atomic_store_n(&d->cpu[cpu].paid, QUIESCENT, __ATOMIC_RELEASE);
}

void debt_cpu_resume(struct debt *d, unsigned int cpu)
{
	uint64_t epoch = __atomic_load_n(&d->epoch, __ATOMIC_SEQ_CST);

	__atomic_exchange_n(&d->cpu[cpu].paid, epoch, __ATOMIC_SEQ_CST);
}

bool debt_cleared(struct debt *d, uint64_t epoch)
{
	uint64_t cleared = __atomic_load_n(&d->cleared, __ATOMIC_ACQUIRE);
	uint64_t least;

	if (epoch <= cleared)
		return true;
	/* Not beyond the newest epoch, or quiescent CPUs would clear debts that are yet to be made.
	 */
	least = __atomic_load_n(&d->epoch, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < d->cpus; i++)
		least = min_u64(least, __atomic_load_n(&d->cpu[i].paid, __ATOMIC_SEQ_CST));
	while (cleared < least && !__atomic_compare_exchange_n(&d->cleared, &cleared, least, false,
							       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	return epoch <= least;
}

unsigned int debt_owing(const struct debt *d, uint64_t epoch, uint64_t *bitmap, unsigned int words)
{
	unsigned int owing = 0;

	for (unsigned int i = 0; i < words; i++)
		bitmap[i] = 0;
	for (unsigned int i = 0; i < d->cpus; i++) {
		if (__atomic_load_n(&d->cpu[i].paid, __ATOMIC_SEQ_CST) >= epoch)
			continue;
		owing++;
		if (i / 64 < words)
			bitmap[i / 64] |= BIT64(i % 64);
	}
	return owing;
}
