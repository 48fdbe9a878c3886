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

#define MSR_STAR	   0xc0000081u
#define MSR_TSC		   0x10u
#define MSR_APIC_BASE_	   0x1bu
#define MSR_TSC_ADJUST	   0x3bu
#define MSR_SPEC_CTRL	   0x48u
#define MSR_PRED_CMD	   0x49u
#define MSR_MICROCODE	   0x8bu
#define MSR_ARCH_CAP	   0x10au
#define MSR_FEATURES	   0x140u
#define MSR_MCG_STATUS	   0x17au
#define MSR_X2APIC_FIRST   0x800u
#define MSR_X2APIC_LAST	   0x8ffu
#define MSR_MTRR_VARIABLE  0x200u
#define MTRR_CAP_VALUE	   0x508u /* 8 variable ranges, fixed ranges, WC */
#define FEATURES_LOCKED	   1u
#define MICROCODE_REVISION HV_GUEST_MICROCODE
#define EFER_GUEST	   (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define CPUID_SPEC_CTRL	   7, 3, 26 /* leaf, EDX, bit */
#define CPUID_ARCH_CAP	   7, 3, 29
/* Readable x2APIC registers by offset: id, version, TPR, PPR, LDR, SPIV, ISR to IRR, ESR, ICR, LVT,
 * initial count, divide (SDM 3A "x2APIC Register Address Space"). */
#define X2APIC_FROM_PAGE                                                                           \
	(MASK64(3, 2) | BIT64(8) | BIT64(0xa) | BIT64(0xd) | MASK64(0x28, 0xf) | BIT64(0x30) |     \
	 MASK64(0x38, 0x32) | BIT64(0x3e))

static struct log_limit limit;

enum {
#define X(width, name, encoding) RAW_##name = encoding,
	VMCS_FIELDS(X)
#undef X
};

enum where { CONSTANT, MEMBER, FIELD }; /* of struct vcpu, of the VMCS */
enum write { REFUSED, ANY, ZERO, LOW_32, CANONICAL, MEMORY_TYPES };
enum more { PASSED = 1, LIVE = 2 }; /* no exit; the register holds it while the vCPU runs */

#define AT(member) MEMBER, offsetof(struct vcpu, member)

/* MSRs that are values; the most frequent one first. */
static const struct msr_row {
	uint32_t msr;
	enum where where;
	uint32_t at; /* offset, encoding, or the value */
	enum write write;
	enum more more;
} rows[] = {
	{0x1a0, AT(misc_enable), ANY, 0},
	{0x3a, CONSTANT, FEATURES_LOCKED, REFUSED, 0},
	{0xfe, CONSTANT, MTRR_CAP_VALUE, REFUSED, 0},
	{0x174, FIELD, RAW_GUEST_SYSENTER_CS, ANY, PASSED},
	{0x175, FIELD, RAW_GUEST_SYSENTER_ESP, CANONICAL, PASSED},
	{0x176, FIELD, RAW_GUEST_SYSENTER_EIP, CANONICAL, PASSED},
	{0x1d9, FIELD, RAW_GUEST_DEBUGCTL, ZERO, 0}, /* no branch records, no BTF */
	{0x277, FIELD, RAW_GUEST_PAT, MEMORY_TYPES, PASSED},
	{0x2ff, AT(mtrr_def_type), ANY, 0},
	{0xda0, AT(xss), ZERO, 0}, /* its CPUID offers no supervisor component */
	{0xc0000081, AT(msr[CACHED_STAR]), ANY, LIVE},
	{0xc0000082, AT(msr[CACHED_LSTAR]), CANONICAL, LIVE},
	{0xc0000083, AT(msr[CACHED_CSTAR]), CANONICAL, LIVE},
	{0xc0000084, AT(msr[CACHED_FMASK]), LOW_32, LIVE},
	{0xc0000100, FIELD, RAW_GUEST_ES_BASE + 2 * SEG_FS, CANONICAL, PASSED},
	{0xc0000101, FIELD, RAW_GUEST_ES_BASE + 2 * SEG_GS, CANONICAL, PASSED},
	{0xc0000102, AT(kernel_gs_base), CANONICAL, PASSED},
	{0xc0000103, AT(tsc_aux), LOW_32, LIVE},
};

/* Read by systems that ask nobody whether they exist, and zero: platform id, power-on
 * configuration, SMI count, FSB clock, platform info, features, machine check (none), performance
 * status, thermal, turbo, power limits. */
static const uint16_t zeros[] = {0x17,	       0x2a,  0x34,	      0xcd,  0xce,
				 MSR_FEATURES, 0x179, MSR_MCG_STATUS, 0x198, 0x199,
				 0x19a,	       0x19b, 0x19c,	      0x1ad, 0x606};

static inline const struct msr_row *row_of(uint32_t msr)
{
	for (const struct msr_row *r = rows; r < rows + ARRAY_SIZE(rows); r++)
		if (r->msr == msr)
			return r;
	return NULL;
}

/* Where the MTRR @msr is kept; NULL: it is none. */
static uint64_t *mtrr(struct vcpu *vcpu, uint32_t msr)
{
	static const uint16_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
					 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

	if (msr - MSR_MTRR_VARIABLE < VARIABLE_MTRRS)
		return &vcpu->mtrr[msr - MSR_MTRR_VARIABLE];
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (fixed[i] == msr)
			return &vcpu->mtrr[VARIABLE_MTRRS + i];
	return NULL;
}

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
		open_msr(virt->msr_bitmap[m], MSR_TSC, false); /* TSC offsetting applies */
		for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++)
			if (rows[i / 2].more & PASSED)
				open_msr(virt->msr_bitmap[m], rows[i / 2].msr, i & 1);
	}
	if (!guest_has.apicv)
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
	if (guest_has.apicv && vlapic_enabled(&vcpu->lapic))
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

/* Where struct vcpu has the value of a MEMBER. */
static uint64_t *member(struct vcpu *vcpu, const struct msr_row *r)
{
	return (uint64_t *)((uint8_t *)vcpu + r->at);
}

static uint64_t read_row(struct vcpu *vcpu, const struct msr_row *r)
{
	return r->where == MEMBER  ? *member(vcpu, r)
	       : r->where == FIELD ? vmcs_read_raw(r->at)
				   : r->at;
}

static bool __attribute__((noinline)) read_other(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		return vlapic_x2apic(&vcpu->lapic) &&
		       !vlapic_read(&vcpu->lapic, (msr - MSR_X2APIC_FIRST) * 16, vcpu_tsc(vcpu),
				    value);
	if (mtrr(vcpu, msr)) {
		*value = *mtrr(vcpu, msr);
		return true;
	}
	*value = 0;
	for (size_t i = 0; i < ARRAY_SIZE(zeros); i++)
		if (zeros[i] == msr)
			return true;
	switch (msr) {
	case MSR_TSC:
		*value = vcpu_tsc(vcpu);
		return true;
	case MSR_APIC_BASE_:
		*value = vcpu->lapic.base;
		return true;
	case MSR_TSC_ADJUST:
		*value = vcpu->tsc_adjust;
		return true;
	case MSR_SPEC_CTRL:
		*value = vcpu->spec_ctrl;
		return guest_cpuid_has(&vcpu->cpuid, CPUID_SPEC_CTRL);
	case MSR_MICROCODE:
		*value = MICROCODE_REVISION;
		return true;
	case MSR_ARCH_CAP:
		return guest_cpuid_has(&vcpu->cpuid, CPUID_ARCH_CAP) &&
		       rdmsr_safe(MSR_ARCH_CAP, value);
	case MSR_TSC_DEADLINE:
		*value = vlapic_read_tsc_deadline(&vcpu->lapic, vcpu_tsc(vcpu));
		return true;
	case MSR_EFER:
		*value = vmread(VMCS_GUEST_EFER);
		return true;
	default:
		log_limited(&limit, LOG_DBG, "VM %x: RDMSR %#x: #GP", vcpu->vm->handle, msr);
		return false;
	}
}

bool guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct msr_row *r = row_of(msr);

	if (!r)
		return read_other(vcpu, msr, value);
	*value = read_row(vcpu, r);
	return true;
}

bool guest_rdmsr(struct vcpu *vcpu, struct hv_gprs *g)
{
	const struct msr_row *r = row_of((uint32_t)g->rcx);
	uint64_t value;

	if (r)
		value = read_row(vcpu, r);
	else if (!read_other(vcpu, (uint32_t)g->rcx, &value))
		return false;
	g->rax = (uint32_t)value;
	g->rdx = value >> 32;
	return true;
}

/* TSC_ADJUST tells what the guest did alone. */
static bool move_tsc(struct vcpu *vcpu, uint64_t delta, bool host)
{
	vcpu->tsc_offset += delta;
	vcpu->tsc_adjust += host ? 0 : delta;
	vmwrite(VMCS_TSC_OFFSET, vcpu->tsc_offset);
	vlapic_tsc_moved(&vcpu->lapic, (int64_t)delta);
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

	if (value & ~EFER_GUEST)
		return false;
	if (!host) {
		if ((vmread(VMCS_GUEST_CR0) & CR0_PG) && ((value ^ old) & EFER_LME))
			return false;
		value = (value & ~EFER_LMA) | (old & EFER_LMA);
	}
	vmwrite(VMCS_GUEST_EFER, value);
	vcpu_efer_is(vcpu, value);
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

static bool acceptable(enum write write, uint64_t value)
{
	switch (write) {
	case ZERO:
		return value == 0;
	case LOW_32:
		return !(value >> 32);
	case CANONICAL:
		return canonical(value);
	case MEMORY_TYPES:
		return pat_valid(value);
	default:
		return write != REFUSED;
	}
}

/* While the guest runs the register is live; those of SYSCALL only once it can be used. */
static bool write_live(const struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	return this_vmx()->vcpu != vcpu || (msr - MSR_STAR < CACHED_MSRS && !vcpu->syscall_live) ||
	       wrmsr_safe(msr, value);
}

static bool write_row(struct vcpu *vcpu, const struct msr_row *r, uint64_t value)
{
	if (!acceptable(r->write, value))
		return false;
	if (r->where == MEMBER)
		*member(vcpu, r) = value;
	else if (r->where == FIELD)
		vmcs_write_raw(r->at, value);
	return !(r->more & LIVE) || write_live(vcpu, r->msr, value);
}

bool guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value, bool host)
{
	const struct msr_row *r;

	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		return write_apic(vcpu, msr, value);
	r = row_of(msr);
	if (r)
		return write_row(vcpu, r, value);
	if (mtrr(vcpu, msr)) {
		*mtrr(vcpu, msr) = value;
		return true;
	}
	switch (msr) {
	case MSR_TSC:
		return move_tsc(vcpu, value - vcpu_tsc(vcpu), host);
	case MSR_APIC_BASE_:
		return write_apic_base(vcpu, value, host);
	case MSR_TSC_ADJUST:
		if (!host)
			return move_tsc(vcpu, value - vcpu->tsc_adjust, false);
		vcpu->tsc_adjust = value;
		return true;
	case MSR_SPEC_CTRL:
		if (!guest_cpuid_has(&vcpu->cpuid, CPUID_SPEC_CTRL) || (value & ~UINT64_C(7)))
			return false;
		vcpu->spec_ctrl = value;
		return write_live(vcpu, msr, value);
	case MSR_PRED_CMD:
		if (!guest_cpuid_has(&vcpu->cpuid, CPUID_SPEC_CTRL) || (value & ~UINT64_C(1)))
			return false;
		return !value || host || wrmsr_safe(MSR_PRED_CMD, value);
	case MSR_MICROCODE:
	case MSR_FEATURES:
	case MSR_MCG_STATUS:
		return true;
	case MSR_TSC_DEADLINE:
		vlapic_write_tsc_deadline(&vcpu->lapic, value, vcpu_tsc(vcpu));
		return true;
	case MSR_EFER:
		return write_efer(vcpu, value, host);
	default:
		log_limited(&limit, LOG_DBG, "VM %x: WRMSR %#x: #GP", vcpu->vm->handle, msr);
		return false;
	}
}
