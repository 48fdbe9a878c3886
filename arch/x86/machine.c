// SPDX-License-Identifier: MIT
/*
 * Time for boot and crash, and the ways to reset a machine.
 *
 * The keyboard controller is not among them: it leaves IA32_FEATURE_CONTROL locked on some
 * machines.
 */
#include <x86/machine.h>
#include <x86/asm.h>
#include <x86/paging.h>

#define PIT_HZ	      1193182
#define PIT_CHANNEL2  0x42
#define PIT_COMMAND   0x43
#define PIT_GATE      0x61
#define PIT_MS	      5
#define PATIENCE      1000000
#define FALLBACK_KHZ  1000000
#define RESET_CONTROL 0xcf9

static uint64_t khz = 1000;

static struct {
	bool known, memory;
	uint16_t port;
	volatile uint8_t *mapped;
	uint8_t value;
} reset_register;

/* TSC ticks in PIT_MS milliseconds of the PIT's channel 2, whose gate and output are in port 61h.
 */
static uint64_t tsc_per_pit_ms(void)
{
	uint8_t gate = inb(PIT_GATE);
	uint16_t count = PIT_HZ * PIT_MS / 1000;
	uint64_t start, ticks = 0;

	outb(PIT_GATE, (gate & 0xfc) | 1);
	outb(PIT_COMMAND, 0xb0); /* channel 2, both bytes, one shot */
	outb(PIT_CHANNEL2, (uint8_t)count);
	outb(PIT_CHANNEL2, (uint8_t)(count >> 8));
	start = rdtsc();
	for (int i = 0; i < PATIENCE && !ticks; i++) {
		if (inb(PIT_GATE) & 0x20)
			ticks = rdtsc() - start;
	}
	outb(PIT_GATE, gate);
	return ticks;
}

uint64_t tsc_measure_khz(void)
{
	struct cpuid_regs r = {0};

	if (cpuid_has_leaf(0x15))
		r = cpuid(0x15, 0);
	if (r.eax && r.ebx && r.ecx)
		khz = (uint64_t)r.ecx * r.ebx / r.eax / 1000;
	else
		khz = tsc_per_pit_ms() / PIT_MS;
	if (khz < 1000)
		khz = FALLBACK_KHZ;
	return khz;
}

void delay_us(uint64_t us)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < us * khz / 1000)
		cpu_relax();
}

void machine_set_reset(uint8_t space, uint64_t address, uint8_t value)
{
	reset_register.value = value;
	if (space == 1) {
		reset_register.port = (uint16_t)address;
		reset_register.known = true;
	} else if (space == 0) {
		reset_register.mapped = map_device(HPA(address), 1);
		reset_register.memory = reset_register.known = true;
	}
}

void machine_reset(void)
{
	struct __packed {
		uint16_t limit;
		uint64_t base;
	} empty = {0, 0};

	wbinvd();
	if (reset_register.known) {
		if (reset_register.memory)
			*reset_register.mapped = reset_register.value;
		else
			outb(reset_register.port, reset_register.value);
		delay_us(100000);
	}
	outb(RESET_CONTROL, 0x02);
	outb(RESET_CONTROL, 0x06);
	delay_us(100000);
	__asm__ volatile("lidt %0; int3" ::"m"(empty));
	cpu_halt_forever();
}
