// SPDX-License-Identifier: MIT
/*
 * The MSRs of a guest.
 *
 * Three kinds: switched by the VMCS or on entry, and passed through (no exit); the local APIC's;
 * and those kept here as plain values, most of which exist only because systems read them without
 * asking. All others fault, as on a processor that lacks them. Source: SDM 4 "Model-Specific
 * Registers"; SDM 3C "MSR-Bitmap Address".
 */
#define LOG_TAG "guest"
#include <string.h>

#include <abi/hypercall.h>
#include <log.h>
#include <vm.h>
#include <x86/asm.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define MSR_TSC		   0x10u
#define MSR_APIC_BASE_	   0x1bu
#define MSR_TSC_ADJUST	   0x3bu
#define MSR_SPEC_CTRL	   0x48u
#define MSR_PRED_CMD	   0x49u
#define MSR_MICROCODE	   0x8bu
#define MSR_MTRRCAP	   0xfeu
#define MSR_ARCH_CAP	   0x10au
#define MSR_SYSENTER_CS	   0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_MCG_CAP	   0x179u
#define MSR_MCG_STATUS	   0x17au
#define MSR_MISC_ENABLE	   0x1a0u
#define MSR_DEBUGCTL	   0x1d9u
#define MSR_MTRR_DEF_TYPE  0x2ffu
#define MSR_TSC_DEADLINE   0x6e0u
#define MSR_X2APIC_FIRST   0x800u
#define MSR_X2APIC_LAST	   0x8ffu
#define MSR_XSS		   0xda0u
#define MSR_STAR	   0xc0000081u
#define MSR_FMASK	   0xc0000084u
#define MSR_TSC_AUX	   0xc0000103u
#define MTRR_VARIABLE_LAST 0x20fu
#define MTRR_CAP_VALUE	   UINT64_C(0x508)		/* 8 variable ranges, fixed ranges, WC */
#define MICROCODE_REVISION (UINT64_C(0xffffffff) << 32) /* newer than any that Linux mistrusts */
#define EFER_GUEST	   (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
/* Readable x2APIC registers by offset: id, version, TPR, PPR, LDR, SPIV, ISR to IRR, ESR, ICR, LVT,
 * initial count, divide (SDM 3A "x2APIC Register Address Space"). */
#define X2APIC_FROM_PAGE                                                                           \
	(MASK64(3, 2) | BIT64(8) | BIT64(0xa) | BIT64(0xd) | MASK64(0x28, 0xf) | BIT64(0x30) |     \
	 MASK64(0x38, 0x32) | BIT64(0x3e))
#define LOCKED_OFF 1
#define LEAF_7	   7

static struct log_limit limit;

/* Passed through, both directions unless @read_only; what they hold is switched. */
static const struct {
	uint32_t msr;
	bool read_only;
} passed[] = {
	{MSR_TSC, true}, /* TSC offsetting applies */
	{MSR_SYSENTER_CS, false}, {MSR_SYSENTER_ESP, false}, {MSR_SYSENTER_EIP, false},
	{MSR_FS_BASE, false},	  {MSR_GS_BASE, false},	     {MSR_KERNEL_GS_BASE, false},
	{MSR_PAT, false},
};

static void open_msr(uint8_t *bitmap, uint32_t msr, bool write)
{
	uint32_t byte = (msr & 0x1fff) / 8 + (msr >= 0xc0000000u ? 1024 : 0) + (write ? 2048 : 0);

	bitmap[byte] &= (uint8_t) ~(1u << (msr & 7));
}

void guest_msr_bitmaps(struct virt_vm *virt)
{
	uint32_t apic[] = {VLAPIC_TPR, VLAPIC_EOI, VLAPIC_SELF_IPI};

	for (unsigned int m = 0; m < 2; m++) {
		memset(virt->msr_bitmap[m], 0xff, PAGE_SIZE);
		for (size_t i = 0; i < ARRAY_SIZE(passed); i++) {
			open_msr(virt->msr_bitmap[m], passed[i].msr, false);
			if (!passed[i].read_only)
				open_msr(virt->msr_bitmap[m], passed[i].msr, true);
		}
	}
	if (!apicv_in_use())
		return;
	/* x2APIC mode: the processor answers reads from the page, and it answers for registers that
	 * do not exist too: those fault, so they exit, like the timer's running count. */
	for (uint32_t reg = 0; reg < 64; reg++)
		if (X2APIC_FROM_PAGE & BIT64(reg))
			open_msr(virt->msr_bitmap[1], MSR_X2APIC_FIRST + reg, false);
	for (size_t i = 0; i < ARRAY_SIZE(apic); i++)
		open_msr(virt->msr_bitmap[1], VLAPIC_X2APIC_MSR + apic[i] / 16, true);
}

void guest_apic_mode(struct vcpu *vcpu)
{
	bool x2 = vlapic_x2apic(&vcpu->lapic);
	uint32_t c = vmread(VMCS_CPU2_CONTROLS) & ~(CPU2_APIC_ACCESSES | CPU2_X2APIC_MODE);

	vmwrite(VMCS_MSR_BITMAP, vm_hpa(vcpu->vm->virt->msr_bitmap[x2]).v);
	if (apicv_in_use() && vlapic_enabled(&vcpu->lapic))
		c |= x2 ? CPU2_X2APIC_MODE : CPU2_APIC_ACCESSES;
	if (c != vmread(VMCS_CPU2_CONTROLS)) {
		vmwrite(VMCS_CPU2_CONTROLS, c);
		vcpu->flush_vpid = true; /* translations of the APIC page */
	}
}

bool guest_apic_effect(struct vcpu *vcpu, const struct vlapic_effect *e, enum hv_vcpu_exit *exit)
{
	if (e->send)
		vcpu->page->kick |= vm_deliver(vcpu->vm, vcpu, &e->message);
	if (e->eoi) {
		vcpu->page->vector = e->eoi_vector;
		*exit = HV_VCPU_EXIT_EOI;
		return true;
	}
	return false;
}

/* Index into vcpu->mtrr, or -1. */
static int mtrr_index(uint32_t msr)
{
	static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
					 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

	if (msr >= 0x200 && msr <= MTRR_VARIABLE_LAST)
		return (int)(msr - 0x200);
	for (unsigned int i = 0; i < ARRAY_SIZE(fixed); i++)
		if (fixed[i] == msr)
			return (int)(16 + i);
	return -1;
}

static bool has_cpuid_bit(const struct vcpu *vcpu, uint32_t edx_bit)
{
	for (uint32_t i = 0; i < vcpu->cpuids; i++)
		if (vcpu->cpuid[i].function == LEAF_7 && vcpu->cpuid[i].index == 0)
			return vcpu->cpuid[i].edx & BIT64(edx_bit);
	return false;
}

static bool apic_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	return vlapic_x2apic(&vcpu->lapic) &&
	       vlapic_read(&vcpu->lapic, (msr - MSR_X2APIC_FIRST) * 16, vcpu_tsc(vcpu), value) == 0;
}

bool guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	int i = mtrr_index(msr);

	*value = 0;
	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		return apic_read(vcpu, msr, value);
	if (msr >= MSR_STAR && msr <= MSR_FMASK) {
		*value = vcpu->msr[msr - MSR_STAR];
		return true;
	}
	if (i >= 0) {
		*value = vcpu->mtrr[i];
		return true;
	}
	switch (msr) {
	case MSR_TSC:
		*value = vcpu_tsc(vcpu);
		return true;
	case MSR_APIC_BASE_:
		*value = vcpu->lapic.base;
		return true;
	case MSR_IA32_FEATURE_CONTROL:
		*value = LOCKED_OFF;
		return true;
	case MSR_TSC_ADJUST:
		*value = vcpu->tsc_adjust;
		return true;
	case MSR_SPEC_CTRL:
		*value = vcpu->spec_ctrl;
		return has_cpuid_bit(vcpu, 26);
	case MSR_MICROCODE:
		*value = MICROCODE_REVISION;
		return true;
	case MSR_MTRRCAP:
		*value = MTRR_CAP_VALUE;
		return true;
	case MSR_ARCH_CAP:
		return has_cpuid_bit(vcpu, 29) && rdmsr_safe(MSR_ARCH_CAP, value);
	case MSR_SYSENTER_CS:
		*value = vmread(VMCS_GUEST_SYSENTER_CS);
		return true;
	case MSR_SYSENTER_ESP:
		*value = vmread(VMCS_GUEST_SYSENTER_ESP);
		return true;
	case MSR_SYSENTER_EIP:
		*value = vmread(VMCS_GUEST_SYSENTER_EIP);
		return true;
	case MSR_MISC_ENABLE:
		*value = vcpu->misc_enable;
		return true;
	case MSR_DEBUGCTL:
		*value = vmread(VMCS_GUEST_DEBUGCTL);
		return true;
	case MSR_PAT:
		*value = vmread(VMCS_GUEST_PAT);
		return true;
	case MSR_MTRR_DEF_TYPE:
		*value = vcpu->mtrr_def_type;
		return true;
	case MSR_TSC_DEADLINE:
		*value = vlapic_read_tsc_deadline(&vcpu->lapic, vcpu_tsc(vcpu));
		return true;
	case MSR_XSS:
		*value = vcpu->xss;
		return true;
	case MSR_EFER:
		*value = vmread(VMCS_GUEST_EFER);
		return true;
	case MSR_FS_BASE:
		*value = vmread(VMCS_GUEST_FS_BASE);
		return true;
	case MSR_GS_BASE:
		*value = vmread(VMCS_GUEST_GS_BASE);
		return true;
	case MSR_KERNEL_GS_BASE:
		*value = vcpu->kernel_gs_base;
		return true;
	case MSR_TSC_AUX:
		*value = vcpu->tsc_aux;
		return true;
	/* Read by systems that ask nobody whether they exist: platform id, power-on configuration,
	 * FSB clock, platform info, features, machine check (none), performance status, thermal,
	 * power limits. */
	case 0x17:
	case 0x2a:
	case 0x34:
	case 0xcd:
	case 0xce:
	case 0x140:
	case MSR_MCG_CAP:
	case MSR_MCG_STATUS:
	case 0x198:
	case 0x199:
	case 0x19a:
	case 0x19b:
	case 0x19c:
	case 0x1ad:
	case 0x606:
		return true;
	default:
		log_limited(&limit, LOG_DBG, "VM %x: RDMSR %#x: #GP", vcpu->vm->handle, msr);
		return false;
	}
}

static bool write_tsc(struct vcpu *vcpu, uint64_t value)
{
	int64_t delta = (int64_t)(value - vcpu_tsc(vcpu));

	vcpu->tsc_offset += (uint64_t)delta;
	vcpu->tsc_adjust += (uint64_t)delta;
	vmwrite(VMCS_TSC_OFFSET, vcpu->tsc_offset);
	vlapic_tsc_moved(&vcpu->lapic, delta);
	return true;
}

static bool write_tsc_adjust(struct vcpu *vcpu, uint64_t value, bool host)
{
	int64_t delta = (int64_t)(value - vcpu->tsc_adjust);

	vcpu->tsc_adjust = value;
	if (!host) {
		vcpu->tsc_offset += (uint64_t)delta;
		vmwrite(VMCS_TSC_OFFSET, vcpu->tsc_offset);
		vlapic_tsc_moved(&vcpu->lapic, delta);
	}
	return true;
}

static bool write_apic_base(struct vcpu *vcpu, uint64_t value, bool host)
{
	if (vlapic_set_base(&vcpu->lapic, value, host) < 0)
		return false;
	guest_apic_mode(vcpu);
	return true;
}

static bool write_apic(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct vlapic_effect effect = {0};
	enum hv_vcpu_exit exit;

	if (!vlapic_x2apic(&vcpu->lapic) ||
	    vlapic_write(&vcpu->lapic, (msr - MSR_X2APIC_FIRST) * 16, value, vcpu_tsc(vcpu),
			 &effect) < 0)
		return false;
	if (guest_apic_effect(vcpu, &effect, &exit))
		vcpu->eoi_due = true;
	return true;
}

/* EFER by MSR: LMA follows paging, not this write; LME must not change under paging. */
static bool write_efer(struct vcpu *vcpu, uint64_t value, bool host)
{
	uint64_t old = vmread(VMCS_GUEST_EFER);

	(void)vcpu;
	if (value & ~EFER_GUEST)
		return false;
	if (!host) {
		if ((vmread(VMCS_GUEST_CR0) & CR0_PG) && ((value ^ old) & EFER_LME))
			return false;
		value = (value & ~EFER_LMA) | (old & EFER_LMA);
	}
	vmwrite(VMCS_GUEST_EFER, value);
	return true;
}

static bool pat_valid(uint64_t v)
{
	for (unsigned int i = 0; i < 64; i += 8) {
		uint64_t type = (v >> i) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool canonical(uint64_t v)
{
	return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

bool guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value, bool host)
{
	int i = mtrr_index(msr);

	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		return write_apic(vcpu, msr, value);
	if (i >= 0) {
		vcpu->mtrr[i] = value;
		return true;
	}
	switch (msr) {
	case MSR_TSC:
		return write_tsc(vcpu, value);
	case MSR_APIC_BASE_:
		return write_apic_base(vcpu, value, host);
	case MSR_TSC_ADJUST:
		return write_tsc_adjust(vcpu, value, host);
	case MSR_SPEC_CTRL:
		if (!has_cpuid_bit(vcpu, 26) || (value & ~UINT64_C(7)))
			return false;
		vcpu->spec_ctrl = value;
		/* While the guest runs the register is live. */
		return this_vmx()->vcpu != vcpu || wrmsr_safe(MSR_SPEC_CTRL, value);
	case MSR_PRED_CMD:
		if (!has_cpuid_bit(vcpu, 26) || (value & ~UINT64_C(1)))
			return false;
		return !value || host || wrmsr_safe(MSR_PRED_CMD, value);
	case MSR_MICROCODE:
	case MSR_MCG_STATUS:
	case 0x140:
		return true;
	case MSR_SYSENTER_CS:
		vmwrite(VMCS_GUEST_SYSENTER_CS, (uint32_t)value);
		return true;
	case MSR_SYSENTER_ESP:
		if (!canonical(value))
			return false;
		vmwrite(VMCS_GUEST_SYSENTER_ESP, value);
		return true;
	case MSR_SYSENTER_EIP:
		if (!canonical(value))
			return false;
		vmwrite(VMCS_GUEST_SYSENTER_EIP, value);
		return true;
	case MSR_MISC_ENABLE:
		vcpu->misc_enable = value;
		return true;
	case MSR_DEBUGCTL: /* neither branch records nor single-step on branches are offered */
		return value == 0;
	case MSR_PAT:
		if (!pat_valid(value))
			return false;
		vmwrite(VMCS_GUEST_PAT, value);
		return true;
	case MSR_MTRR_DEF_TYPE:
		vcpu->mtrr_def_type = value;
		return true;
	case MSR_TSC_DEADLINE:
		vlapic_write_tsc_deadline(&vcpu->lapic, value, vcpu_tsc(vcpu));
		return true;
	case MSR_XSS: /* its CPUID offers no supervisor component */
		return value == 0;
	case MSR_EFER:
		return write_efer(vcpu, value, host);
	case MSR_FS_BASE:
		if (!canonical(value))
			return false;
		vmwrite(VMCS_GUEST_FS_BASE, value);
		return true;
	case MSR_GS_BASE:
		if (!canonical(value))
			return false;
		vmwrite(VMCS_GUEST_GS_BASE, value);
		return true;
	case MSR_KERNEL_GS_BASE:
		if (!canonical(value))
			return false;
		vcpu->kernel_gs_base = value;
		return true;
	case MSR_TSC_AUX:
		if (value >> 32)
			return false;
		vcpu->tsc_aux = value;
		return this_vmx()->vcpu != vcpu || wrmsr_safe(MSR_TSC_AUX, value);
	case MSR_STAR ... MSR_FMASK:
		if ((msr == MSR_STAR + CACHED_LSTAR || msr == MSR_STAR + CACHED_CSTAR) &&
		    !canonical(value))
			return false;
		if (msr == MSR_FMASK && value >> 32)
			return false;
		vcpu->msr[msr - MSR_STAR] = value;
		return this_vmx()->vcpu != vcpu || wrmsr_safe(msr, value);
	default:
		log_limited(&limit, LOG_DBG, "VM %x: WRMSR %#x: #GP", vcpu->vm->handle, msr);
		return false;
	}
}
