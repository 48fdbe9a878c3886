// SPDX-License-Identifier: MIT
/*
 * The short way through a guest's exit: settled with nothing but what C may change saved.
 *
 * What is left out is vcpu_prepare(), and nothing is late for it. An event posted by another CPU
 * comes with a kick, an interrupt of this CPU that stays pending while interrupts are off and
 * ends the stay at the very entry; windows that were asked for are still asked for; NMIs have
 * entry.S's own look. Only the preemption timer stands still in root mode, so every QUICK_EXITS-th
 * exit takes the long way and sets it anew.
 *
 * The buffers are cleared before the entry as after the long way. L1D is flushed once a stay
 * (vcpu_enter()): nobody else's data comes into it in between.
 */
#include <x86/asm.h>
#include <x86/speculation.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

/* To itself, fixed, with a valid vector: what an ICR write may ask for here. */
#define ICR_TO_SELF(icr) (((icr)&0xc0700) == 0x40000 && ((icr)&0xf0))

static bool __attribute__((noinline)) write_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	uint64_t now = vcpu_tsc(vcpu);

	if (vlapic_deadline(&vcpu->lapic) <= now) /* it fires first */
		return false;
	if (msr == MSR_TSC_DEADLINE && (!value || value > now)) {
		vlapic_write_tsc_deadline(&vcpu->lapic, value, now);
		vcpu_arm_timer(vcpu);
		return true;
	}
	if (msr != MSR_X2APIC_ICR || !guest_has.apicv || !ICR_TO_SELF(value) ||
	    !guest_msr_write(vcpu, msr, value, false))
		return false;
	vlapic_merge(&vcpu->lapic);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, vlapic_interrupt_status(&vcpu->lapic));
	return true;
}

static bool __attribute__((noinline)) settled(uint32_t reason)
{
	struct vmx_cpu *v = this_vmx();
	struct vcpu *vcpu = v->vcpu;

	vcpu->quick_exits--;
	v->stats.guest_exits[reason]++;
	vcpu->stats.exits[reason]++;
	vcpu->page->exits++;
	vmx_skip_instruction();
	speculation_clear_buffers();
	return true;
}

bool guest_quick(struct vcpu *vcpu, struct hv_gprs *g)
{
	uint32_t reason = vmread(VMCS_EXIT_REASON);

	if (unlikely(!vcpu->quick_exits))
		return false;
	if (reason == VMX_EXIT_CPUID)
		guest_cpuid(vcpu, g);
	else if (reason == VMX_EXIT_VMCALL)
		g->rax = KVM_NO_SUCH_CALL;
	else if (reason == VMX_EXIT_RDMSR && guest_rdmsr(vcpu, g))
		return settled(VMX_EXIT_RDMSR);
	else if (reason == VMX_EXIT_WRMSR &&
		 write_msr(vcpu, (uint32_t)g->rcx, (uint32_t)g->rax | g->rdx << 32))
		return settled(VMX_EXIT_WRMSR);
	else
		return false;
	return settled(reason);
}
