// SPDX-License-Identifier: MIT
/*
 * The local APIC as a system uses it, once in xAPIC and once in x2APIC mode: timer in its three
 * modes, self-IPIs, priorities, EOI, waking from HLT.
 *
 * Source of the expectations: SDM 3A "Advanced Programmable Interrupt Controller (APIC)".
 */
#include "guest.h"

#define TIMER_VECTOR 0x40
#define LOW_VECTOR   0x51
#define HIGH_VECTOR  0x62
#define COUNT	     20000u

static bool bit(unsigned int reg, unsigned int vector)
{
	return apic_read(reg + vector / 32 * 16) >> vector % 32 & 1;
}

static void send_self(unsigned int vector)
{
	apic_send(0, 0x44000 | vector);
}

static void test_timer(const char *mode)
{
	uint32_t before = irq_count[TIMER_VECTOR], left;
	uint64_t start;

	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_TIMER, TIMER_VECTOR);
	cpu_sti();
	apic_write(APIC_TIMER_INITIAL, COUNT);
	report(wait_irq(TIMER_VECTOR, before + 1), "%s: one-shot timer", mode);
	for (unsigned int i = 0; i < COUNT * 4; i++)
		asm volatile("");
	report(irq_count[TIMER_VECTOR] == before + 1 && !apic_read(APIC_TIMER_CURRENT),
	       "%s: one-shot means once", mode);

	apic_write(APIC_TIMER, TIMER_VECTOR | TIMER_PERIODIC);
	before = irq_count[TIMER_VECTOR];
	apic_write(APIC_TIMER_INITIAL, COUNT);
	report(wait_irq(TIMER_VECTOR, before + 5), "%s: periodic timer", mode);
	apic_write(APIC_TIMER_INITIAL, 0);
	before = irq_count[TIMER_VECTOR];
	for (unsigned int i = 0; i < COUNT * 4; i++)
		asm volatile("");
	report(irq_count[TIMER_VECTOR] == before, "%s: initial count 0 stops it", mode);

	/* It can expire far more often than anybody listens; the program goes on all the same. */
	cpu_cli();
	apic_write(APIC_TIMER, TIMER_VECTOR | TIMER_PERIODIC);
	apic_write(APIC_TIMER_INITIAL, 1);
	start = rdtsc();
	for (unsigned int i = 0; i < COUNT; i++)
		asm volatile("");
	start = rdtsc() - start;
	apic_write(APIC_TIMER_INITIAL, 0);
	report(start < COUNT * UINT64_C(50), "%s: period of one tick, interrupts off", mode);
	cpu_sti();
	before = irq_count[TIMER_VECTOR];

	apic_write(APIC_TIMER, TIMER_VECTOR | TIMER_MASKED);
	apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
	left = apic_read(APIC_TIMER_CURRENT);
	for (unsigned int i = 0; i < 1000; i++)
		asm volatile("");
	report(left && apic_read(APIC_TIMER_CURRENT) < left, "%s: the count goes down", mode);
	apic_write(APIC_TIMER_INITIAL, 100);
	for (unsigned int i = 0; i < COUNT; i++)
		asm volatile("");
	report(irq_count[TIMER_VECTOR] == before, "%s: masked timer", mode);
	apic_write(APIC_TIMER, TIMER_VECTOR | TIMER_MASKED | TIMER_PERIODIC);
	apic_write(APIC_TIMER_INITIAL, 1);
	for (unsigned int i = 0; i < COUNT; i++)
		asm volatile("");
	report(irq_count[TIMER_VECTOR] == before, "%s: work goes on with a period of one", mode);
	apic_write(APIC_TIMER_INITIAL, 0);

	if (!(cpuid(1, 0).c >> 24 & 1))
		return;
	apic_write(APIC_TIMER, TIMER_VECTOR | TIMER_DEADLINE);
	asm volatile("mfence");
	start = rdtsc();
	wrmsr_try(MSR_TSC_DEADLINE, start + 100000);
	report(wait_irq(TIMER_VECTOR, before + 1) && rdtsc() >= start + 100000,
	       "%s: deadline timer, not early", mode);
	report(rdmsr(MSR_TSC_DEADLINE) == 0, "%s: deadline reads 0 afterwards", mode);
	wrmsr_try(MSR_TSC_DEADLINE, 1);
	report(wait_irq(TIMER_VECTOR, before + 2), "%s: deadline in the past", mode);
	wrmsr_try(MSR_TSC_DEADLINE, rdtsc() + 100000);
	wrmsr_try(MSR_TSC_DEADLINE, 0);
	for (unsigned int i = 0; i < 200000; i++)
		asm volatile("");
	report(irq_count[TIMER_VECTOR] == before + 2, "%s: deadline 0 disarms", mode);

	/* Waking from HLT, many times: the window between STI and HLT must not lose one. */
	for (unsigned int i = 0; i < 50; i++) {
		cpu_cli();
		wrmsr_try(MSR_TSC_DEADLINE, rdtsc() + 20 * i);
		asm volatile("sti; hlt" : : : "memory");
		wait_irq(TIMER_VECTOR, before + 3 + i);
	}
	report(irq_count[TIMER_VECTOR] == before + 52, "%s: 50 times woken from HLT", mode);
	cpu_cli();
	apic_write(APIC_TIMER, TIMER_VECTOR | TIMER_MASKED);
}

static void test_priorities(const char *mode)
{
	uint32_t low = irq_count[LOW_VECTOR], high = irq_count[HIGH_VECTOR];

	cpu_cli();
	send_self(LOW_VECTOR);
	send_self(HIGH_VECTOR);
	report(irq_count[LOW_VECTOR] == low, "%s: nothing while IF is clear", mode);
	report(bit(APIC_IRR, LOW_VECTOR) && bit(APIC_IRR, HIGH_VECTOR), "%s: both wait in IRR",
	       mode);
	write_cr8(5);
	report(apic_read(APIC_TPR) == 0x50 && apic_read(APIC_PPR) == 0x50, "%s: CR8 is the TPR",
	       mode);
	cpu_sti();
	report(wait_irq(HIGH_VECTOR, high + 1) && irq_count[LOW_VECTOR] == low,
	       "%s: the TPR holds back its class", mode);
	write_cr8(4);
	report(wait_irq(LOW_VECTOR, low + 1), "%s: a lower TPR lets it in", mode);
	apic_write(APIC_TPR, 0x70);
	report(read_cr8() == 7, "%s: the TPR is CR8", mode);
	send_self(HIGH_VECTOR);
	report(irq_count[HIGH_VECTOR] == high + 1, "%s: held back", mode);
	apic_write(APIC_TPR, 0);
	report(wait_irq(HIGH_VECTOR, high + 2), "%s: let in", mode);

	no_eoi = true;
	send_self(HIGH_VECTOR);
	report(wait_irq(HIGH_VECTOR, high + 3) && bit(APIC_ISR, HIGH_VECTOR),
	       "%s: in service until EOI", mode);
	send_self(LOW_VECTOR);
	send_self(HIGH_VECTOR);
	report(irq_count[LOW_VECTOR] == low + 1 && irq_count[HIGH_VECTOR] == high + 3 &&
		       apic_read(APIC_PPR) == (HIGH_VECTOR & 0xf0),
	       "%s: PPR holds back", mode);
	no_eoi = false;
	apic_write(APIC_EOI, 0);
	report(wait_irq(LOW_VECTOR, low + 2) && wait_irq(HIGH_VECTOR, high + 4) &&
		       !bit(APIC_ISR, HIGH_VECTOR),
	       "%s: EOI lets both in", mode);
	if (apic_x2) {
		asm volatile("wrmsr" : : "c"(0x83f), "a"(LOW_VECTOR), "d"(0));
		report(wait_irq(LOW_VECTOR, low + 3), "%s: self-IPI register", mode);
	}
	cpu_cli();
	apic_write(APIC_ESR, 0);
	apic_send(0, 0x44005);
	apic_write(APIC_ESR, 0);
	report(apic_read(APIC_ESR) & 0x20, "%s: vector 5 is refused, ESR %x", mode,
	       (uint64_t)apic_read(APIC_ESR));
	apic_write(APIC_ESR, 0);
}

static void test_mode(bool x2, const char *mode)
{
	uint32_t id;

	apic_enable(x2);
	id = apic_read(APIC_ID);
	report((x2 ? id : id >> 24) == cpuid(1, 0).b >> 24, "%s: id is CPUID's", mode);
	report((apic_read(APIC_VERSION) & 0xf0) == 0x10, "%s: version %x", mode,
	       (uint64_t)apic_read(APIC_VERSION));
	test_timer(mode);
	test_priorities(mode);
}

static void test_x2apic_faults(void)
{
	uint64_t value;

	report(wrmsr_try(0x802, 1) == GP, "x2APIC: id is read-only");
	report(wrmsr_try(0x80b, 1) == GP, "x2APIC: EOI takes 0 only");
	report(wrmsr_try(0x808, 0x100) == GP, "x2APIC: reserved bits of TPR");
	report(wrmsr_try(0x828, 1) == GP, "x2APIC: ESR takes 0 only");
	report(rdmsr_try(0x831, &value) == GP, "x2APIC: no ICR high");
	report(rdmsr_try(0x80b, &value) == GP, "x2APIC: EOI is write-only");
	report(rdmsr_try(0x8ff, &value) == GP, "x2APIC: reserved register");
	report(wrmsr_try(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~UINT64_C(0x400)) == GP,
	       "x2APIC: no way back to xAPIC directly");
	apic_disable();
	report(!(cpuid(1, 0).d >> 9 & 1) || under_hypervisor, "disabled APIC leaves CPUID");
	report(rdmsr_try(0x802, &value) == GP, "disabled: x2APIC registers #GP");
	report(wrmsr_try(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x400) == GP,
	       "disabled: x2APIC needs xAPIC first");
}

void guest_main(void)
{
	test_mode(false, "xAPIC");
	if (cpuid(1, 0).c >> 21 & 1) {
		test_mode(true, "x2APIC");
		test_x2apic_faults();
		apic_enable(false);
		report(apic_read(APIC_SPIV) == (0x100 | VECTOR_SPURIOUS), "back in xAPIC mode");
	}
}
