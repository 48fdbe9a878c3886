// SPDX-License-Identifier: MIT
/*
 * A virtual CPU: what it is, and how a CPU turns into it and back.
 *
 * A stay in the guest begins with vcpu_enter(), called by the VCPU_RUN hypercall, and ends with
 * vcpu_leave(), which makes the control domain's VMCS current again and puts the exit code into its
 * RAX. In between the CPU's `vcpu` is set, and every VM exit goes to vcpu_handle_exit(). Outside of
 * a stay the VMCS is clear (in memory, active on no CPU), so any CPU may load it: a vCPU migrates
 * freely and a dying VM leaves nothing behind in a CPU.
 *
 * `page` is shared with the control domain and hostile. `running` is the ownership of all else:
 * whoever sets it (a stay, or a call about the stopped vCPU) may touch the vCPU. Other CPUs only
 * post: interrupts into `lapic.posted`, the rest into `pending`.
 *
 * Next: vcpu.c, guest_quick.c, guest_bell.c, guest_exit.c, guest_insn.c, guest_event.c,
 * guest_state.c, guest_msr.c.
 */
#pragma once

#include <abi/vcpu.h>
#include <types.h>
#include <vlapic.h>
#include <x86/asm.h>
#include <x86/vmx/ept.h>
#include <x86/vmx/guest_cpuid.h>
#include <x86/vmx/vmx.h>

struct vm;

enum vcpu_pending { PENDING_NMI = 1, PENDING_INIT = 2, PENDING_SIPI = 4 };

#define PLE_WINDOW_TICKS 4096
#define VARIABLE_MTRRS	 16 /* 8 pairs */
#define FIXED_MTRRS	 11
#define KVM_NO_SUCH_CALL UINT64_C(0xfffffffffffffc18) /* -1000, as KVM's guests know it */
#define MSR_TSC_DEADLINE 0x6e0u

struct vcpu {
	struct vlapic lapic; /* first: cache-line aligned */
	struct hv_vcpu_page *page;
	struct vm *vm;
	hpa_t vmcs;
	struct guest_cpuid cpuid;
	uint32_t quick_exits; /* until the timer must be set anew, 1 at least; guest_quick.c */
	uint32_t index, apic_id;
	uint16_t vpid;
	uint32_t running; /* 0 or 1, by compare-and-swap */
	uint32_t pending; /* enum vcpu_pending, set by any CPU */
	uint8_t sipi_vector;
	uint32_t activity; /* enum hv_activity */
	bool dr_live;	   /* debug registers hold the guest's values; MOV DR does not exit */
	bool syscall;	   /* EFER.SCE: SYSCALL's MSRs can be seen */
	bool syscall_live; /* and hold the guest's values */
	bool osxsave;	   /* CR4.OSXSAVE: XCR0 can be seen */
	bool xcr0_live;	   /* and holds the guest's value */
	bool timer_rests;  /* the preemption timer runs on, for no deadline */
	bool nmi_window;   /* its exit is asked for */
	bool window;	   /* HV_RUN_WINDOW of this stay */
	bool eoi_due;	   /* the next stay ends at once with EOI of page->vector */
	bool flush_vpid;   /* translations of this VPID are stale everywhere */
	uint32_t last_cpu; /* it last ran there; elsewhere its VPID's translations are stale */
	uint32_t eoi_generation; /* of vm->eoi_exits, as lapic.eoi_exit and VMCS have them */
	uint64_t msr[CACHED_MSRS];
	uint64_t kernel_gs_base, tsc_aux, spec_ctrl, tsc_adjust, misc_enable;
	uint64_t mtrr_def_type, mtrr[VARIABLE_MTRRS + FIXED_MTRRS];
	uint64_t tsc_offset;
	uint64_t bell_due; /* guest's TSC: when the stay ends for rings; VLAPIC_NEVER: none yet */
	uint64_t xcr0, xss;
	uint64_t cr4_allowed; /* bits that its CPUID allows */
	uint64_t cr2, dr[5];  /* DR0 to DR3, DR6 */
	struct hv_vcpu_stats stats;
	uint64_t entered_tsc;
	uint32_t ple_window; /* TSC ticks */
};

/** What a VM has on VMX. */
struct virt_vm {
	struct ept ept;
	struct ept_pages pages;
	struct ept_freed freed; /* tables unlinked, usable again once `freed_epoch` is paid */
	uint64_t freed_epoch;
	uint64_t eptp;
	uint8_t *msr_bitmap[2]; /* xAPIC mode, x2APIC mode */
	uint64_t tsc_offset;
};

/** Make @cpu run @vcpu, whose `running` the caller has set. Nothing else may touch the VMCS before
 * the entry. */
void vcpu_enter(struct vmx_cpu *v, struct vcpu *vcpu);

/** The guest fetched from @gpa and may not: true if that was only for the size of the page
 * (EPT_CODE), which is mended. Context: root mode, no lock held. */
bool virt_vm_fetch(struct vm *vm, gpa_t gpa) __must_use;

/** Load the guest's MSRs and save the control domain's (vcpu_msr.c). */
void vcpu_msrs_load(struct vmx_cpu *v, struct vcpu *vcpu);

/** The way back. The predictors and the return stack hold nothing of the guest's afterwards. */
void vcpu_msrs_leave(struct vmx_cpu *v, struct vcpu *vcpu);

/** Load the guest's debug registers and save the control domain's. */
void vcpu_debug_load(struct vmx_cpu *v, struct vcpu *vcpu);

/** EFER or CR4 of the vCPU is @value now: what could not be seen before is loaded. Context: any in
 * which the vCPU is the caller's. */
void vcpu_efer_is(struct vcpu *vcpu, uint64_t value);
void vcpu_cr4_is(struct vcpu *vcpu, uint64_t value);

/** Take what the driver left in the page before this stay: changed RSP, RIP and RFLAGS, an event to
 * inject. */
void vcpu_take_orders(struct vcpu *vcpu);

/** The same, but for what is about a stay alone, before state is read: an instruction may have been
 * emulated since the last one. Context: the vCPU's VMCS current. */
void vcpu_take_changes(struct vcpu *vcpu);

/** End the stay: control domain's VMCS, state and RAX = @exit. */
void vcpu_leave(struct vmx_cpu *v, enum hv_vcpu_exit exit);

/** The same, where the guest's RIP and RFLAGS are in the page already. */
void vcpu_leave_told(struct vmx_cpu *v, enum hv_vcpu_exit exit);

/** Handle a VM exit of the vCPU that runs on @v. */
void vcpu_handle_exit(struct vmx_cpu *v, struct hv_gprs *gprs);

/** Just before an entry: events, timers. May end the stay. Context: guest VMCS current. */
void vcpu_prepare(struct vmx_cpu *v, struct vcpu *vcpu);

/** The current VMCS refused entry: end the stay with the reason. */
void vcpu_entry_failed(struct vmx_cpu *v);

/** Reset to the power-up state (@init: by INIT, which keeps some of it). Context: guest VMCS
 * current. */
void vcpu_reset(struct vcpu *vcpu, bool init);

/** Start at the vector of a SIPI. Context: guest VMCS current. */
void vcpu_sipi(struct vcpu *vcpu, uint8_t vector);

/** Code and data segments alone, into the page's sregs. */
void vcpu_get_segments(struct vcpu *vcpu);

/** Guest MSRs; @host: on behalf of the control domain. False: #GP. */
bool guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value, bool host);

/** Fill the MSR bitmaps of @virt. */
void guest_msr_bitmaps(struct virt_vm *virt);

/** The vCPU's APIC mode changed: bitmap and controls follow. Context: guest VMCS current. */
void guest_apic_mode(struct vcpu *vcpu);

/** Do what a write to an APIC register asks: IPIs (kick bits go to the page), EOI. True if the stay
 * must end: *@exit says how. */
bool guest_apic_effect(struct vcpu *vcpu, const struct vlapic_effect *effect,
		       enum hv_vcpu_exit *exit);

/** Deliver @m to the vCPUs of @vm it reaches; @source may be NULL. Returns the vCPUs to kick.
 * Context: any CPU. */
uint64_t vm_deliver(struct vm *vm, struct vcpu *source, const struct vlapic_message *m);

/** Guest's TSC now. */
static inline uint64_t vcpu_tsc(const struct vcpu *vcpu)
{
	return rdtsc() + vcpu->tsc_offset;
}

/** What guests run with on this machine. */
extern struct guest_has {
	bool apicv; /* the processor virtualizes APIC registers and interrupt delivery */
	bool tpr_shadow, timer, rdtscp;
	bool timer_kept;	    /* the preemption timer goes on where an exit stopped it */
	unsigned int physical_bits; /* MAXPHYADDR */
	uint64_t xcr0;		    /* components that exist and are allowed; 0 without XSAVE */
	uint64_t apic_access_page;  /* address that the processor compares with; never accessed */
} guest_has;

/** Set the preemption timer to the guest's deadline; its TSC is @now. Context: guest VMCS current.
 */
void vcpu_arm_timer(struct vcpu *vcpu, uint64_t now);

/** What a port access of @bytes bytes (1 to 4) moves of EAX. */
static inline uint32_t io_mask(uint32_t bytes)
{
	return ~0u >> (32 - 8 * bytes);
}

/** A write that exited, to a port (@q: the qualification) or to memory: true if it rang a doorbell,
 * and then it has to be stepped over. The general registers that C may change are in the page. */
bool guest_ring_port(struct vcpu *vcpu, uint64_t q);
bool guest_ring_memory(struct vcpu *vcpu);

/** Instructions that exit; the MSR ones in RCX, RAX, RDX of @g. guest_cpuid() and guest_rdmsr(),
 * which is false for #GP, leave RIP where it is. */
void guest_cpuid(const struct vcpu *vcpu, struct hv_gprs *g);
bool guest_rdmsr(struct vcpu *vcpu, struct hv_gprs *g);
void guest_msr(struct vcpu *vcpu, struct hv_gprs *g, bool write);
void guest_xsetbv(struct vcpu *vcpu, struct hv_gprs *g);
void guest_cr(struct vcpu *vcpu, struct hv_gprs *g);
void guest_mov_dr(struct vmx_cpu *v, struct vcpu *vcpu);

/** Inject @vector into the guest of the current VMCS; no error code in real mode. */
void guest_fault(uint8_t vector, int64_t error);
