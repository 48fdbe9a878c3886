// SPDX-License-Identifier: MIT
/*
 * VM exits of guests.
 *
 * Each exit ends in one of three ways: settled here and the guest goes on; the stay ends with a
 * code for the driver (abi/vcpu.h); or the guest gets the exception that hardware would give it. An
 * exit that nobody expects ends the VM with a description: it never resumes and never stops the
 * host.
 *
 * CPUID is answered from the VM's own table; it is never executed here.
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
#define CR_NUMBER(q)	      ((unsigned int)field_get((q), 3, 0))
#define CR_TYPE(q)	      ((unsigned int)field_get((q), 5, 4))
#define CR_REGISTER(q)	      ((unsigned int)field_get((q), 11, 8))
#define CR_LMSW_DATA(q)	      field_get((q), 31, 16)
#define PLE_WINDOW_MAX	      (1u << 24)
#define DR_NUMBER(q)	      ((unsigned int)field_get((q), 2, 0))
#define LMSW_BITS	      UINT64_C(0xf)
#define EPT_Q_LINEAR_OF_ACCESS                                                                     \
	(BIT64(7) | BIT64(8)) /* valid, and of the access itself, not a page walk */
#define LEAF_XSAVE	      0xdu
#define XSAVE_LEGACY_BYTES    576u
#define DR7_GD		      BIT64(13)
#define NMI_UNBLOCKED_BY_IRET BIT64(12)

/* --- instructions that the hypervisor answers --- */

static const struct hv_cpuid *cpuid_find(const struct vcpu *vcpu, uint32_t function, uint32_t index)
{
	uint32_t low = 0, high = vcpu->cpuids;

	while (low < high) {
		uint32_t mid = (low + high) / 2;
		const struct hv_cpuid *e = &vcpu->cpuid[mid];

		if (e->function < function ||
		    (e->function == function && (e->flags & 1) && e->index < index))
			low = mid + 1;
		else
			high = mid;
	}
	if (low < vcpu->cpuids && vcpu->cpuid[low].function == function &&
	    (!(vcpu->cpuid[low].flags & 1) || vcpu->cpuid[low].index == index))
		return &vcpu->cpuid[low];
	return NULL;
}

/* What XSAVE takes with the components that XCR0 enables now: legacy area and header, and up to the
 * end of the last one (SDM 2A "CPUID", leaf 0DH). */
static uint32_t xsave_bytes(const struct vcpu *vcpu)
{
	uint32_t bytes = XSAVE_LEGACY_BYTES;

	for (uint64_t left = vcpu->xcr0 & ~UINT64_C(3); left; left &= left - 1) {
		const struct hv_cpuid *e =
			cpuid_find(vcpu, LEAF_XSAVE, (uint32_t)__builtin_ctzll(left));

		if (e && e->ebx + e->eax > bytes)
			bytes = e->ebx + e->eax;
	}
	return bytes;
}

static void handle_cpuid(struct vcpu *vcpu, struct hv_gprs *g)
{
	uint32_t function = (uint32_t)g->rax, index = (uint32_t)g->rcx;
	const struct hv_cpuid *e = cpuid_find(vcpu, function, index);
	uint32_t ecx = 0;

	/* Beyond the highest basic leaf the processor gives that leaf's data (SDM 2A "CPUID"). */
	if (!e && vcpu->cpuids && function < 0x40000000u && function > vcpu->cpuid[0].eax)
		e = cpuid_find(vcpu, function = vcpu->cpuid[0].eax, (uint32_t)g->rcx);
	if (e) {
		ecx = e->ecx;
		if (function == 1)
			ecx = (ecx & ~(uint32_t)BIT64(27)) |
			      (vmread(VMCS_GUEST_CR4) & BIT64(18) ? (uint32_t)BIT64(27) : 0);
		else if (function == 7 && (uint32_t)g->rcx == 0)
			ecx = (ecx & ~(uint32_t)BIT64(4)) |
			      (vmread(VMCS_GUEST_CR4) & BIT64(22) ? (uint32_t)BIT64(4) : 0);
	}
	g->rax = e ? e->eax : 0;
	g->rbx = e ? e->ebx : 0;
	g->rcx = ecx;
	g->rdx = e ? e->edx : 0;
	if (e && function == LEAF_XSAVE && index == 0)
		g->rbx = xsave_bytes(vcpu);
	vmx_skip_instruction();
}

static void handle_xsetbv(struct vcpu *vcpu, struct hv_gprs *g)
{
	uint64_t value = (uint32_t)g->rax | g->rdx << 32;
	uint32_t cpl = (vmread(VMCS_GUEST_SS_ACCESS) >> 5) & 3;

	if (cpl || (value & ~vcpu_xcr0_allowed()) || !xsetbv_safe((uint32_t)g->rcx, value)) {
		guest_fault(VECTOR_GP, 0);
		return;
	}
	vcpu->xcr0 = value;
	vmx_skip_instruction();
}

/* The PDPTEs of a PAE guest: the one thing that the hypervisor reads from guest memory, 32 bytes.
 */
static bool read_guest_pdptes(void *ctx, gpa_t at, uint64_t out[4])
{
	const struct vcpu *vcpu = ctx;
	struct ept_leaf leaf;
	const uint8_t *page;

	if (!ept_lookup(&vcpu->vm->virt->ept, at, &leaf))
		return false;
	page = window_open(HPA(align_down(leaf.hpa.v, PAGE_SIZE)));
	memcpy(out, page + (leaf.hpa.v & (PAGE_SIZE - 1)), 4 * sizeof(*out));
	window_close();
	return true;
}

/* CR4 bits that the guest may set: those it owns and VMXE's absence. */
static uint64_t cr4_allowed(void)
{
	return ~vmread(VMCS_CR4_MASK);
}

static uint64_t gpr(const struct hv_gprs *g, unsigned int r)
{
	return r == 4 ? vmread(VMCS_GUEST_RSP) : ((const uint64_t *)g)[r];
}

static void set_gpr(struct hv_gprs *g, unsigned int r, uint64_t value)
{
	if (r == 4)
		vmwrite(VMCS_GUEST_RSP, value);
	else
		((uint64_t *)g)[r] = value;
}

static bool write_cr(struct vcpu *vcpu, unsigned int number, uint64_t value)
{
	switch (number) {
	case 0:
		return cr0_write(value, CR0_NE | CR0_CD | CR0_NW, read_guest_pdptes, vcpu);
	case 4:
		return cr4_write(value, cr4_allowed(), read_guest_pdptes, vcpu);
	case 8:
		if (value & ~UINT64_C(0xf))
			return false;
		vlapic_set_tpr(&vcpu->lapic, (uint8_t)(value << 4));
		return true;
	default:
		return false;
	}
}

static void handle_cr(struct vcpu *vcpu, struct hv_gprs *g)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION), shadow = vmread(VMCS_CR0_SHADOW), value;
	uint64_t cr0 = (vmread(VMCS_GUEST_CR0) & ~vmread(VMCS_CR0_MASK)) |
		       (shadow & vmread(VMCS_CR0_MASK));
	bool ok = true;

	switch (CR_TYPE(q)) {
	case 0: /* MOV to CR */
		ok = write_cr(vcpu, CR_NUMBER(q), gpr(g, CR_REGISTER(q)));
		break;
	case 1: /* MOV from CR8; others do not exit */
		value = vcpu->lapic.regs[VLAPIC_TPR / 4] >> 4;
		set_gpr(g, CR_REGISTER(q), value);
		break;
	case 2: /* CLTS */
		ok = write_cr(vcpu, 0, cr0 & ~CR0_TS);
		break;
	default: /* LMSW: cannot clear PE */
		value = CR_LMSW_DATA(q) & LMSW_BITS;
		ok = write_cr(vcpu, 0, (cr0 & ~(LMSW_BITS & ~CR0_PE)) | value);
		break;
	}
	if (ok)
		vmx_skip_instruction();
	else
		guest_fault(VECTOR_GP, 0);
}

/* The first use of debug registers makes them the guest's until its reset; then MOV DR does not
 * exit. */
static void handle_mov_dr(struct vmx_cpu *v, struct vcpu *vcpu)
{
	vcpu->dr_live = true;
	vcpu_debug_load(v, vcpu);
	vmwrite(VMCS_CPU_CONTROLS, vmread(VMCS_CPU_CONTROLS) & ~CPU_MOV_DR_EXITING);
}

static void handle_msr(struct vcpu *vcpu, struct hv_gprs *g, bool write)
{
	uint32_t msr = (uint32_t)g->rcx;
	uint64_t value = (uint32_t)g->rax | g->rdx << 32;

	if (write ? !guest_msr_write(vcpu, msr, value, false)
		  : !guest_msr_read(vcpu, msr, &value)) {
		guest_fault(VECTOR_GP, 0);
		return;
	}
	if (!write) {
		g->rax = (uint32_t)value;
		g->rdx = value >> 32;
	}
	vmx_skip_instruction();
}

/* --- exits for the driver --- */

static void describe_instruction(struct vcpu *vcpu, uint64_t gpa)
{
	struct hv_vcpu_page *p = vcpu->page;
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);

	p->gpa = gpa;
	p->gprs.rsp = vmread(VMCS_GUEST_RSP);
	p->insn.cr0 = (vmread(VMCS_GUEST_CR0) & ~vmread(VMCS_CR0_MASK)) |
		      (vmread(VMCS_CR0_SHADOW) & vmread(VMCS_CR0_MASK));
	p->insn.cr3 = vmread(VMCS_GUEST_CR3);
	p->insn.cr4 = vmread(VMCS_GUEST_CR4) & ~CR4_VMXE;
	p->insn.efer = vmread(VMCS_GUEST_EFER);
	p->insn.cs_base = vmread(VMCS_GUEST_CS_BASE);
	p->insn.cs_access = vmread(VMCS_GUEST_CS_ACCESS);
	p->insn.ss_access = vmread(VMCS_GUEST_SS_ACCESS);
	p->insn.qualification = q;
	p->insn.linear = vmread(VMCS_GUEST_LINEAR_ADDRESS);
	p->insn.linear_valid =
		gpa != ~UINT64_C(0) && (q & EPT_Q_LINEAR_OF_ACCESS) == EPT_Q_LINEAR_OF_ACCESS;
	p->insn.bytes = 0;
	p->insn.io_info = 0;
}

static void handle_io(struct vmx_cpu *v, struct vcpu *vcpu)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);
	struct hv_vcpu_page *p = vcpu->page;

	p->io.port = (uint16_t)field_get(q, 31, 16);
	p->io.bytes = (uint8_t)(field_get(q, 2, 0) + 1);
	p->io.flags = q & IO_IN ? HV_IO_IN : 0;
	if (q & IO_STRING) {
		describe_instruction(vcpu, ~UINT64_C(0));
		p->insn.linear = 0;
		p->insn.bytes = vmread(VMCS_EXIT_INSN_LENGTH);
		p->insn.io_info = vmread(VMCS_EXIT_INSN_INFO);
		vcpu_leave(v, HV_VCPU_EXIT_INSN);
		return;
	}
	p->io.data = (uint32_t)p->gprs.rax & (uint32_t)MASK64(8 * p->io.bytes - 1, 0);
	vmx_skip_instruction();
	vcpu_leave(v, HV_VCPU_EXIT_PIO);
}

/* NMI blocking that the exiting IRET had lifted comes back (SDM 3C "Information About NMI
 * Unblocking Due to IRET"). */
static void restore_nmi_blocking(uint64_t q)
{
	if ((q & NMI_UNBLOCKED_BY_IRET) && !(vmread(VMCS_IDT_VECTORING) & INTR_VALID))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
}

static void handle_ept_violation(struct vmx_cpu *v, struct vcpu *vcpu)
{
	restore_nmi_blocking(vmread(VMCS_EXIT_QUALIFICATION));
	describe_instruction(vcpu, vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	vcpu_leave(v, HV_VCPU_EXIT_INSN);
}

static void handle_apic_access(struct vmx_cpu *v, struct vcpu *vcpu)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION);

	describe_instruction(vcpu, VLAPIC_DEFAULT_BASE + APIC_ACCESS_OFFSET(q));
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
	vcpu->dr6 = ((vcpu->dr_live ? read_dr6() : vcpu->dr6) & ~UINT64_C(0xf)) | (q & 0x600f);
	if (vcpu->dr_live)
		write_dr6(vcpu->dr6);
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

/* --- dispatch --- */

static void record(struct vmx_cpu *v, struct vcpu *vcpu, uint32_t reason)
{
	struct hv_exit_record *r = &v->ring[v->ring_head++ % EXIT_RING];

	r->tsc = rdtsc();
	r->rip = vmread(VMCS_GUEST_RIP);
	r->qualification = 0;
	r->reason = (uint16_t)reason;
	r->vm = vcpu->vm->slot;
	r->vcpu = (uint16_t)vcpu->index;
	r->action = 0;
	if (reason < HV_EXIT_REASONS) {
		v->stats.guest_exits[reason]++;
		vcpu->stats.exits[reason]++;
	}
	vcpu->page->exits++;
}

void vcpu_handle_exit(struct vmx_cpu *v, struct hv_gprs *g)
{
	struct vcpu *vcpu = v->vcpu;
	uint32_t full = vmread(VMCS_EXIT_REASON), reason = full & 0xffff;

	record(v, vcpu, reason);
	if (unlikely(full & BIT64(31))) {
		vcpu_entry_failed(v);
		return;
	}
	vmx_reinject_vectoring();
	switch (reason) {
	case VMX_EXIT_CPUID:
		handle_cpuid(vcpu, g);
		break;
	case VMX_EXIT_EXTERNAL_INTERRUPT:
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		return;
	case VMX_EXIT_EXCEPTION_NMI:
		handle_exception(v, vcpu);
		break;
	case VMX_EXIT_TRIPLE_FAULT:
		vcpu_leave(v, HV_VCPU_EXIT_SHUTDOWN);
		return;
	case VMX_EXIT_INIT: /* of the physical CPU: the control domain's, or a crash that stops us
			     */
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		control_init(v);
		return;
	case VMX_EXIT_INTERRUPT_WINDOW:
	case VMX_EXIT_NMI_WINDOW:
	case VMX_EXIT_TPR_BELOW_THRESHOLD:
	case VMX_EXIT_PREEMPTION_TIMER:
		break; /* vcpu_prepare() does it */
	case VMX_EXIT_HLT:
		vmx_skip_instruction();
		vcpu->activity = HV_ACTIVITY_HALTED;
		if (vcpu->ple_window > PLE_WINDOW_TICKS &&
		    vmx_caps_has(&vmx_caps, VMX_OPT_PAUSE_LOOP)) {
			vcpu->ple_window = PLE_WINDOW_TICKS;
			vmwrite(VMCS_PLE_WINDOW, vcpu->ple_window);
		}
		break;
	case VMX_EXIT_PAUSE:
		/* A guest that spins for long on end is measuring time, not waiting for a
		 * neighbour. */
		vcpu->ple_window =
			vcpu->ple_window < PLE_WINDOW_MAX ? vcpu->ple_window * 2 : PLE_WINDOW_MAX;
		vmwrite(VMCS_PLE_WINDOW, vcpu->ple_window);
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		return;
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
		handle_cr(vcpu, g);
		break;
	case VMX_EXIT_MOV_DR:
		handle_mov_dr(v, vcpu);
		break;
	case VMX_EXIT_IO:
		handle_io(v, vcpu);
		return;
	case VMX_EXIT_RDMSR:
		handle_msr(vcpu, g, false);
		break;
	case VMX_EXIT_WRMSR:
		handle_msr(vcpu, g, true);
		break;
	case VMX_EXIT_XSETBV:
		handle_xsetbv(vcpu, g);
		break;
	case VMX_EXIT_RDPMC:
		guest_fault(VECTOR_GP, 0);
		break;
	case VMX_EXIT_GETSEC:
	case VMX_EXIT_MWAIT:
	case VMX_EXIT_MONITOR:
	case VMX_EXIT_VMCLEAR:
	case VMX_EXIT_VMLAUNCH:
	case VMX_EXIT_VMPTRLD:
	case VMX_EXIT_VMPTRST:
	case VMX_EXIT_VMREAD:
	case VMX_EXIT_VMRESUME:
	case VMX_EXIT_VMWRITE:
	case VMX_EXIT_VMXOFF:
	case VMX_EXIT_VMXON:
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
		handle_ept_violation(v, vcpu);
		return;
	case VMX_EXIT_APIC_ACCESS:
		handle_apic_access(v, vcpu);
		return;
	case VMX_EXIT_APIC_WRITE:
		handle_apic_write(v, vcpu);
		break;
	case VMX_EXIT_VIRTUALIZED_EOI:
		vcpu->page->vector = vmread(VMCS_EXIT_QUALIFICATION) & 0xff;
		vcpu_leave(v, HV_VCPU_EXIT_EOI);
		return;
	case VMX_EXIT_TASK_SWITCH:
		stop(v, vcpu, HV_VCPU_EXIT_INTERNAL,
		     "hardware task switch, which is not supported");
		return;
	case VMX_EXIT_MACHINE_CHECK_ON_ENTRY:
		v->mce_owed = true;
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
		return;
	default:
		stop(v, vcpu, HV_VCPU_EXIT_INTERNAL, "VM exit that is not handled");
		return;
	}
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
