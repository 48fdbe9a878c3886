// SPDX-License-Identifier: MIT
/*
 * How fast the time-stamp counter is.
 */
#include <platform.h>
#include <x86/asm.h>
#include <x86/machine.h>

#define PIT_HZ	     1193182
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND  0x43
#define PIT_GATE     0x61
#define PIT_MS	     5
#define PATIENCE     1000000

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
	uint64_t khz;

	if (cpuid_has_leaf(0x15))
		r = cpuid(0x15, 0);
	if (r.eax && r.ebx && r.ecx)
		khz = (uint64_t)r.ecx * r.ebx / r.eax / 1000;
	else
		khz = tsc_per_pit_ms() / PIT_MS;
	return khz < 1000 ? TSC_KHZ_UNKNOWN : khz;
}
