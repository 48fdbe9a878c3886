// SPDX-License-Identifier: MIT
/*
 * Waiting at boot and in a crash, and the ways to reset a machine.
 *
 * The keyboard controller is not among them: it leaves IA32_FEATURE_CONTROL locked on some
 * machines.
 */
#include <platform.h>
#include <x86/machine.h>
#include <x86/asm.h>
#include <x86/percpu.h>

#define RESET_CONTROL 0xcf9

struct platform platform = {.tsc_khz = TSC_KHZ_UNKNOWN, .panic_seconds = 10};
unsigned int cpu_count;
struct cpu **cpu_table;

void delay_us(uint64_t us)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < us * platform.tsc_khz / 1000)
		cpu_relax();
}

void machine_reset(void)
{
	struct __packed {
		uint16_t limit;
		uint64_t base;
	} empty = {0, 0};

	wbinvd();
	if (platform.reset_memory)
		*platform.reset_memory = platform.reset_value;
	else if (platform.reset_port)
		outb(platform.reset_port, platform.reset_value);
	delay_us(100000);
	outb(RESET_CONTROL, 0x02);
	outb(RESET_CONTROL, 0x06);
	delay_us(100000);
	__asm__ volatile("lidt %0; int3" ::"m"(empty));
	cpu_halt_forever();
}
