// SPDX-License-Identifier: MIT
/*
 * What vmm/ may ask of VT-x about CPUs and the control domain (<x86/virt.h>), and the step out of
 * boot, which is the first that boot code does not do.
 */
#define LOG_TAG "virt"
#include <hypercall.h>
#include <log.h>
#include <split.h>
#include <x86/asm.h>
#include <x86/lapic.h>
#include <x86/mem.h>
#include <x86/virt.h>
#include <x86/vmx/vmx.h>

struct memory_split control_split;

/* CPUs that have left the boot part, and whether it is gone. Here CPUs wait for each other for the
 * last time. */
static uint32_t left, gone;

void virt_leave_boot(struct cpu *cpu)
{
	__atomic_fetch_add(&left, 1, __ATOMIC_RELEASE);
	if (cpu->index == 0) {
		while (__atomic_load_n(&left, __ATOMIC_ACQUIRE) < cpu_count)
			cpu_relax();
		paging_drop_boot();
		log_info("starting the control domain on %u CPU%s", cpu_count,
			 cpu_count > 1 ? "s" : "");
		log_consoles_release();
		__atomic_store_n(&gone, 1, __ATOMIC_RELEASE);
	}
	while (!__atomic_load_n(&gone, __ATOMIC_ACQUIRE))
		cpu_relax();
	write_cr3(read_cr3());
	if (cpu->index != 0)
		control_wait_for_sipi(cpu->vmx);
	vmx_start(cpu);
}

struct cpuid_entry cpuid_hardware(void *ctx, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = cpuid(leaf, subleaf);

	(void)ctx;
	return (struct cpuid_entry){r.eax, r.ebx, r.ecx, r.edx};
}

void virt_flush_all(void)
{
	vmx_flush_all();
	write_cr3(read_cr3());
}

bool virt_control_owns(hpa_t base, uint64_t bytes)
{
	return split_is_control(&control_split, base.v, bytes);
}

void *virt_call_page(const struct cpu *cpu)
{
	return cpu->vmx->call_page;
}

const struct hv_cpu_stats *virt_cpu_stats(unsigned int index)
{
	return &cpu_table[index]->vmx->stats;
}

bool virt_x2apic(void)
{
	return lapic_x2apic();
}
