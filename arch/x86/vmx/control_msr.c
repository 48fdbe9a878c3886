// SPDX-License-Identifier: MIT
/*
 * The MSRs that the control domain does not get raw.
 *
 * Reads: feature control (locked, VMX off), VMX capabilities and trace (absent), MTRRs (its own
 * copy). Writes: the same; the TSC (it would move every guest's clock), the APIC's base (it must
 * not cover our memory), microcode updates (not allowed in VMX non-root operation; ours are loaded
 * before VMXON), XSS (CPUID depends on it) and the SYSCALL MSRs, which are remembered so that a
 * guest's visit need not read them. MSRs outside the bitmaps always exit; none of them is known
 * here, so they fault as on a CPU without them.
 */
#define LOG_TAG "msr"
#include <string.h>

#include <log.h>
#include <x86/asm.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/control_msr.h>
#include <x86/vmx/vmx.h>

#define APIC_BASE_ADDRESS MASK64(51, 12)

static struct log_limit limit;

void control_rdmsr(struct hv_gprs *g)
{
	uint32_t msr = (uint32_t)g->rcx;
	uint64_t value = FEATURE_CONTROL_LOCKED;

	if (msr != MSR_IA32_FEATURE_CONTROL && !control_mtrr_read(msr, &value)) {
		vmx_inject_exception(VECTOR_GP, 0);
		return;
	}
	g->rax = (uint32_t)value;
	g->rdx = value >> 32;
	vmx_skip_instruction();
}

/* Moving the APIC's page could put it over memory that is not the control domain's. */
static bool write_apic_base(uint64_t value)
{
	if ((value ^ rdmsr(MSR_APIC_BASE)) & APIC_BASE_ADDRESS) {
		log_limited(&limit, LOG_INFO, "refused: local APIC moved to %#lx",
			    value & APIC_BASE_ADDRESS);
		return true;
	}
	return wrmsr_safe(MSR_APIC_BASE, value);
}

static bool write_msr(struct vmx_cpu *v, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_TSC:
	case MSR_TSC_ADJUST:
	case MSR_MICROCODE:
		log_limited(&limit, LOG_INFO, "dropped: write of %#lx to MSR %#x (%s)", value, msr,
			    msr == MSR_MICROCODE ? "microcode is loaded at boot, as a boot module"
						 : "it would move every guest's clock");
		return true;
	case MSR_PERF_GLOBAL_CTRL:
		/* Let the processor judge the value, as the next VM entry would. */
		if (!wrmsr_safe(msr, value))
			return false;
		wrmsr(msr, 0);
		vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, value);
		return true;
	case MSR_APIC_BASE:
		return write_apic_base(value);
	case MSR_X2APIC_ICR:
		return control_sipi_sent(value, true) || wrmsr_safe(msr, value);
	case MSR_XSS:
		if (value != 0) /* CPUID offers no supervisor component */
			return false;
		v->xss = value;
		return true;
	case MSR_TSC_AUX:
		if (!wrmsr_safe(msr, value))
			return false;
		v->tsc_aux = value;
		return true;
	default:
		if (msr < MSR_STAR || msr > MSR_FMASK)
			return control_mtrr_write(msr, value);
		if (!wrmsr_safe(msr, value))
			return false;
		v->cached_msr[msr - MSR_STAR] = value;
		return true;
	}
}

void control_wrmsr(struct vmx_cpu *v, struct hv_gprs *g)
{
	uint32_t msr = (uint32_t)g->rcx;

	if (write_msr(v, msr, (uint32_t)g->rax | g->rdx << 32)) {
		vmx_skip_instruction();
		return;
	}
	log_limited(&limit, LOG_INFO, "refused: write of %#lx to MSR %#x",
		    (uint32_t)g->rax | g->rdx << 32, msr);
	vmx_inject_exception(VECTOR_GP, 0);
}
