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

static void syscall_load(const struct vmx_cpu *v, struct vcpu *vcpu)
{
	for (unsigned int i = 0; i < CACHED_MSRS; i++)
		if (v->cached_msr[i] != vcpu->msr[i])
			wrmsr(MSR_STAR + i, vcpu->msr[i]);
	vcpu->syscall_live = true;
}

static void syscall_leave(const struct vmx_cpu *v, struct vcpu *vcpu)
{
	for (unsigned int i = 0; i < CACHED_MSRS; i++)
		if (v->cached_msr[i] != vcpu->msr[i])
			wrmsr(MSR_STAR + i, v->cached_msr[i]);
	vcpu->syscall_live = false;
}

void vcpu_efer_is(struct vcpu *vcpu, uint64_t value)
{
	vcpu->syscall = value & EFER_SCE;
	if (vcpu->syscall && !vcpu->syscall_live && this_vmx()->vcpu == vcpu)
		syscall_load(this_vmx(), vcpu);
}

/* Puts @to in KERNEL_GS_BASE and returns what was there. By way of GS where that is possible, which
 * takes a fraction of RDMSR and WRMSR; trap_handle() does not trust GS for that. */
static uint64_t swap_kernel_gs_base(const struct vmx_cpu *v, uint64_t to)
{
	uint64_t from;

	if (likely(v->fsgsbase)) {
		__asm__ volatile("swapgs\n\trdgsbase %0\n\twrgsbase %1\n\tswapgs"
				 : "=&r"(from)
				 : "r"(to)
				 : "memory");
		return from;
	}
	from = rdmsr(MSR_KERNEL_GS_BASE);
	wrmsr(MSR_KERNEL_GS_BASE, to);
	return from;
}

void vcpu_msrs_load(struct vmx_cpu *v, struct vcpu *vcpu)
{
	if (vcpu->syscall)
		syscall_load(v, vcpu);
	v->kernel_gs_base = swap_kernel_gs_base(v, vcpu->kernel_gs_base);
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
	vcpu->kernel_gs_base = swap_kernel_gs_base(v, v->kernel_gs_base);
	if (vcpu->syscall_live)
		syscall_leave(v, vcpu);
	speculation_after_stay();
}
