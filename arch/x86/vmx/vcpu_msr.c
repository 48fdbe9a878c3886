// SPDX-License-Identifier: MIT
/*
 * The MSRs that the VMCS does not switch, between the control domain and a guest.
 *
 * SYSCALL's MSRs and TSC_AUX of the control domain are remembered when it writes them (those writes
 * exit); what it may write at any time is read on the way in.
 */
#include <vm.h>
#include <x86/asm.h>
#include <x86/speculation.h>
#include <x86/vmx/vcpu.h>

#define MSR_STAR      0xc0000081u
#define MSR_TSC_AUX   0xc0000103u
#define MSR_SPEC_CTRL 0x48u

void vcpu_msrs_load(struct vmx_cpu *v, struct vcpu *vcpu)
{
	for (unsigned int i = 0; i < CACHED_MSRS; i++)
		if (v->cached_msr[i] != vcpu->msr[i])
			wrmsr(MSR_STAR + i, vcpu->msr[i]);
	v->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	wrmsr(MSR_KERNEL_GS_BASE, vcpu->kernel_gs_base);
	if (guest_has.rdtscp && v->tsc_aux != vcpu->tsc_aux)
		wrmsr(MSR_TSC_AUX, vcpu->tsc_aux);
	/* Another VM's device model may have trained the predictors since that VM left. */
	if (v->last_vm != vcpu->vm->handle)
		speculation_barrier();
	v->last_vm = vcpu->vm->handle;
	if (speculation.spec_ctrl) {
		v->spec_ctrl = rdmsr(MSR_SPEC_CTRL);
		if (v->spec_ctrl != vcpu->spec_ctrl)
			wrmsr_safe(MSR_SPEC_CTRL,
				   vcpu->spec_ctrl); /* bits that this CPU lacks: not set */
	}
}

void vcpu_msrs_leave(struct vmx_cpu *v, struct vcpu *vcpu)
{
	if (speculation.spec_ctrl) {
		vcpu->spec_ctrl = rdmsr(MSR_SPEC_CTRL);
		if (v->spec_ctrl != vcpu->spec_ctrl)
			wrmsr(MSR_SPEC_CTRL, v->spec_ctrl);
	}
	if (guest_has.rdtscp && v->tsc_aux != vcpu->tsc_aux)
		wrmsr(MSR_TSC_AUX, v->tsc_aux);
	vcpu->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	wrmsr(MSR_KERNEL_GS_BASE, v->kernel_gs_base);
	for (unsigned int i = 0; i < CACHED_MSRS; i++)
		if (v->cached_msr[i] != vcpu->msr[i])
			wrmsr(MSR_STAR + i, v->cached_msr[i]);
	speculation_after_stay();
}
