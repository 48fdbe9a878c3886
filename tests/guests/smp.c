// SPDX-License-Identifier: MIT
/*
 * Several processors: started by INIT and SIPI, IPIs in all directions, a counter that all
 * increment, wake-ups from HLT. "cpus=N" on the command line says how many there are.
 */
#include "guest.h"

#define IPI_VECTOR 0x70
#define ROUNDS	   200
#define INCREMENTS 20000u

static volatile uint32_t counter, ids, answers;
static volatile bool go;

static void run_ap(unsigned int number)
{
	(void)number;
	__atomic_or_fetch(&ids, 1u << (cpuid(1, 0).b >> 24), __ATOMIC_SEQ_CST);
	while (!go)
		asm volatile("pause");
	for (unsigned int i = 0; i < INCREMENTS; i++)
		__atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
	/* From here on only interrupts do anything: each is answered by one to processor 0. */
	for (;;) {
		uint32_t before = irq_count[IPI_VECTOR];

		asm volatile("sti; hlt; cli" : : : "memory");
		if (irq_count[IPI_VECTOR] != before)
			__atomic_add_fetch(&answers, 1, __ATOMIC_SEQ_CST);
	}
}

static bool wait_value(volatile uint32_t *what, uint32_t value)
{
	uint64_t end = rdtsc() + UINT64_C(2000000000);

	while (*what < value)
		if (rdtsc() > end)
			return false;
	return true;
}

static void run(const char *mode, bool x2, unsigned int others)
{
	apic_enable(x2);
	aps_up = counter = ids = answers = 0;
	go = false;
	extern uint32_t ap_tickets;

	ap_tickets = 0;
	report(start_others(others) == others, "%s: %u of %u others started", mode,
	       (uint64_t)aps_up, (uint64_t)others);
	report(wait_value(&aps_up, others), "%s: all run", mode);
	go = true;
	report(wait_value(&counter, others * INCREMENTS), "%s: atomic increments add up, %u", mode,
	       (uint64_t)counter);
	report(ids == ((1u << (others + 1)) - 2), "%s: APIC ids are 1 to %u, %x", mode,
	       (uint64_t)others, (uint64_t)ids);
	unsigned int lost = 0;

	for (unsigned int i = 0; i < ROUNDS && !lost; i++) {
		apic_send(1 + i % others, 0x4000 | IPI_VECTOR);
		lost += !wait_value(&answers, i + 1);
	}
	report(!lost, "%s: %u IPIs to halted processors, %u answers", mode, (uint64_t)ROUNDS,
	       (uint64_t)answers);
	answers = 0;
	apic_send(0, 0xc4000 | IPI_VECTOR); /* all but self */
	report(wait_value(&answers, others), "%s: broadcast, %u answers", mode, (uint64_t)answers);
}

void guest_main(void)
{
	unsigned int cpus = 2;

	const char *s = guest_cmdline;

	while (*s && (*s < '0' || *s > '9'))
		s++;
	for (cpus = *s ? 0 : cpus; *s >= '0' && *s <= '9'; s++)
		cpus = cpus * 10 + (unsigned int)(*s - '0');
	ap_main = run_ap;
	run("xAPIC", false, cpus - 1);
	if (cpuid(1, 0).c >> 21 & 1)
		run("x2APIC", true, cpus - 1);
}
