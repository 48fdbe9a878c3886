// SPDX-License-Identifier: MIT
/*
 * Instructions of guests that exit and are carried out here: CPUID, XSETBV, CR and DR accesses,
 * RDMSR and WRMSR.
 */
#include <string.h>

#include <vm.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/vmx/cr.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define VECTOR_GP	13
#define CR_NUMBER(q)	((unsigned int)field_get((q), 3, 0))
#define CR_TYPE(q)	((unsigned int)field_get((q), 5, 4))
#define CR_REGISTER(q)	((unsigned int)field_get((q), 11, 8))
#define CR_LMSW_DATA(q) field_get((q), 31, 16)
#define LMSW_BITS	UINT64_C(0xf)

void guest_cpuid(const struct vcpu *vcpu, struct hv_gprs *g)
{
	cpuid_store(g, guest_cpuid_answer(&vcpu->cpuid, (uint32_t)g->rax, (uint32_t)g->rcx,
					  vmread(VMCS_GUEST_CR4), vcpu->xcr0));
}

/* Step over an instruction that was carried out; else it faults. */
static void skip_or_fault(bool done)
{
	if (done)
		vmx_skip_instruction();
	else
		guest_fault(VECTOR_GP, 0);
}

void guest_xsetbv(struct vcpu *vcpu, struct hv_gprs *g)
{
	uint64_t value = (uint32_t)g->rax | g->rdx << 32;
	uint32_t cpl = (vmread(VMCS_GUEST_SS_ACCESS) >> 5) & 3;
	bool ok = vcpu->xcr0_live && !cpl && !(value & ~guest_has.xcr0) &&
		  xsetbv_safe((uint32_t)g->rcx, value);

	if (ok)
		vcpu->xcr0 = value;
	skip_or_fault(ok);
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
		if (!cr4_write(value, vcpu->cr4_allowed, read_guest_pdptes, vcpu))
			return false;
		vcpu_cr4_is(vcpu, value);
		return true;
	case 8:
		if (value & ~UINT64_C(0xf))
			return false;
		vlapic_set_tpr(&vcpu->lapic, (uint8_t)(value << 4));
		return true;
	default:
		return false;
	}
}

void guest_cr(struct vcpu *vcpu, struct hv_gprs *g)
{
	uint64_t q = vmread(VMCS_EXIT_QUALIFICATION), value;
	bool ok = true;

	switch (CR_TYPE(q)) {
	case 0: /* MOV to CR */
		ok = write_cr(vcpu, CR_NUMBER(q), gpr(g, CR_REGISTER(q)));
		break;
	case 1: /* MOV from CR8; others do not exit */
		set_gpr(g, CR_REGISTER(q), vcpu->lapic.regs[VLAPIC_TPR / 4] >> 4);
		break;
	case 2: /* CLTS */
		ok = write_cr(vcpu, 0, cr0_read() & ~CR0_TS);
		break;
	default: /* LMSW: cannot clear PE */
		value = CR_LMSW_DATA(q) & LMSW_BITS;
		ok = write_cr(vcpu, 0, (cr0_read() & ~(LMSW_BITS & ~CR0_PE)) | value);
		break;
	}
	skip_or_fault(ok);
}

/* The first use of debug registers makes them the guest's until its reset; then MOV DR does not
 * exit. */
void guest_mov_dr(struct vmx_cpu *v, struct vcpu *vcpu)
{
	vcpu->dr_live = true;
	vcpu_debug_load(v, vcpu);
	vmwrite(VMCS_CPU_CONTROLS, vmread(VMCS_CPU_CONTROLS) & ~CPU_MOV_DR_EXITING);
}

void guest_msr(struct vcpu *vcpu, struct hv_gprs *g, bool write)
{
	skip_or_fault(write ? guest_msr_write(vcpu, (uint32_t)g->rcx,
					      (uint32_t)g->rax | g->rdx << 32, false)
			    : guest_rdmsr(vcpu, g));
}
