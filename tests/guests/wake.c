// SPDX-License-Identifier: MIT
/*
 * Wake-ups that arrive while a processor falls asleep. "cpus=N rounds=N" on the command line.
 *
 * Three kinds, with delays that sweep across the moment of HLT: an IPI to a processor that halts
 * while the sender spins, the same while the sender halts too and waits for an IPI back, and a
 * timer that expires just before, at or after HLT. Nobody else wakes what a lost wake-up leaves
 * asleep: a watchdog says so and ends the run.
 */
#include "guest.h"

#define PING  0x60 /* plus the number of the processor */
#define PONG  0x71
#define ALARM 0x72
#define LATE  UINT64_C(1000000000)
#define SWEEP 256
#define STEP  37 /* prime to SWEEP, so that neighbouring rounds differ much */

static volatile uint32_t answers[16], ids[16], progress;
static volatile bool pong, watching, late;
static uint64_t others, rounds;

static uint64_t option(const char *name, uint64_t value)
{
	for (const char *s = guest_cmdline; *s; s++) {
		const char *a = s, *b = name;

		while (*b && *a == *b)
			a++, b++;
		if (*b)
			continue;
		for (value = 0; *a >= '0' && *a <= '9'; a++)
			value = value * 10 + (uint64_t)(*a - '0');
	}
	return value;
}

/* Whoever is asleep for LATE ticks while this spins was forgotten. */
static void watch(void)
{
	uint32_t seen = progress;
	uint64_t since = rdtsc();

	while (watching && !late) {
		asm volatile("pause");
		if (progress != seen) {
			seen = progress;
			since = rdtsc();
		} else if (rdtsc() - since > LATE) {
			late = true;
			apic_send(0, 0x4000 | ALARM);
		}
	}
}

static void run_other(unsigned int number)
{
	uint32_t done = 0;

	ids[number] = cpuid(1, 0).b >> 24;
	cpu_cli();
	for (;;) {
		while (irq_count[PING + number] == done)
			asm volatile("sti; hlt; cli" : : : "memory");
		done = irq_count[PING + number];
		bool back = pong; /* asked before the answer, behind which it may change */

		answers[number] = done;
		if (back)
			apic_send(0, 0x4000 | PONG);
		if (watching)
			watch();
	}
}

static void delay(uint64_t round)
{
	for (uint64_t n = round * STEP % SWEEP * 4; n; n--)
		asm volatile("");
}

static void ping(uint64_t number)
{
	apic_send(ids[number], 0x4000 | (PING + (uint32_t)number));
}

static void spinning_sender(const char *mode)
{
	uint64_t lost = 0, i;

	for (i = 0; i < rounds && !lost; i++) {
		uint64_t number = 1 + i % others, end = rdtsc() + LATE;
		uint32_t next = answers[number] + 1;

		delay(i / others);
		ping(number);
		while (answers[number] != next && !lost)
			lost += rdtsc() > end;
	}
	report(!lost, "%s: %u IPIs to halting processors, %u lost", mode, i, lost);
}

static void halting_sender(const char *mode)
{
	uint32_t alarms = irq_count[ALARM];
	uint64_t i;

	apic_write(APIC_TIMER_DIVIDE, 3); /* by 16: its clock may be ten times the TSC's */
	apic_write(APIC_TIMER, ALARM);
	pong = true;
	for (i = 0; i < rounds && irq_count[ALARM] == alarms; i++) {
		uint64_t number = 1 + i % others;
		uint32_t next = irq_count[PONG] + 1;

		if (i % 64 == 0)
			apic_write(APIC_TIMER_INITIAL, LATE);
		delay(i / others);
		ping(number);
		while (irq_count[PONG] < next && irq_count[ALARM] == alarms)
			asm volatile("sti; hlt; cli" : : : "memory");
	}
	pong = false;
	apic_write(APIC_TIMER_INITIAL, 0);
	report(irq_count[ALARM] == alarms, "%s: %u IPIs there and back, both sides halting", mode,
	       i);
}

static void halting_for_timer(const char *mode, bool deadline)
{
	uint64_t i;

	progress = 0;
	late = false;
	watching = others;
	if (others)
		ping(1);
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_TIMER, PONG | (deadline ? TIMER_DEADLINE : 0));
	for (i = 0; i < rounds && !late; i++) {
		uint32_t next = irq_count[PONG] + 1;
		uint64_t ticks = 1 + i * STEP % SWEEP * 32;

		if (deadline)
			wrmsr_try(MSR_TSC_DEADLINE, rdtsc() + ticks);
		else
			apic_write(APIC_TIMER_INITIAL, (uint32_t)ticks);
		while (irq_count[PONG] < next && !late)
			asm volatile("sti; hlt; cli" : : : "memory");
		progress++;
	}
	watching = false;
	apic_write(APIC_TIMER, TIMER_MASKED);
	report(!late, "%s: %u timers around HLT", deadline ? "TSC deadline" : mode, i);
}

static void run(const char *mode, bool x2)
{
	extern uint32_t ap_tickets;

	apic_enable(x2);
	aps_up = ap_tickets = 0;
	for (unsigned int i = 0; i < 256; i++)
		irq_count[i] = 0;
	for (unsigned int i = 0; i < 16; i++)
		answers[i] = ids[i] = 0;
	if (others) {
		report(start_others((unsigned int)others) == others, "%s: %u others started", mode,
		       others);
		for (uint64_t i = 1; i <= others; i++)
			while (!ids[i])
				asm volatile("pause");
		spinning_sender(mode);
		halting_sender(mode);
	}
	halting_for_timer(mode, false);
	if (cpuid(1, 0).c >> 24 & 1)
		halting_for_timer(mode, true);
	report(!irq_before_hlt, "%s: no interrupt in the shadow of STI", mode);
}

void guest_main(void)
{
	others = option("cpus=", 2) - 1;
	rounds = option("rounds=", 2000);
	ap_main = run_other;
	run("xAPIC", false);
	if (cpuid(1, 0).c >> 21 & 1)
		run("x2APIC", true);
}
