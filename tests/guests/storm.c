// SPDX-License-Identifier: MIT
/*
 * Two processors ("cpus=2") that keep each other, and the hypervisor, busy: storms of interrupts,
 * of NMIs, of INIT and SIPI, while the other one spins, halts or exits as often as it can.
 */
#include "guest.h"

#define VECTOR	  0x90
#define STORM	  3000
#define RESTARTS  40
#define EXITS	  3000
#define WAIT_LONG UINT64_C(2000000000)

enum work { SPIN, HALT, EXIT };
static volatile enum work work;
static volatile uint32_t alive, other_id;

static void exits(void)
{
	uint64_t memory[2] = {0, 0};

	cpuid(0, 0);
	ATTEMPT("wbinvd", OUT(), IN());
	ATTEMPT("invd", OUT(), IN());
	ATTEMPT("rdpmc", OUT(), IN("c"(0)), "rax", "rdx");
	ATTEMPT("vmptrst (%0)", OUT(), IN("r"(memory)));
	ATTEMPT("vmxoff", OUT(), IN());
	if (under_hypervisor)
		asm volatile("vmcall" : : "a"(UINT64_C(1) << 40) : "memory");
	apic_write(APIC_TPR, apic_read(APIC_TPR));
}

/* ATTEMPT() belongs to whoever is number 1 while it runs; processor 0 does without. */
static void run_other(unsigned int number)
{
	(void)number;
	other_id = cpuid(1, 0).b >> 24;
	for (;;) {
		alive++;
		if (work == HALT)
			asm volatile("sti; hlt" : : : "memory");
		else if (work == EXIT)
			exits();
		asm volatile("sti; pause" : : : "memory");
	}
}

static bool is_alive(void)
{
	uint32_t seen = alive;
	uint64_t end = rdtsc() + WAIT_LONG;

	while (alive == seen) {
		apic_send(other_id, 0x4000 | VECTOR);
		if (rdtsc() > end)
			return false;
	}
	return true;
}

static void storm(const char *what, uint32_t low)
{
	static const char *const names[] = {"spins", "halts", "exits"};

	for (unsigned int w = SPIN; w <= EXIT; w++) {
		uint32_t before = irq_count[VECTOR] + irq_count[VECTOR_NMI];

		work = (enum work)w;
		for (unsigned int i = 0; i < STORM; i++)
			apic_send(other_id, low);
		report(is_alive() && irq_count[VECTOR] + irq_count[VECTOR_NMI] != before,
		       "%s to one that %s, %u taken of %u", what, names[w],
		       (uint64_t)(irq_count[VECTOR] + irq_count[VECTOR_NMI] - before),
		       (uint64_t)STORM);
	}
	work = SPIN;
}

static void restarts(void)
{
	extern uint32_t ap_tickets;
	unsigned int i;

	for (i = 0; i < RESTARTS; i++) {
		ap_tickets = 0;
		apic_send(other_id, 0x4500);
		for (unsigned int n = 0; n < (i & 7) * 50; n++)
			asm volatile("pause");
		alive = 0;
		apic_send(other_id, 0x4600 | 8);
		if (i & 1)
			apic_send(other_id, 0x4600 | 8);
		if (i % 8 == 7 && !is_alive())
			break;
	}
	report(i == RESTARTS, "%u times INIT and SIPI", (uint64_t)i);
}

/* More of one's own interrupts than one can take. */
static void own_exits(void)
{
	for (unsigned int i = 0; i < EXITS; i++) {
		cpuid(i, 0);
		asm volatile("wbinvd; invd" : : : "memory");
		apic_send(0, 0x44000 | VECTOR);
	}
	report(true, "%u times CPUID, WBINVD, INVD, self-IPI", (uint64_t)EXITS);
}

static void run(const char *mode, bool x2)
{
	extern uint32_t ap_tickets;

	apic_enable(x2);
	aps_up = ap_tickets = 0;
	ap_main = run_other;
	report(start_others(1) == 1 && is_alive(), "%s: the other one runs", mode);
	storm("interrupts", 0x4000 | VECTOR);
	storm("NMIs", 0x4400);
	restarts();
	cpu_sti();
	own_exits();
	cpu_cli();
}

void guest_main(void)
{
	run("xAPIC", false);
	if (cpuid(1, 0).c >> 21 & 1)
		run("x2APIC", true);
}
