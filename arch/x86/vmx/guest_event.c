// SPDX-License-Identifier: MIT
/*
 * Events for a vCPU: what is injected when, and when it sleeps.
 *
 * vcpu_prepare() runs before every entry. It takes what other CPUs posted, brings the timer up to
 * date, and chooses one event by the architecture's priority: an event whose delivery was
 * interrupted first, then what the driver ordered, NMI, external interrupt. What cannot be
 * delivered yet asks for a window exit. Sources: SDM 3C "Event Injection", "Interrupt-Window
 * Exiting and Virtual-Interrupt Delivery"; SDM 3A "Priority Among Concurrent Events".
 */
#include <vm.h>
#include <x86/asm.h>
#include <x86/speculation.h>
#include <x86/virt.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define RFLAGS_IF  BIT64(9)
#define NMI_VECTOR 2
#define SHADOWS	   (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)
#define CR0_PE_BIT BIT64(0)
/* A stay without any exit ends after this many TSC ticks at the latest; Linux's tick is usually
 * first. */
#define LONGEST_STAY BIT64(30)
/* And a timer's end comes no earlier: a period of a few ticks would leave the guest no time, nor
 * the control domain's interrupts, which the timer's exit goes before. */
#define SHORTEST_STAY UINT64_C(2048)
#define QUICK_EXITS   32 /* the last of them takes the long way */

void guest_fault(uint8_t vector, int64_t error)
{
	/* Real mode has no error codes, and VM entry would fail on one. */
	if (!(vmread(VMCS_GUEST_CR0) & CR0_PE_BIT))
		error = -1;
	vmx_inject_exception(vector, error);
}

static void set_cpu_control(uint32_t bit, bool on)
{
	uint32_t c = vmread(VMCS_CPU_CONTROLS), wanted = on ? c | bit : c & ~bit;

	if (wanted != c)
		vmwrite(VMCS_CPU_CONTROLS, wanted);
}

static void apply_changes(struct vcpu *vcpu, uint32_t flags)
{
	const struct hv_vcpu_page *page = vcpu->page;

	if (flags & HV_RUN_REGS_DIRTY) {
		vmwrite(VMCS_GUEST_RSP, page->gprs.rsp);
		vmwrite(VMCS_GUEST_RIP, page->rip);
		vmwrite(VMCS_GUEST_RFLAGS, (page->rflags & UINT64_C(0x3f7fd5)) | 2);
	}
	if (flags & HV_RUN_CLEAR_SHADOW) { /* an instruction was emulated to its end */
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~SHADOWS);
		vmx_trap_single_step(vmread(VMCS_GUEST_RFLAGS));
	}
	if (flags & HV_RUN_INJECT) {
		uint32_t info = page->events.inject;

		/* What an emulated instruction can raise, or a PIC's interrupt after WINDOW. */
		if ((info & INTR_VALID) && INTR_TYPE(info) == INTR_TYPE_EXTERNAL)
			vmwrite(VMCS_ENTRY_INTERRUPTION,
				INTR_VALID | INTR_TYPE_EXTERNAL | INTR_VECTOR(info));
		else if ((info & INTR_VALID) && INTR_TYPE(info) == INTR_TYPE_HARDWARE &&
			 INTR_VECTOR(info) < 32)
			guest_fault(INTR_VECTOR(info), info & INTR_ERROR_CODE
							       ? (int64_t)page->events.inject_error
							       : -1);
	}
}

void vcpu_take_changes(struct vcpu *vcpu)
{
	uint32_t flags = vcpu->page->flags;

	vcpu->page->flags = flags & HV_RUN_WINDOW;
	apply_changes(vcpu, flags);
}

void vcpu_take_orders(struct vcpu *vcpu)
{
	uint32_t flags = vcpu->page->flags;

	vcpu->page->flags = 0;
	vcpu->bell_due = VLAPIC_NEVER; /* rings so far went with the last stay */
	if (vcpu->window && !(flags & HV_RUN_WINDOW))
		set_cpu_control(CPU_INTERRUPT_WINDOW, false);
	vcpu->window = flags & HV_RUN_WINDOW;
	if (flags)
		apply_changes(vcpu, flags);
}

static void take_pending(struct vcpu *vcpu, bool *nmi)
{
	uint32_t pending = __atomic_load_n(&vcpu->pending, __ATOMIC_ACQUIRE);

	*nmi = pending & PENDING_NMI;
	if (likely(!(pending & (PENDING_INIT | PENDING_SIPI))))
		return;
	__atomic_fetch_and(&vcpu->pending, ~(uint32_t)(PENDING_INIT | PENDING_SIPI),
			   __ATOMIC_ACQ_REL);
	if (pending & PENDING_INIT)
		vcpu_reset(vcpu, true);
	if ((pending & PENDING_SIPI) && vcpu->activity == HV_ACTIVITY_WAIT_SIPI)
		vcpu_sipi(vcpu, vcpu->sipi_vector);
}

/* True if nothing is being injected and the guest can take an NMI now. */
static bool nmi_open(void)
{
	return !(vmread(VMCS_ENTRY_INTERRUPTION) & INTR_VALID) &&
	       !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_NMI | SHADOWS));
}

static bool interrupts_open(void)
{
	return (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
	       !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & SHADOWS);
}

static void inject_nmi(struct vcpu *vcpu, bool nmi)
{
	if (likely(!nmi && !vcpu->nmi_window))
		return;
	if (nmi && nmi_open()) {
		__atomic_fetch_and(&vcpu->pending, ~(uint32_t)PENDING_NMI, __ATOMIC_ACQ_REL);
		vmwrite(VMCS_ENTRY_INTERRUPTION, INTR_VALID | INTR_TYPE_NMI | NMI_VECTOR);
		nmi = false;
		vcpu->stats.injected++;
	}
	set_cpu_control(CPU_NMI_WINDOW, nmi);
	vcpu->nmi_window = nmi;
}

/* A PIC's interrupt waits in the driver, and the local APIC would pass it. */
static bool extint_waits(const struct vcpu *vcpu)
{
	return unlikely(vcpu->window) && vlapic_accepts_extint(&vcpu->lapic);
}

static void inject_interrupt(struct vcpu *vcpu)
{
	bool extint = extint_waits(vcpu);
	int vector;

	if (guest_has.apicv) {
		if (unlikely(vcpu->window))
			set_cpu_control(CPU_INTERRUPT_WINDOW, extint);
		if (vcpu->lapic.moved)
			vmwrite(VMCS_GUEST_INTERRUPT_STATUS, vlapic_interrupt_status(&vcpu->lapic));
		return;
	}
	vector = vlapic_next_interrupt(&vcpu->lapic);
	if (vector >= 0 && interrupts_open() && !(vmread(VMCS_ENTRY_INTERRUPTION) & INTR_VALID)) {
		vlapic_ack(&vcpu->lapic, (uint8_t)vector);
		vmwrite(VMCS_ENTRY_INTERRUPTION,
			INTR_VALID | INTR_TYPE_EXTERNAL | (uint32_t)vector);
		vcpu->stats.injected++;
		vector = vlapic_next_interrupt(&vcpu->lapic);
	}
	set_cpu_control(CPU_INTERRUPT_WINDOW, vector >= 0 || extint);
	if (guest_has.tpr_shadow)
		vmwrite(VMCS_TPR_THRESHOLD, vlapic_tpr_threshold(&vcpu->lapic));
}

/* In ticks of the host's TSC; ~0 if the timer is off. */
static uint64_t host_deadline(const struct vcpu *vcpu)
{
	uint64_t d = vlapic_deadline(&vcpu->lapic), host = rdtsc();
	uint64_t guest = host + vcpu->tsc_offset, left = d > guest ? d - guest : 0;

	/* A deadline beyond the end of the host's count is no deadline: it must not wrap to one
	 * that has passed. */
	return d == VLAPIC_NEVER || left > ~host ? ~UINT64_C(0) : host + left;
}

void vcpu_arm_timer(struct vcpu *vcpu, uint64_t now)
{
	uint64_t deadline = min_u64(vlapic_deadline(&vcpu->lapic), vcpu->bell_due);
	bool rests = deadline == VLAPIC_NEVER && guest_has.timer_kept;
	uint64_t ticks;

	vcpu->quick_exits = deadline == VLAPIC_NEVER ? UINT32_MAX : QUICK_EXITS;
	if (!guest_has.timer || (rests && vcpu->timer_rests))
		return; /* without a deadline it only bounds the stay, wherever it has come to */
	vcpu->timer_rests = rests;
	ticks = deadline > now ? min_u64(deadline - now, LONGEST_STAY) : 0;
	if (!guest_has.timer_kept)
		vcpu->quick_exits = 1;
	ticks = max_u64(ticks, SHORTEST_STAY) >> MISC_PREEMPTION_RATE(vmx_caps.misc);
	vmwrite(VMCS_PREEMPTION_TIMER, (uint32_t)ticks + 1);
}

static void take_eoi_exits(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu->eoi_generation = __atomic_load_n(&vm->eoi_generation, __ATOMIC_ACQUIRE);
	for (unsigned int i = 0; i < 4; i++)
		vcpu->lapic.eoi_exit[i] = __atomic_load_n(&vm->eoi_exits[i], __ATOMIC_RELAXED);
	if (!guest_has.apicv)
		return;
	vmwrite(VMCS_EOI_EXIT_BITMAP_0, vcpu->lapic.eoi_exit[0]);
	vmwrite(VMCS_EOI_EXIT_BITMAP_1, vcpu->lapic.eoi_exit[1]);
	vmwrite(VMCS_EOI_EXIT_BITMAP_2, vcpu->lapic.eoi_exit[2]);
	vmwrite(VMCS_EOI_EXIT_BITMAP_3, vcpu->lapic.eoi_exit[3]);
}

/* A halted vCPU goes on for an NMI, an interrupt it would take, or an event being injected. */
static bool wakes(struct vcpu *vcpu, bool posted)
{
	return posted || (vmread(VMCS_ENTRY_INTERRUPTION) & INTR_VALID) ||
	       ((vlapic_has_interrupt(&vcpu->lapic) || extint_waits(vcpu)) &&
		(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF));
}

bool virt_vcpu_has_event(struct vcpu *vcpu)
{
	uint32_t pending = __atomic_load_n(&vcpu->pending, __ATOMIC_SEQ_CST);

	if (vcpu->activity == HV_ACTIVITY_WAIT_SIPI)
		return pending & (PENDING_SIPI | PENDING_INIT);
	return vcpu->activity != HV_ACTIVITY_HALTED || wakes(vcpu, pending);
}

void vcpu_prepare(struct vmx_cpu *v, struct vcpu *vcpu)
{
	bool nmi;

	if (unlikely(vcpu->eoi_due)) {
		vcpu->eoi_due = false;
		vcpu_leave(v, HV_VCPU_EXIT_EOI);
		return;
	}
	if (unlikely(vcpu->bell_due != VLAPIC_NEVER && vcpu->bell_due <= vcpu_tsc(vcpu))) {
		vcpu_leave(v, HV_VCPU_EXIT_DOORBELL);
		return;
	}
	if (unlikely(vcpu->eoi_generation !=
		     __atomic_load_n(&vcpu->vm->eoi_generation, __ATOMIC_ACQUIRE)))
		take_eoi_exits(vcpu);
	take_pending(vcpu, &nmi);
	if (vlapic_deadline(&vcpu->lapic) != VLAPIC_NEVER)
		vlapic_timer(&vcpu->lapic, vcpu_tsc(vcpu));
	vlapic_merge(&vcpu->lapic);
	if (vcpu->activity == HV_ACTIVITY_WAIT_SIPI) {
		vcpu_leave(v, HV_VCPU_EXIT_WAIT_SIPI);
		return;
	}
	if (vcpu->activity == HV_ACTIVITY_HALTED) {
		if (!wakes(vcpu, nmi)) {
			vcpu->page->deadline_tsc = host_deadline(vcpu);
			vcpu_leave(v, HV_VCPU_EXIT_HLT);
			return;
		}
		vcpu->activity = HV_ACTIVITY_RUN;
	}
	inject_nmi(vcpu, nmi);
	if (extint_waits(vcpu) && interrupts_open() &&
	    !(vmread(VMCS_ENTRY_INTERRUPTION) & INTR_VALID)) {
		vcpu_leave(v, HV_VCPU_EXIT_WINDOW);
		return;
	}
	inject_interrupt(vcpu);
	vcpu_arm_timer(vcpu, vcpu_tsc(vcpu));
	speculation_clear_buffers();
}

uint64_t vm_deliver(struct vm *vm, struct vcpu *source, const struct vlapic_message *m)
{
	uint64_t targets = vlapic_route(vm->lapic, HV_MAX_VCPUS, source ? &source->lapic : NULL, m);
	uint64_t kick = 0;

	while (targets) {
		unsigned int i = (unsigned int)__builtin_ctzll(targets);
		struct vcpu *t = vm->vcpu[i];
		uint32_t bit = 0;

		targets &= targets - 1;
		switch (vlapic_deliver(&t->lapic, m)) {
		case VLAPIC_NOTHING:
			continue;
		case VLAPIC_NOTIFY:
			break;
		case VLAPIC_DELIVER_NMI:
			bit = PENDING_NMI;
			break;
		case VLAPIC_DELIVER_INIT:
			bit = PENDING_INIT;
			break;
		case VLAPIC_DELIVER_SIPI:
			__atomic_store_n(&t->sipi_vector, m->vector, __ATOMIC_RELAXED);
			bit = PENDING_SIPI;
			break;
		}
		if (bit)
			__atomic_fetch_or(&t->pending, bit, __ATOMIC_RELEASE);
		if (t != source)
			kick |= BIT64(i);
	}
	return kick;
}
