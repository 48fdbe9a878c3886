// SPDX-License-Identifier: MIT
/*
 * VM exits of guests.
 *
 * Each exit ends in one of three ways: settled here and the guest goes on; the stay ends with a
 * code for the driver (abi/vcpu.h); or the guest gets the exception that hardware would give it. An
 * exit that nobody expects ends the VM with a description: it never resumes and never stops the
 * host.
 *
 * What is frequent never comes here (guest_quick.c); instructions are carried out by guest_insn.c.
 */
#define LOG_TAG "guest"
#include <stdio.h>
#include <string.h>

#include <log.h>
#include <vm.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/vmx/cr.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define KVM_NO_SUCH_CALL      UINT64_C(0xfffffffffffffc18) /* -1000, as KVM's guests know it */
#define IO_STRING	      BIT64(4)
#define IO_IN		      BIT64(3)
#define APIC_ACCESS_OFFSET(q) ((q)&0xfff)
#define PLE_WINDOW_MAX	      (1u << 24)
#define EPT_Q_LINEAR_OF_ACCESS                                                                     \
	(BIT64(7) | BIT64(8)) /* valid, and of the access itself, not a page walk */
#define EPT_Q_FETCH	      BIT64(2)
#define DR7_GD		      BIT64(13)
#define NMI_UNBLOCKED_BY_IRET BIT64(12)

/* --- exits for the driver --- */

/* @q: the qualification; @delivering: an event, which the next entry repeats. */
static void describe_instruction(struct vcpu *vcpu, uint64_t gpa, uint64_t q, bool delivering)
{
	uint32_t cs = vmread_sure(VMCS_GUEST_CS_ACCESS);
	struct hv_vcpu_page *p = vcpu->page;

	p->gpa = gpa;
	p->gprs.rsp = vmread_sure(VMCS_GUEST_RSP);
	p->insn.cr0 = vmread_sure(VMCS_GUEST_CR0); /* what the shadow hides no decoder asks for */
	p->insn.cr3 = vmread_sure(VMCS_GUEST_CR3);
	p->insn.cr4 = vmread_sure(VMCS_GUEST_CR4) & ~CR4_VMXE;
	p->insn.efer = vmread_sure(VMCS_GUEST_EFER);
	p->insn.cs_base = cs & ACCESS_CODE_64 ? 0 : vmread_sure(VMCS_GUEST_CS_BASE);
	p->insn.cs_access = cs;
	p->insn.ss_access = vmread_sure(VMCS_GUEST_SS_ACCESS);
	p->insn.qualification = q;
	p->insn.linear = vmread_sure(VMCS_GUEST_LINEAR_ADDRESS);
	p->insn.linear_valid =
		gpa != ~UINT64_C(0) && (q & EPT_Q_LINEAR_OF_ACCESS) == EPT_Q_LINEAR_OF_ACCESS;
	p->insn.bytes = 0;
	p->insn.io_info = 0;
	p->insn.delivering = delivering;
	/* Code of 32 bits has flat segments, but for the few accesses that the driver asks about.
	 */
	p->insn.segments = !(cs & (ACCESS_CODE_64 | ACCESS_CODE_32));
	if (p->insn.segments)
		vcpu_get_segments(vcpu);
}

static void handle_io(struct vmx_cpu *v, struct vcpu *vcpu, uint64_t rip)
{
	uint64_t q = v->no_bell ? v->qualification : vmread(VMCS_EXIT_QUALIFICATION), rflags;
	uint32_t bytes = (uint32_t)field_get(q, 2, 0) + 1;
	struct hv_vcpu_page *p = vcpu->page;

	if (unlikely(!v->no_bell) && guest_ring_port(vcpu, q)) {
		vmx_skip_instruction();
		return;
	}
	p->io.port = (uint16_t)field_get(q, 31, 16);
	p->io.bytes = (uint8_t)bytes;
	p->io.flags = q & IO_IN ? HV_IO_IN : guest_has.timer ? HV_IO_NO_BELL : 0;
	if (q & IO_STRING) {
		describe_instruction(vcpu, ~UINT64_C(0), q, false);
		p->insn.linear = 0;
		p->insn.bytes = vmread(VMCS_EXIT_INSN_LENGTH);
		p->insn.io_info = vmread(VMCS_EXIT_INSN_INFO);
		vcpu_leave(v, HV_VCPU_EXIT_INSN);
		return;
	}
	p->io.data = (uint32_t)p->gprs.rax & io_mask(bytes);
	rflags = vmread_sure(VMCS_GUEST_RFLAGS);
	p->rflags = rflags;
	p->rip = vmx_finish_at(rip, vmread_sure(VMCS_EXIT_INSN_LENGTH), rflags);
	vcpu_leave_told(v, HV_VCPU_EXIT_PIO);
}

/* NMI blocking that the exiting IRET had lifted comes back (SDM 3C "Information About NMI
 * Unblocking Due to IRET"). */
static void restore_nmi_blocking(uint64_t q)
{
	if ((q & NMI_UNBLOCKED_BY_IRET) && !(vmread(VMCS_IDT_VECTORING) & INTR_VALID))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
}

static void handle_ept_violation(struct vmx_cpu *v, struct vcpu *vcpu, bool delivering)
{
	uint64_t q = vmread_sure(VMCS_EXIT_QUALIFICATION);
	uint64_t gpa = vmread_sure(VMCS_GUEST_PHYSICAL_ADDRESS);

	if (!v->no_bell && guest_ring_memory(vcpu)) {
		vmx_skip_instruction();
		return;
	}
	restore_nmi_blocking(q);
	if ((q & EPT_Q_FETCH) && virt_vm_fetch(vcpu->vm, GPA(gpa)))
		return;
	describe_instruction(vcpu, gpa, q, delivering);
	vcpu_leave(v, HV_VCPU_EXIT_INSN);
}

static void handle_apic_access(struct vmx_cpu *v, struct vcpu *vcpu, bool delivering)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);

	describe_instruction(vcpu, VLAPIC_DEFAULT_BASE + APIC_ACCESS_OFFSET(q), q, delivering);
	vcpu->page->insn.linear_valid = 0;
	vcpu_leave(v, HV_VCPU_EXIT_INSN);
}

static void handle_apic_write(struct vmx_cpu *v, struct vcpu *vcpu)
{
	struct vlapic_effect effect = {0};
	enum hv_vcpu_exit exit;

	vlapic_write_trapped(&vcpu->lapic,
			     (uint32_t)APIC_ACCESS_OFFSET(vmread(VMCS_EXIT_QUALIFICATION)),
			     vcpu_tsc(vcpu), &effect);
	if (guest_apic_effect(vcpu, &effect, &exit))
		vcpu_leave(v, exit);
}

static void stop(struct vmx_cpu *v, struct vcpu *vcpu, enum hv_vcpu_exit exit, const char *what)
{
	struct hv_vcpu_page *p = vcpu->page;

	p->reason = vmread(VMCS_EXIT_REASON);
	p->qualification = vmread(VMCS_EXIT_QUALIFICATION);
	snprintf(
		p->text, sizeof(p->text),
		"%s (exit reason %#lx, qualification %#lx, RIP %#lx, CR0 %#lx, CR3 %#lx, CR4 %#lx, GPA %#lx)",
		what, p->reason, p->qualification, vmread(VMCS_GUEST_RIP), vmread(VMCS_GUEST_CR0),
		vmread(VMCS_GUEST_CR3), vmread(VMCS_GUEST_CR4),
		vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	log_info("VM %x vCPU %u stops: %s", vcpu->vm->handle, vcpu->index, what);
	vcpu_leave(v, exit);
}

static void handle_debug(struct vcpu *vcpu, uint32_t info, uint64_t q)
{
	/* Delivery ends the shadow; entry would refuse it together with single-stepping. */
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
		vmread(VMCS_GUEST_INTERRUPTIBILITY) &
			~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD); /* as delivery clears it */
	if (INTR_TYPE(info) == INTR_TYPE_PRIV_SOFT) { /* INT1: no word in DR6, returns behind it */
		vmwrite(VMCS_ENTRY_INTERRUPTION, INTR_VALID | INTR_TYPE_PRIV_SOFT | VECTOR_DB);
		vmwrite(VMCS_ENTRY_INSN_LENGTH, vmread(VMCS_EXIT_INSN_LENGTH));
		return;
	}
	/* DR6 takes what the qualification says; the processor has not written it. */
	vcpu->dr[4] = ((vcpu->dr_live ? read_dr6() : vcpu->dr[4]) & ~UINT64_C(0xf)) | (q & 0x600f);
	if (vcpu->dr_live)
		write_dr6(vcpu->dr[4]);
	guest_fault(VECTOR_DB, -1);
}

static void handle_exception(struct vmx_cpu *v, struct vcpu *vcpu)
{
	uint32_t info = vmread(VMCS_EXIT_INTERRUPTION);
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);

	restore_nmi_blocking(info);
	switch (INTR_VECTOR(info)) {
	case VECTOR_NMI:
		v->nmi_owed = true;
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		break;
	case VECTOR_MC:
		v->mce_owed = true;
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		break;
	case VECTOR_DB:
		handle_debug(vcpu, info, q);
		break;
	case VECTOR_AC:
		guest_fault(VECTOR_AC, vmread(VMCS_EXIT_ERROR_CODE));
		break;
	default:
		stop(v, vcpu, HV_VCPU_EXIT_INTERNAL, "unexpected exception exit");
	}
}

/* The switch delivers the event that led to it, if one did: it is not injected again. */
static void handle_task_switch(struct vmx_cpu *v, struct vcpu *vcpu)
{
	struct hv_vcpu_page *p = vcpu->page;

	p->qualification = vmread(VMCS_EXIT_QUALIFICATION);
	p->insn.bytes = vmread(VMCS_EXIT_INSN_LENGTH);
	p->task.vectoring = vmread(VMCS_IDT_VECTORING);
	p->task.error = vmread(VMCS_IDT_VECTORING_ERROR);
	vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
	vcpu_leave(v, HV_VCPU_EXIT_TASK);
}

static void set_ple_window(struct vcpu *vcpu, uint32_t ticks)
{
	vcpu->ple_window = ticks;
	vmwrite(VMCS_PLE_WINDOW, ticks);
}

/* --- dispatch --- */

/* Returns RIP. */
static uint64_t record(struct vmx_cpu *v, struct vcpu *vcpu, uint32_t reason)
{
	struct hv_exit_record *r = &v->ring[v->ring_head++ % EXIT_RING];

	*r = (struct hv_exit_record){.tsc = rdtsc(),
				     .rip = vmread_sure(VMCS_GUEST_RIP),
				     .reason = (uint16_t)reason,
				     .vm = vcpu->vm->slot,
				     .vcpu = (uint16_t)vcpu->index};
	if (reason < HV_EXIT_REASONS) {
		v->stats.guest_exits[reason]++;
		vcpu->stats.exits[reason]++;
	}
	vcpu->page->exits++;
	return r->rip;
}

static void handle_other(struct vmx_cpu *v, struct vcpu *vcpu, struct hv_gprs *g, uint32_t reason)
{
	bool delivering = vmx_reinject_vectoring();

	switch (reason) {
	case VMX_EXIT_CPUID:
		guest_cpuid(vcpu, g);
		vmx_skip_instruction();
		break;
	case VMX_EXIT_EXTERNAL_INTERRUPT:
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		break;
	case VMX_EXIT_EXCEPTION_NMI:
		handle_exception(v, vcpu);
		break;
	case VMX_EXIT_TRIPLE_FAULT:
		vcpu_leave(v, HV_VCPU_EXIT_SHUTDOWN);
		break;
	case VMX_EXIT_INIT: /* of the physical CPU: the control domain's, or a crash that stops us
			     */
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		control_init(v);
		break;
	case VMX_EXIT_INTERRUPT_WINDOW:
	case VMX_EXIT_NMI_WINDOW:
	case VMX_EXIT_TPR_BELOW_THRESHOLD:
		break; /* vcpu_prepare() does it */
	case VMX_EXIT_PREEMPTION_TIMER:
		vcpu->timer_rests = false;
		break;
	case VMX_EXIT_HLT:
		vmx_skip_instruction();
		vcpu->activity = HV_ACTIVITY_HALTED;
		if (vcpu->ple_window > PLE_WINDOW_TICKS)
			set_ple_window(vcpu, PLE_WINDOW_TICKS);
		break;
	case VMX_EXIT_PAUSE:
		/* A guest that spins for long on end is measuring time, not waiting for a
		 * neighbour. */
		set_ple_window(vcpu, (uint32_t)min_u64(vcpu->ple_window * 2, PLE_WINDOW_MAX));
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		break;
	case VMX_EXIT_INVD:
	case VMX_EXIT_WBINVD:
		vmx_skip_instruction(); /* guest memory is coherent: there is nothing to write back
					   for it */
		break;
	case VMX_EXIT_VMCALL:
		g->rax = KVM_NO_SUCH_CALL;
		vmx_skip_instruction();
		break;
	case VMX_EXIT_CR_ACCESS:
		guest_cr(vcpu, g);
		break;
	case VMX_EXIT_MOV_DR:
		guest_mov_dr(v, vcpu);
		break;
	case VMX_EXIT_RDMSR:
	case VMX_EXIT_WRMSR:
		guest_msr(vcpu, g, reason == VMX_EXIT_WRMSR);
		break;
	case VMX_EXIT_XSETBV:
		guest_xsetbv(vcpu, g);
		break;
	case VMX_EXIT_RDPMC:
		guest_fault(VECTOR_GP, 0);
		break;
	case VMX_EXIT_GETSEC:
	case VMX_EXIT_MWAIT:
	case VMX_EXIT_MONITOR:
	case VMX_EXIT_VMCLEAR ... VMX_EXIT_VMXON:
	case VMX_EXIT_INVEPT:
	case VMX_EXIT_INVVPID:
	case VMX_EXIT_VMFUNC:
	case VMX_EXIT_ENCLS:
	case VMX_EXIT_PCONFIG:
	case VMX_EXIT_SEAMCALL: /* these two exit whether or not anything asks for it */
	case VMX_EXIT_TDCALL:
		guest_fault(VECTOR_UD, -1);
		break;
	case VMX_EXIT_EPT_VIOLATION:
		handle_ept_violation(v, vcpu, delivering);
		break;
	case VMX_EXIT_APIC_ACCESS:
		handle_apic_access(v, vcpu, delivering);
		break;
	case VMX_EXIT_APIC_WRITE:
		handle_apic_write(v, vcpu);
		break;
	case VMX_EXIT_VIRTUALIZED_EOI:
		vcpu->page->vector = vmread(VMCS_EXIT_QUALIFICATION) & 0xff;
		vcpu_leave(v, HV_VCPU_EXIT_EOI);
		break;
	case VMX_EXIT_TASK_SWITCH:
		handle_task_switch(v, vcpu);
		break;
	case VMX_EXIT_MACHINE_CHECK_ON_ENTRY:
		v->mce_owed = true;
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		break;
	default:
		stop(v, vcpu, HV_VCPU_EXIT_INTERNAL, "VM exit that is not handled");
	}
}

void vcpu_handle_exit(struct vmx_cpu *v, struct hv_gprs *g)
{
	struct vcpu *vcpu = v->vcpu;
	uint32_t reason = v->reason & 0xffff;
	uint64_t rip = record(v, vcpu, reason);

	if (unlikely(v->reason & BIT64(31))) {
		vcpu_entry_failed(v);
		return;
	}
	if (reason == VMX_EXIT_IO) /* before all others, and it interrupts no delivery */
		handle_io(v, vcpu, rip);
	else
		handle_other(v, vcpu, g, reason);
	if (v->vcpu && vcpu->page->kick)
		vcpu_leave(v, HV_VCPU_EXIT_KICK);
	else if (v->vcpu)
		vcpu_prepare(v, vcpu);
}

void vcpu_entry_failed(struct vmx_cpu *v)
{
	vmcs_dump();
	stop(v, v->vcpu, HV_VCPU_EXIT_FAIL_ENTRY,
	     "VM entry refused: 'hornero log' names the VMCS field");
}
