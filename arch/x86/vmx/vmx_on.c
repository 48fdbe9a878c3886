// SPDX-License-Identifier: MIT
/*
 * What this CPU can do, and switching VMX on.
 */
#define LOG_TAG "vmx"
#include <string.h>

#include <log.h>
#include <x86/asm.h>
#include <x86/vmx/boot.h>
#include <x86/vmx/vmx.h>

#define CPUID_1_ECX_VMX BIT64(5)

static uint64_t read_msr(void *ctx, uint32_t msr)
{
	uint64_t value;

	(void)ctx;
	rdmsr_safe(msr, &value);
	return value;
}

void vmx_read_caps(struct vmx_caps *c)
{
	memset(c, 0, sizeof(*c));
	c->vmx = cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
	if (!c->vmx)
		return;
	c->feature_control = read_msr(NULL, MSR_IA32_FEATURE_CONTROL);
	vmx_caps_read(c, read_msr, NULL);
}

void vmx_unlock(struct vmx_caps *c)
{
	if (c->feature_control & FEATURE_CONTROL_LOCKED)
		return;
	wrmsr_safe(MSR_IA32_FEATURE_CONTROL,
		   c->feature_control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
	c->feature_control = read_msr(NULL, MSR_IA32_FEATURE_CONTROL);
}

int vmx_on(struct vmx_cpu *v)
{
	hpa_t pa = vmx_region_init(v->vmxon);
	bool failed;

	write_cr0((read_cr0() | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1);
	write_cr4((read_cr4() | vmx_caps.cr4_fixed0 | CR4_VMXE) & vmx_caps.cr4_fixed1);
	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(pa) : "memory");
	if (failed) {
		log_err("CPU %u refuses VMXON (CR0 %#lx, CR4 %#lx, feature control %#lx)",
			v->cpu->index, read_cr0(), read_cr4(), v->caps.feature_control);
		return -HV_ERR_HARDWARE;
	}
	vmx_flush_all();
	return 0;
}
