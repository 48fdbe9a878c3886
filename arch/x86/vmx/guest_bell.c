// SPDX-License-Identifier: MIT
/*
 * Doorbells: a guest's write that is counted for the driver, and the guest goes on.
 *
 * The driver learns of it with whatever ends the stay; if nothing does, the preemption timer does,
 * HV_DOORBELL_US after the first ring. So no ring is lost, a guest that halts is not made to wait,
 * and one that rings in a loop pays one round trip to Linux for many. Without the timer there are
 * no doorbells here, and the driver finds them itself.
 *
 * A port's write says its length. For a store to memory the manual promises none (SDM 3C
 * "Information for VM Exits Due to Instruction Execution"), and guest memory is not read here: the
 * driver has decoded the store when it rang for the first time. Only the registers that
 * guest_quick() finds saved can be its base.
 */
#include <doorbell.h>
#include <platform.h>
#include <x86/asm.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define IO_IN		      BIT64(3)
#define IO_STRING	      BIT64(4)
#define EPT_Q_READ	      BIT64(0)
#define EPT_Q_WRITE	      BIT64(1)
#define EPT_Q_FETCH	      BIT64(2)
#define EPT_Q_LINEAR	      (BIT64(7) | BIT64(8)) /* of the access itself, not a page walk */
#define NMI_UNBLOCKED_BY_IRET BIT64(12)
#define BASES		      0x0fcfu /* RAX to RBX, RSI, RDI, R8 to R11 */

/* @slot: -1 for none. */
static bool ring(struct vcpu *vcpu, int slot)
{
	uint64_t now;

	if (slot < 0)
		return false;
	hv_doorbell_ring(vcpu->page, (unsigned int)slot);
	if (vcpu->bell_due == VLAPIC_NEVER) {
		now = vcpu_tsc(vcpu);
		vcpu->bell_due = now + HV_DOORBELL_US * platform.tsc_khz / 1000;
		vcpu_arm_timer(vcpu, now);
	}
	return true;
}

bool guest_ring_port(struct vcpu *vcpu, uint64_t q)
{
	const struct hv_vcpu_page *page = vcpu->page;
	uint32_t bytes = (uint32_t)field_get(q, 2, 0) + 1, port = (uint32_t)field_get(q, 31, 16);

	return !(q & (IO_IN | IO_STRING)) && port >= page->bell_port_first &&
	       port <= page->bell_port_last && guest_has.timer &&
	       ring(vcpu, doorbell_find(page, HV_BELL_PORT, port, bytes,
					(uint32_t)page->gprs.rax & io_mask(bytes)));
}

/* True if the store that exited is @s. Its page is then that of @gpa: it does not reach into two.
 */
static bool is_store(const struct hv_vcpu_page *page, const volatile struct hv_store *s,
		     uint64_t gpa)
{
	uint32_t base = s->base, length = s->length;
	uint64_t at = s->offset;

	if (base < HV_STORE_NO_BASE) {
		if (!(BASES & BIT64(base)))
			return false;
		at += (&page->gprs.rax)[base];
	}
	return length && length == vmread_sure(VMCS_EXIT_INSN_LENGTH) &&
	       !((at ^ gpa) % PAGE_SIZE) && s->rip == vmread_sure(VMCS_GUEST_RIP) &&
	       s->cr3 == vmread_sure(VMCS_GUEST_CR3) &&
	       s->cs_access == vmread_sure(VMCS_GUEST_CS_ACCESS);
}

bool guest_ring_memory(struct vcpu *vcpu)
{
	const volatile struct hv_store *s = &vcpu->page->store;
	uint64_t q, gpa;
	uint32_t bytes;

	if (!guest_has.timer || !s->length)
		return false;
	q = vmread_sure(VMCS_EXIT_QUALIFICATION);
	gpa = vmread_sure(VMCS_GUEST_PHYSICAL_ADDRESS);
	bytes = s->bytes;
	if ((q & (EPT_Q_READ | EPT_Q_WRITE | EPT_Q_FETCH)) != EPT_Q_WRITE ||
	    (q & EPT_Q_LINEAR) != EPT_Q_LINEAR || (q & NMI_UNBLOCKED_BY_IRET) ||
	    gpa % PAGE_SIZE + bytes > PAGE_SIZE || (vmread_sure(VMCS_IDT_VECTORING) & INTR_VALID))
		return false;
	return is_store(vcpu->page, s, gpa) &&
	       ring(vcpu, doorbell_find(vcpu->page, HV_BELL_MEMORY, gpa, bytes, 0));
}
