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

#define XSAVE_BV	512
#define XSAVE_BV_FP_SSE 3u

/* What both sides name alike; of struct kvm_fpu, where the legacy area has it. */
#define GPR_LIST(X)                                                                                \
	X(rax)                                                                                     \
	X(rbx)                                                                                     \
	X(rcx)                                                                                     \
	X(rdx)                                                                                     \
	X(rsi)                                                                                     \
	X(rdi)                                                                                     \
	X(rsp)                                                                                     \
	X(rbp)                                                                                     \
	X(r8)                                                                                      \
	X(r9)                                                                                      \
	X(r10)                                                                                     \
	X(r11)                                                                                     \
	X(r12)                                                                                     \
	X(r13)                                                                                     \
	X(r14)                                                                                     \
	X(r15)
#define SEGMENT_LIST(X) X(cs) X(ds) X(es) X(fs) X(gs) X(ss) X(tr) X(ldt)
#define TABLE_LIST(X)	X(gdt) X(idt)
#define CONTROL_LIST(X) X(cr0) X(cr2) X(cr3) X(cr4) X(cr8) X(efer) X(apic_base)
#define FPU_LIST(X)                                                                                \
	X(fcw, 0)                                                                                  \
	X(fsw, 2)                                                                                  \
	X(ftwx, 4)                                                                                 \
	X(last_opcode, 6)                                                                          \
	X(last_ip, 8)                                                                              \
	X(last_dp, 16)                                                                             \
	X(mxcsr, 24)                                                                               \
	X(fpr, 32)                                                                                 \
	X(xmm, 160)

void convert_regs_to_kvm(const struct hv_gprs *gprs, struct kvm_regs *kvm)
{
#define X(name) kvm->name = gprs->name;
	GPR_LIST(X)
#undef X
}

void convert_regs_from_kvm(const struct kvm_regs *kvm, struct hv_gprs *gprs)
{
#define X(name) gprs->name = kvm->name;
	GPR_LIST(X)
#undef X
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
#define X(name) kvm->name = segment_to_kvm(&sregs->name);
	SEGMENT_LIST(X)
#undef X
#define X(name) kvm->name = table_to_kvm(&sregs->name);
	TABLE_LIST(X)
#undef X
#define X(name) kvm->name = sregs->name;
	CONTROL_LIST(X)
#undef X
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
#define X(name) sregs->name = segment_from_kvm(&kvm->name);
	SEGMENT_LIST(X)
#undef X
#define X(name) sregs->name = table_from_kvm(&kvm->name);
	TABLE_LIST(X)
#undef X
#define X(name) sregs->name = kvm->name;
	CONTROL_LIST(X)
#undef X
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
#define X(name, at) memcpy(&kvm->name, xsave + (at), sizeof(kvm->name));
	FPU_LIST(X)
#undef X
}

void convert_fpu_from_kvm(const struct kvm_fpu *kvm, uint8_t *xsave)
{
#define X(name, at) memcpy(xsave + (at), &kvm->name, sizeof(kvm->name));
	FPU_LIST(X)
#undef X
	xsave[XSAVE_BV] |= XSAVE_BV_FP_SSE;
}
