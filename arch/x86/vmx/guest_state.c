// SPDX-License-Identifier: MIT
/*
 * A stopped vCPU's registers, in groups, between VMCS and vCPU page.
 *
 * Setting takes what the driver gives: a combination that the processor refuses shows at the next
 * entry (FAIL_ENTRY names it) and harms nobody else. Only what would fault in the hypervisor itself
 * is checked here.
 */
#include <string.h>

#include <vm.h>
#include <x86/asm.h>
#include <x86/virt.h>
#include <x86/vmx/cr.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define RFLAGS_DEFINED UINT64_C(0x3f7fd5)
#define RFLAGS_ONE     2
#define XCR0_AVX512    UINT64_C(0xe0)

/* As struct hv_sregs has them, from `cs` on: code and data first. */
static const enum vmcs_segment segments[] = {SEG_CS, SEG_DS, SEG_ES, SEG_FS,
					     SEG_GS, SEG_SS, SEG_TR, SEG_LDTR};
#define CODE_AND_DATA 6

/* X(member of struct hv_sregs, VMCS name): what moves as it is. */
#define PLAIN(X)                                                                                   \
	X(gdt.base, GDTR_BASE)                                                                     \
	X(gdt.limit, GDTR_LIMIT)                                                                   \
	X(idt.base, IDTR_BASE)                                                                     \
	X(idt.limit, IDTR_LIMIT)                                                                   \
	X(cr3, CR3)                                                                                \
	X(efer, EFER)                                                                              \
	X(pdpte[0], PDPTE0)                                                                        \
	X(pdpte[1], PDPTE1)                                                                        \
	X(pdpte[2], PDPTE2)                                                                        \
	X(pdpte[3], PDPTE3)
#define GET(member, name) s->member = vmread(VMCS_GUEST_##name);
#define SET(member, name) vmwrite(VMCS_GUEST_##name, s.member);

static void get_segments(struct hv_sregs *s, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		vmcs_get_segment(segments[i], &(&s->cs)[i]);
}

void vcpu_get_segments(struct vcpu *vcpu)
{
	get_segments(&vcpu->page->sregs, CODE_AND_DATA);
}

static void get_sregs(struct vcpu *vcpu)
{
	struct hv_sregs *s = &vcpu->page->sregs;

	get_segments(s, ARRAY_SIZE(segments));
	PLAIN(GET)
	s->cr0 = cr0_read();
	s->cr2 = vcpu->cr2;
	s->cr4 = cr4_read() & ~CR4_VMXE; /* which its mask hides only after CPUID is set */
	s->cr8 = vcpu->lapic.regs[VLAPIC_TPR / 4] >> 4;
	s->apic_base = vcpu->lapic.base;
}

static int set_sregs(struct vcpu *vcpu)
{
	struct hv_sregs s = vcpu->page->sregs;
	uint32_t controls = vmread(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E_GUEST;

	if ((s.cr8 & ~UINT64_C(0xf)) || vlapic_set_base(&vcpu->lapic, s.apic_base, true) < 0)
		return -HV_ERR_INVAL;
	guest_apic_mode(vcpu);
	vlapic_set_tpr(&vcpu->lapic, (uint8_t)(s.cr8 << 4));
	for (unsigned int i = 0; i < ARRAY_SIZE(segments); i++) {
		const struct hv_segment *g = &(&s.cs)[i];

		vmcs_set_segment(segments[i], g->selector, g->base, g->limit, g->access);
	}
	PLAIN(SET)
	vmwrite(VMCS_CR0_SHADOW, s.cr0);
	vmwrite(VMCS_GUEST_CR0, (s.cr0 & ~(CR0_CD | CR0_NW)) | CR0_NE);
	vmwrite(VMCS_CR4_SHADOW, s.cr4);
	vmwrite(VMCS_GUEST_CR4, s.cr4 | CR4_VMXE);
	vmwrite(VMCS_ENTRY_CONTROLS, s.efer & EFER_LMA ? controls | ENTRY_IA32E_GUEST : controls);
	vcpu_efer_is(vcpu, s.efer);
	vcpu_cr4_is(vcpu, s.cr4);
	vcpu->cr2 = s.cr2;
	vcpu->flush_vpid = true;
	return 0;
}

static void get_events(struct vcpu *vcpu)
{
	struct hv_events *e = &vcpu->page->events;

	e->inject = vmread(VMCS_ENTRY_INTERRUPTION);
	e->inject_error = vmread(VMCS_ENTRY_ERROR_CODE);
	e->inject_length = vmread(VMCS_ENTRY_INSN_LENGTH);
	e->nmi_pending = !!(__atomic_load_n(&vcpu->pending, __ATOMIC_RELAXED) & PENDING_NMI);
	e->interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	e->activity = vcpu->activity;
	e->sipi_vector = vcpu->sipi_vector;
	e->pad = 0;
	e->pending_dbg = vmread(VMCS_GUEST_PENDING_DEBUG);
}

static bool events_valid(const struct hv_events *e)
{
	return e->activity <= HV_ACTIVITY_SIPI_RECEIVED && e->sipi_vector <= 0xff;
}

static void set_events(struct vcpu *vcpu, struct hv_events e)
{
	vmwrite(VMCS_ENTRY_INTERRUPTION, e.inject & INTR_VALID ? e.inject : 0);
	vmwrite(VMCS_ENTRY_ERROR_CODE, e.inject_error);
	vmwrite(VMCS_ENTRY_INSN_LENGTH, e.inject_length);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, e.interruptibility);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, e.pending_dbg);
	if (e.nmi_pending)
		__atomic_fetch_or(&vcpu->pending, PENDING_NMI, __ATOMIC_RELEASE);
	else
		__atomic_fetch_and(&vcpu->pending, ~(uint32_t)PENDING_NMI, __ATOMIC_RELEASE);
	vcpu->sipi_vector = (uint8_t)e.sipi_vector;
	vcpu->activity = e.activity;
	if (e.activity == HV_ACTIVITY_SIPI_RECEIVED) {
		vcpu->activity = HV_ACTIVITY_WAIT_SIPI;
		__atomic_fetch_or(&vcpu->pending, PENDING_SIPI, __ATOMIC_RELEASE);
	}
}

/* What XSETBV would refuse (SDM 1 "Managing State Using the XSAVE Feature Set"). */
static bool xcr0_valid(uint64_t x)
{
	if (!guest_has.xcr0)
		return x <= 1;
	if ((x & ~guest_has.xcr0) || !(x & 1) || ((x & 4) && !(x & 2)))
		return false;
	return !(x & XCR0_AVX512) || ((x & XCR0_AVX512) == XCR0_AVX512 && (x & 4));
}

void virt_vcpu_get(struct vcpu *vcpu, uint32_t groups)
{
	struct hv_vcpu_page *p = vcpu->page;

	vcpu_take_changes(vcpu);
	p->gprs.rsp = vmread(VMCS_GUEST_RSP);
	if (groups & HV_GROUP_REGS) {
		p->rip = vmread(VMCS_GUEST_RIP);
		p->rflags = vmread(VMCS_GUEST_RFLAGS);
	}
	if (groups & HV_GROUP_SREGS)
		get_sregs(vcpu);
	if (groups & HV_GROUP_DEBUG) {
		memcpy(p->debug.dr, vcpu->dr, sizeof(p->debug.dr));
		p->debug.dr6 = vcpu->dr[4];
		p->debug.dr7 = vmread(VMCS_GUEST_DR7);
	}
	if (groups & HV_GROUP_EVENTS)
		get_events(vcpu);
	if (groups & HV_GROUP_LAPIC) {
		vlapic_merge(&vcpu->lapic);
		vlapic_get_state(&vcpu->lapic, p->lapic, false, vcpu_tsc(vcpu));
	}
	if (groups & HV_GROUP_FPU) {
		p->xcr0 = vcpu->xcr0;
		p->xss = vcpu->xss;
	}
}

int virt_vcpu_set(struct vcpu *vcpu, uint32_t groups)
{
	struct hv_vcpu_page *p = vcpu->page;
	struct hv_events events = p->events;
	uint64_t xcr0 = p->xcr0;

	if (((groups & HV_GROUP_FPU) && !xcr0_valid(xcr0)) ||
	    ((groups & HV_GROUP_EVENTS) && !events_valid(&events)))
		return -HV_ERR_INVAL;
	/* The last thing that can be refused; then it has changed nothing either. */
	if ((groups & HV_GROUP_SREGS) && set_sregs(vcpu) < 0)
		return -HV_ERR_INVAL;
	if (groups & HV_GROUP_FPU)
		vcpu->xcr0 = xcr0;
	if (groups & HV_GROUP_REGS) {
		vmwrite(VMCS_GUEST_RSP, p->gprs.rsp);
		vmwrite(VMCS_GUEST_RIP, p->rip);
		vmwrite(VMCS_GUEST_RFLAGS, (p->rflags & RFLAGS_DEFINED) | RFLAGS_ONE);
	}
	if (groups & HV_GROUP_DEBUG) {
		/* Values that MOV to DR6 and DR7 would fault on are cut. */
		memcpy(vcpu->dr, p->debug.dr, sizeof(p->debug.dr));
		vcpu->dr[4] = (uint32_t)p->debug.dr6;
		vmwrite(VMCS_GUEST_DR7, (uint32_t)p->debug.dr7);
	}
	if (groups & HV_GROUP_EVENTS)
		set_events(vcpu, events);
	if (groups & HV_GROUP_LAPIC) {
		uint8_t image[sizeof(p->lapic)];

		memcpy(image, p->lapic, sizeof(image));
		vlapic_set_state(&vcpu->lapic, image, vcpu_tsc(vcpu));
	}
	return 0;
}
