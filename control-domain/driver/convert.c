// SPDX-License-Identifier: GPL-2.0-only
/*
 * Register layouts: VMX's access rights (SDM 3C "Guest Register State"), interruption information
 * (SDM 3C "VM-Entry Controls for Event Injection") and the legacy XSAVE area (SDM 1 "Legacy Region
 * of an XSAVE Area"), to and from KVM's structures.
 */
#include "convert.h"

#define ACCESS_UNUSABLE (1u << 16)

#define INJECT_VALID	  (1u << 31)
#define INJECT_HAS_ERROR  (1u << 11)
#define INJECT_TYPE(info) ((info) >> 8 & 7)
#define INJECT_VECTOR	  0xffu

enum inject_type {
	INJECT_EXTERNAL = 0,
	INJECT_NMI = 2,
	INJECT_EXCEPTION = 3,
	INJECT_SOFT_INTERRUPT = 4,
	INJECT_SOFT_EXCEPTION = 6,
};

#define BLOCKED_BY_STI	  1u
#define BLOCKED_BY_MOV_SS 2u
#define BLOCKED_BY_NMI	  8u

#define CR0_PG	     (1ull << 31)
#define CR4_PAE	     (1ull << 5)
#define EFER_LME_BIT (1ull << 8)
#define EFER_LMA_BIT (1ull << 10)
#define EFER_KNOWN   (1ull | EFER_LME_BIT | EFER_LMA_BIT | 1ull << 11) /* SCE, LME, LMA, NXE */

#define XSAVE_FCW	0
#define XSAVE_FSW	2
#define XSAVE_FTW	4
#define XSAVE_FOP	6
#define XSAVE_FIP	8
#define XSAVE_FDP	16
#define XSAVE_MXCSR	24
#define XSAVE_ST	32
#define XSAVE_XMM	160
#define XSAVE_BV	512
#define XSAVE_BV_FP_SSE 3u

void convert_regs_to_kvm(const struct hv_gprs *gprs, struct kvm_regs *kvm)
{
	kvm->rax = gprs->rax;
	kvm->rbx = gprs->rbx;
	kvm->rcx = gprs->rcx;
	kvm->rdx = gprs->rdx;
	kvm->rsi = gprs->rsi;
	kvm->rdi = gprs->rdi;
	kvm->rsp = gprs->rsp;
	kvm->rbp = gprs->rbp;
	kvm->r8 = gprs->r8;
	kvm->r9 = gprs->r9;
	kvm->r10 = gprs->r10;
	kvm->r11 = gprs->r11;
	kvm->r12 = gprs->r12;
	kvm->r13 = gprs->r13;
	kvm->r14 = gprs->r14;
	kvm->r15 = gprs->r15;
}

void convert_regs_from_kvm(const struct kvm_regs *kvm, struct hv_gprs *gprs)
{
	*gprs = (struct hv_gprs){
		.rax = kvm->rax,
		.rbx = kvm->rbx,
		.rcx = kvm->rcx,
		.rdx = kvm->rdx,
		.rsi = kvm->rsi,
		.rdi = kvm->rdi,
		.rsp = kvm->rsp,
		.rbp = kvm->rbp,
		.r8 = kvm->r8,
		.r9 = kvm->r9,
		.r10 = kvm->r10,
		.r11 = kvm->r11,
		.r12 = kvm->r12,
		.r13 = kvm->r13,
		.r14 = kvm->r14,
		.r15 = kvm->r15,
	};
}

static struct kvm_segment segment_to_kvm(const struct hv_segment *segment)
{
	uint32_t access = segment->access;

	return (struct kvm_segment){
		.base = segment->base,
		.limit = segment->limit,
		.selector = segment->selector,
		.type = access & 15,
		.s = access >> 4 & 1,
		.dpl = access >> 5 & 3,
		.present = access >> 7 & 1,
		.avl = access >> 12 & 1,
		.l = access >> 13 & 1,
		.db = access >> 14 & 1,
		.g = access >> 15 & 1,
		.unusable = !!(access & ACCESS_UNUSABLE),
	};
}

/* As KVM does, a segment that is not present is not usable either. */
static struct hv_segment segment_from_kvm(const struct kvm_segment *kvm)
{
	uint32_t access = (kvm->type & 15u) | (kvm->s & 1u) << 4 | (kvm->dpl & 3u) << 5 |
			  (kvm->present & 1u) << 7 | (kvm->avl & 1u) << 12 | (kvm->l & 1u) << 13 |
			  (kvm->db & 1u) << 14 | (kvm->g & 1u) << 15;

	if (kvm->unusable || !kvm->present)
		access = ACCESS_UNUSABLE;
	return (struct hv_segment){
		.base = kvm->base,
		.limit = kvm->limit,
		.selector = kvm->selector,
		.access = access,
	};
}

static struct kvm_dtable table_to_kvm(const struct hv_table *table)
{
	return (struct kvm_dtable){.base = table->base, .limit = table->limit};
}

static struct hv_table table_from_kvm(const struct kvm_dtable *kvm)
{
	return (struct hv_table){.base = kvm->base, .limit = kvm->limit};
}

void convert_sregs_to_kvm(const struct hv_sregs *sregs, struct kvm_sregs *kvm)
{
	memset(kvm, 0, sizeof(*kvm));
	kvm->cs = segment_to_kvm(&sregs->cs);
	kvm->ds = segment_to_kvm(&sregs->ds);
	kvm->es = segment_to_kvm(&sregs->es);
	kvm->fs = segment_to_kvm(&sregs->fs);
	kvm->gs = segment_to_kvm(&sregs->gs);
	kvm->ss = segment_to_kvm(&sregs->ss);
	kvm->tr = segment_to_kvm(&sregs->tr);
	kvm->ldt = segment_to_kvm(&sregs->ldt);
	kvm->gdt = table_to_kvm(&sregs->gdt);
	kvm->idt = table_to_kvm(&sregs->idt);
	kvm->cr0 = sregs->cr0;
	kvm->cr2 = sregs->cr2;
	kvm->cr3 = sregs->cr3;
	kvm->cr4 = sregs->cr4;
	kvm->cr8 = sregs->cr8;
	kvm->efer = sregs->efer;
	kvm->apic_base = sregs->apic_base;
}

bool convert_sregs_valid(const struct kvm_sregs *kvm, uint64_t cr4_allowed)
{
	bool paging = kvm->cr0 & CR0_PG, active = kvm->efer & EFER_LMA_BIT;

	if (kvm->cr4 & ~cr4_allowed || kvm->efer & ~EFER_KNOWN)
		return false;
	if (kvm->efer & EFER_LME_BIT && paging)
		return kvm->cr4 & CR4_PAE && active;
	return !active && !kvm->cs.l;
}

void convert_sregs_from_kvm(const struct kvm_sregs *kvm, struct hv_sregs *sregs)
{
	memset(sregs, 0, sizeof(*sregs));
	sregs->cs = segment_from_kvm(&kvm->cs);
	sregs->ds = segment_from_kvm(&kvm->ds);
	sregs->es = segment_from_kvm(&kvm->es);
	sregs->fs = segment_from_kvm(&kvm->fs);
	sregs->gs = segment_from_kvm(&kvm->gs);
	sregs->ss = segment_from_kvm(&kvm->ss);
	sregs->tr = segment_from_kvm(&kvm->tr);
	sregs->ldt = segment_from_kvm(&kvm->ldt);
	sregs->gdt = table_from_kvm(&kvm->gdt);
	sregs->idt = table_from_kvm(&kvm->idt);
	sregs->cr0 = kvm->cr0;
	sregs->cr2 = kvm->cr2;
	sregs->cr3 = kvm->cr3;
	sregs->cr4 = kvm->cr4;
	sregs->cr8 = kvm->cr8;
	sregs->efer = kvm->efer;
	sregs->apic_base = kvm->apic_base;
}

static bool injects(const struct hv_events *events, enum inject_type type)
{
	return events->inject & INJECT_VALID && INJECT_TYPE(events->inject) == type;
}

static void inject(struct hv_events *events, enum inject_type type, uint32_t vector)
{
	events->inject = INJECT_VALID | (uint32_t)type << 8 | (vector & INJECT_VECTOR);
}

void convert_interrupt_to_kvm(const struct hv_events *events, uint64_t bitmap[4])
{
	uint32_t vector = events->inject & INJECT_VECTOR;

	memset(bitmap, 0, 4 * sizeof(*bitmap));
	if (injects(events, INJECT_EXTERNAL))
		bitmap[vector / 64] = 1ull << (vector % 64);
}

void convert_interrupt_from_kvm(const uint64_t bitmap[4], struct hv_events *events)
{
	uint32_t vector;

	for (vector = 0; vector < 256; vector++) {
		if (bitmap[vector / 64] >> (vector % 64) & 1) {
			inject(events, INJECT_EXTERNAL, vector);
			return;
		}
	}
}

void convert_events_to_kvm(const struct hv_events *events, struct kvm_vcpu_events *kvm)
{
	memset(kvm, 0, sizeof(*kvm));
	if (injects(events, INJECT_EXCEPTION) || injects(events, INJECT_SOFT_EXCEPTION)) {
		kvm->exception.injected = 1;
		kvm->exception.nr = events->inject & INJECT_VECTOR;
		kvm->exception.has_error_code = !!(events->inject & INJECT_HAS_ERROR);
		kvm->exception.error_code = events->inject_error;
	}
	if (injects(events, INJECT_EXTERNAL) || injects(events, INJECT_SOFT_INTERRUPT)) {
		kvm->interrupt.injected = 1;
		kvm->interrupt.nr = events->inject & INJECT_VECTOR;
		kvm->interrupt.soft = injects(events, INJECT_SOFT_INTERRUPT);
	}
	if (events->interruptibility & BLOCKED_BY_STI)
		kvm->interrupt.shadow |= KVM_X86_SHADOW_INT_STI;
	if (events->interruptibility & BLOCKED_BY_MOV_SS)
		kvm->interrupt.shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	kvm->nmi.injected = injects(events, INJECT_NMI);
	kvm->nmi.pending = !!events->nmi_pending;
	kvm->nmi.masked = !!(events->interruptibility & BLOCKED_BY_NMI);
	kvm->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
}

/* #BP and #OF by INT3 and INTO are software exceptions, the others are hardware ones. */
static void inject_exception(struct hv_events *events, const struct kvm_vcpu_events *kvm)
{
	bool soft = kvm->exception.nr == 3 || kvm->exception.nr == 4;

	inject(events, soft ? INJECT_SOFT_EXCEPTION : INJECT_EXCEPTION, kvm->exception.nr);
	if (soft)
		events->inject_length = 1;
	if (kvm->exception.has_error_code) {
		events->inject |= INJECT_HAS_ERROR;
		events->inject_error = kvm->exception.error_code;
	}
}

bool convert_events_from_kvm(const struct kvm_vcpu_events *kvm, struct hv_events *events)
{
	const uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW;

	if (kvm->flags & ~known || kvm->exception.nr > 31)
		return false;
	events->inject = 0;
	events->inject_error = 0;
	events->inject_length = 0;
	if (kvm->exception.injected) {
		inject_exception(events, kvm);
	} else if (kvm->nmi.injected) {
		inject(events, INJECT_NMI, 2);
	} else if (kvm->interrupt.injected) {
		inject(events, kvm->interrupt.soft ? INJECT_SOFT_INTERRUPT : INJECT_EXTERNAL,
		       kvm->interrupt.nr);
		events->inject_length = kvm->interrupt.soft ? 2 : 0;
	}
	if (kvm->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		events->nmi_pending = !!kvm->nmi.pending;
	if (kvm->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		events->sipi_vector = kvm->sipi_vector & 0xff;
	events->interruptibility &= ~BLOCKED_BY_NMI;
	if (kvm->nmi.masked)
		events->interruptibility |= BLOCKED_BY_NMI;
	if (kvm->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		events->interruptibility &= ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
		if (kvm->interrupt.shadow & KVM_X86_SHADOW_INT_STI)
			events->interruptibility |= BLOCKED_BY_STI;
		if (kvm->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS)
			events->interruptibility |= BLOCKED_BY_MOV_SS;
	}
	return true;
}

uint32_t convert_activity_to_kvm(uint32_t activity)
{
	switch (activity) {
	case HV_ACTIVITY_HALTED:
		return KVM_MP_STATE_HALTED;
	case HV_ACTIVITY_WAIT_SIPI:
		return KVM_MP_STATE_UNINITIALIZED;
	case HV_ACTIVITY_SIPI_RECEIVED:
		return KVM_MP_STATE_SIPI_RECEIVED;
	default:
		return KVM_MP_STATE_RUNNABLE;
	}
}

bool convert_activity_from_kvm(uint32_t mp_state, uint32_t *activity)
{
	switch (mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		*activity = HV_ACTIVITY_RUN;
		return true;
	case KVM_MP_STATE_HALTED:
		*activity = HV_ACTIVITY_HALTED;
		return true;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
		*activity = HV_ACTIVITY_WAIT_SIPI;
		return true;
	case KVM_MP_STATE_SIPI_RECEIVED:
		*activity = HV_ACTIVITY_SIPI_RECEIVED;
		return true;
	default:
		return false;
	}
}

void convert_fpu_to_kvm(const uint8_t *xsave, struct kvm_fpu *kvm)
{
	memset(kvm, 0, sizeof(*kvm));
	memcpy(&kvm->fcw, xsave + XSAVE_FCW, sizeof(kvm->fcw));
	memcpy(&kvm->fsw, xsave + XSAVE_FSW, sizeof(kvm->fsw));
	memcpy(&kvm->ftwx, xsave + XSAVE_FTW, sizeof(kvm->ftwx));
	memcpy(&kvm->last_opcode, xsave + XSAVE_FOP, sizeof(kvm->last_opcode));
	memcpy(&kvm->last_ip, xsave + XSAVE_FIP, sizeof(kvm->last_ip));
	memcpy(&kvm->last_dp, xsave + XSAVE_FDP, sizeof(kvm->last_dp));
	memcpy(&kvm->mxcsr, xsave + XSAVE_MXCSR, sizeof(kvm->mxcsr));
	memcpy(kvm->fpr, xsave + XSAVE_ST, sizeof(kvm->fpr));
	memcpy(kvm->xmm, xsave + XSAVE_XMM, sizeof(kvm->xmm));
}

void convert_fpu_from_kvm(const struct kvm_fpu *kvm, uint8_t *xsave)
{
	memcpy(xsave + XSAVE_FCW, &kvm->fcw, sizeof(kvm->fcw));
	memcpy(xsave + XSAVE_FSW, &kvm->fsw, sizeof(kvm->fsw));
	memcpy(xsave + XSAVE_FTW, &kvm->ftwx, sizeof(kvm->ftwx));
	memcpy(xsave + XSAVE_FOP, &kvm->last_opcode, sizeof(kvm->last_opcode));
	memcpy(xsave + XSAVE_FIP, &kvm->last_ip, sizeof(kvm->last_ip));
	memcpy(xsave + XSAVE_FDP, &kvm->last_dp, sizeof(kvm->last_dp));
	memcpy(xsave + XSAVE_MXCSR, &kvm->mxcsr, sizeof(kvm->mxcsr));
	memcpy(xsave + XSAVE_ST, kvm->fpr, sizeof(kvm->fpr));
	memcpy(xsave + XSAVE_XMM, kvm->xmm, sizeof(kvm->xmm));
	xsave[XSAVE_BV] |= XSAVE_BV_FP_SSE;
}
