// SPDX-License-Identifier: MIT
/*
 * The short way through a guest's exit: settled with nothing but what C may change saved.
 *
 * What is left out is vcpu_prepare(), and nothing is late for it. An event posted by another CPU
 * comes with a kick, an interrupt of this CPU that stays pending while interrupts are off and
 * ends the stay at the very entry; windows that were asked for are still asked for; NMIs have
 * entry.S's own look. Only the preemption timer stands still in root mode, so every QUICK_EXITS-th
 * exit takes the long way and sets it anew.
 *
 * The buffers are cleared before the entry as after the long way. L1D is flushed once a stay
 * (vcpu_enter()): nobody else's data comes into it in between.
 */
#include <x86/asm.h>
#include <x86/speculation.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define SHADOWS (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)

static_assert(offsetof(struct hv_vcpu_page, gprs) == 0, "guest_quick() finds the page by them");

/* A leaf of which nothing but OSXSAVE depends on the guest's state. */
static inline bool quick_cpuid(const struct vcpu *vcpu, struct hv_gprs *g)
{
	const struct hv_cpuid *e = guest_cpuid_constant(&vcpu->cpuid, (uint32_t)g->rax);
	uint32_t ecx;

	if (unlikely(!e))
		return false;
	ecx = e->ecx;
	if (e->function == 1)
		ecx = guest_cpuid_osxsave(ecx, vmread_sure(VMCS_GUEST_CR4));
	g->rax = e->eax;
	g->rbx = e->ebx;
	g->rcx = ecx;
	g->rdx = e->edx;
	return true;
}

/* What vcpu_handle_exit() need not find out again. */
static bool __attribute__((noinline)) long_way(struct vmx_cpu *v, uint32_t reason, bool no_bell)
{
	v->reason = reason;
	v->no_bell = no_bell;
	return false;
}

/* Called at the very end, so that settled() needs no stack. */
static bool __attribute__((noinline)) skip_with_care(void)
{
	vmx_skip_instruction();
	speculation_clear_buffers();
	return true;
}

/* Counted and stepped over; what is rare about that has a function of its own. */
static inline __attribute__((always_inline)) bool settled(struct vmx_cpu *v, struct hv_gprs *g,
							  uint32_t reason)
{
	struct hv_vcpu_page *page = (struct hv_vcpu_page *)g; /* its first member */
	uint32_t length = vmread_sure(VMCS_EXIT_INSN_LENGTH);
	uint64_t rip = vmread_sure(VMCS_GUEST_RIP) + length;

	v->stats.guest_exits[reason]++;
	v->vcpu->stats.exits[reason]++;
	page->exits++;
	if (unlikely((vmread_sure(VMCS_GUEST_INTERRUPTIBILITY) & SHADOWS) ||
		     (vmread_sure(VMCS_GUEST_RFLAGS) & RFLAGS_TF) || (uint32_t)rip < length))
		return skip_with_care();
	vmcs_write_sure(VMCS_GUEST_RIP.encoding, rip);
	speculation_clear_buffers();
	return true;
}

/* Each in a function of its own, so that none pays for the registers that another one saves. */

static bool __attribute__((noinline)) quick_rdmsr(struct vmx_cpu *v, struct hv_gprs *g)
{
	return guest_rdmsr(v->vcpu, g) ? settled(v, g, VMX_EXIT_RDMSR)
				       : long_way(v, VMX_EXIT_RDMSR, false);
}

static bool __attribute__((noinline)) write_deadline(struct vmx_cpu *v, struct hv_gprs *g)
{
	uint64_t value = (uint32_t)g->rax | g->rdx << 32, now = vcpu_tsc(v->vcpu);

	/* One that is due fires first; one in the past fires at once. */
	if (vlapic_deadline(&v->vcpu->lapic) <= now || (value && value <= now))
		return long_way(v, VMX_EXIT_WRMSR, false);
	vlapic_write_tsc_deadline(&v->vcpu->lapic, value, now);
	vcpu_arm_timer(v->vcpu, now);
	return settled(v, g, VMX_EXIT_WRMSR);
}

static bool __attribute__((noinline)) write_icr(struct vmx_cpu *v, struct hv_gprs *g)
{
	uint64_t value = (uint32_t)g->rax | g->rdx << 32;
	uint16_t status;

	if (!guest_has.apicv)
		return long_way(v, VMX_EXIT_WRMSR, false);
	status = vmread_sure(VMCS_GUEST_INTERRUPT_STATUS);
	if (!vlapic_self_ipi(&v->vcpu->lapic, value, &status))
		return long_way(v, VMX_EXIT_WRMSR, false);
	vmcs_write_sure(VMCS_GUEST_INTERRUPT_STATUS.encoding, status);
	return settled(v, g, VMX_EXIT_WRMSR);
}

static bool __attribute__((noinline)) other_cpuid(struct vmx_cpu *v, struct hv_gprs *g)
{
	guest_cpuid(v->vcpu, g);
	return settled(v, g, VMX_EXIT_CPUID);
}

static bool __attribute__((noinline)) ring_port(struct vmx_cpu *v, struct hv_gprs *g)
{
	v->qualification = vmread_sure(VMCS_EXIT_QUALIFICATION);
	return guest_ring_port(v->vcpu, v->qualification) ? settled(v, g, VMX_EXIT_IO)
							  : long_way(v, VMX_EXIT_IO, true);
}

static bool __attribute__((noinline)) ring_memory(struct vmx_cpu *v, struct hv_gprs *g)
{
	return guest_ring_memory(v->vcpu) ? settled(v, g, VMX_EXIT_EPT_VIOLATION)
					  : long_way(v, VMX_EXIT_EPT_VIOLATION, true);
}

bool guest_quick(struct vmx_cpu *v, struct hv_gprs *g)
{
	struct vcpu *vcpu = v->vcpu;
	uint32_t reason = vmread_sure(VMCS_EXIT_REASON);

	if (unlikely(--vcpu->quick_exits == 0)) /* set anew on the long way */
		return long_way(v, reason, false);
	if (reason == VMX_EXIT_CPUID)
		return quick_cpuid(vcpu, g) ? settled(v, g, VMX_EXIT_CPUID) : other_cpuid(v, g);
	if (reason == VMX_EXIT_VMCALL) {
		g->rax = KVM_NO_SUCH_CALL;
		return settled(v, g, VMX_EXIT_VMCALL);
	}
	if (reason == VMX_EXIT_RDMSR)
		return quick_rdmsr(v, g);
	if (reason == VMX_EXIT_WRMSR && (uint32_t)g->rcx == MSR_TSC_DEADLINE)
		return write_deadline(v, g);
	if (reason == VMX_EXIT_WRMSR && (uint32_t)g->rcx == MSR_X2APIC_ICR)
		return write_icr(v, g);
	if (reason == VMX_EXIT_IO)
		return ring_port(v, g);
	if (reason == VMX_EXIT_EPT_VIOLATION)
		return ring_memory(v, g);
	return long_way(v, reason, false);
}
