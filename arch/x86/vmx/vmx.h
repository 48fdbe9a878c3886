// SPDX-License-Identifier: MIT
/*
 * VMX state of one CPU, and the verbs on it.
 *
 * A CPU runs the control domain's VMCS all the time, except between vcpu_enter() and vcpu_leave()
 * (vcpu.h), when the VMCS of one virtual CPU is current. `vcpu` tells which.
 *
 * Reading order: caps.h, vmx_on.c (switching VMX on), control_boot.c (what the control domain may
 * do without us), control_exit.c (what it may not), entry.S.
 */
#pragma once

#include <abi/info.h>
#include <abi/vcpu.h>
#include <panic.h>
#include <types.h>
#include <x86/percpu.h>
#include <x86/speculation.h>
#include <x86/vmx/caps.h>
#include <x86/vmx/control_cpuid.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx_bits.h>

#define EXIT_RING  32 /* exits kept for the crash record, a power of two */
#define CONTROL_VM 0xffff

/* MSRs that SYSCALL and friends use: written so rarely that their writes exit and are remembered.
 */
enum cached_msr { CACHED_STAR, CACHED_LSTAR, CACHED_CSTAR, CACHED_FMASK, CACHED_MSRS };

struct memory_split;
struct sleep_types;
struct vcpu;

struct vmx_cpu {
	struct hv_gprs gprs; /* the control domain's */
	bool at_sipi_start;  /* started by SIPI and has not exited since: an INIT now is stale */
	struct hv_cpu_stats stats;
	struct cpu *cpu;
	struct vcpu *vcpu; /* whose VMCS is current; NULL: the control domain's */
	void *vmxon, *vmcs_page;
	hpa_t vmcs;
	void *call_page;      /* what the control domain exchanges with us, HV_PAGE_BYTES */
	struct vmx_caps caps; /* as this CPU has them, before intersection */
	struct cpuid_table cpuid;
	struct vcpu *enter; /* to be entered once the present hypercall is done */
	uint32_t sipi;	    /* control_apic.c: whether it waits for a SIPI, then what it got */
	bool nmi_owed;	    /* the control domain is owed an NMI that could not be injected yet */
	bool mce_owed;
	bool fsgsbase;		/* CR4.FSGSBASE is on */
	uint32_t reason;	/* of the guest's exit, read by guest_quick(), */
	bool no_bell;		/* which has found no doorbell for it */
	uint64_t qualification; /* then, of an access to a port */
	uint32_t launched;	/* of the control domain's VMCS */
	uint64_t cached_msr[CACHED_MSRS];
	uint64_t xcr0; /* the control domain's */
	uint64_t xss;
	/* the control domain's, while a vCPU runs here */
	void *xsave;
	uint64_t kernel_gs_base, spec_ctrl, cr2, dr[5];
	uint64_t tsc_aux; /* remembered when written */
	uint32_t last_vm; /* handle of the VM that ran here last */
	struct hv_exit_record ring[EXIT_RING];
	uint32_t ring_head;
};

static_assert(offsetof(struct vmx_cpu, at_sipi_start) == VMX_AT_SIPI_START, "percpu_offsets.h");
static_assert(offsetof(struct vmx_cpu, stats.exits[VMX_EXIT_CPUID]) == VMX_CPUID_EXITS,
	      "percpu_offsets.h");
static_assert(offsetof(struct speculation, fill_rsb) == SPECULATION_FILL_RSB, "percpu_offsets.h");
static_assert(sizeof(struct cpuid_leaf) == 16, "entry.S shifts by 4");

/** CPUID of the real processor, as control_cpuid.h wants to read it. */
struct cpuid_entry cpuid_hardware(void *ctx, uint32_t leaf, uint32_t subleaf);

/** What all CPUs can do, less what the command line took away. Valid from virt_bsp_main() on. */
extern struct vmx_caps vmx_caps;
extern uint64_t vmx_present; /* by enum vmx_option */

static inline bool vmx_has(enum vmx_option option)
{
	return vmx_present & BIT64(option);
}

/** This CPU's VMX state. */
static inline struct vmx_cpu *this_vmx(void)
{
	return this_cpu()->vmx;
}

static inline void vmx_clear(hpa_t vmcs)
{
	bool failed;

	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(vmcs) : "memory");
	BUG_ON(failed);
}

static inline void vmx_load(hpa_t vmcs)
{
	bool failed;

	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(vmcs) : "memory");
	BUG_ON(failed);
}

/** Invalidate every EPT-derived and VPID-tagged translation of this CPU. */
void vmx_flush_all(void);
void vmx_flush_vpid(uint16_t vpid);
void vmx_flush_ept(uint64_t eptp);

/** Make @page one for VMXON or a VMCS; its address. */
hpa_t vmx_region_init(void *page);

/** Write the host-state fields of the current VMCS for this CPU. */
void vmx_write_host_state(struct cpu *cpu);

/** What differs between the VMCS of the control domain and one of a guest. */
struct vmcs_setup {
	uint32_t pin, cpu, cpu2, exit; /* besides what both have */
	uint32_t exceptions;
	uint64_t eptp, cr0_mask, xss_exiting;
	uint16_t vpid;
};

/** Make @page a VMCS and current, and write all that does not depend on the CPU it will run on;
 * registers as after reset. Its address. Panics when a control is missing (capabilities were
 * checked). */
hpa_t vmx_init_vmcs(void *page, const struct vmcs_setup *s);

/** CPUID's answer into the registers. */
static inline void cpuid_store(struct hv_gprs *g, struct cpuid_entry e)
{
	g->rax = e.eax;
	g->rbx = e.ebx;
	g->rcx = e.ecx;
	g->rdx = e.edx;
}

/** A single-stepped instruction was carried out for the guest, so the processor does not trap after
 * it: the debug exception becomes pending. @rflags: the guest's. Context: its VMCS is current. */
static inline void vmx_trap_single_step(uint64_t rflags)
{
	if (unlikely(rflags & RFLAGS_TF) && !(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(VMCS_GUEST_PENDING_DEBUG,
			vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/** Step over an instruction of @length bytes at @rip that was carried out, and end its interrupt
 * shadow. @rflags: the guest's. Returns the new RIP. Outside 64-bit mode RIP wraps at 4 GiB (at 64
 * KiB in 16-bit code a wrap would have faulted). */
static inline uint64_t vmx_finish_at(uint64_t rip, uint32_t length, uint64_t rflags)
{
	uint32_t shadow = vmread_sure(VMCS_GUEST_INTERRUPTIBILITY);

	rip += length;
	if (unlikely((uint32_t)rip < length) && !(vmread(VMCS_GUEST_CS_ACCESS) & ACCESS_CODE_64))
		rip = (uint32_t)rip;
	vmcs_write_sure(VMCS_GUEST_RIP.encoding, rip);
	if (unlikely(shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			shadow & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	vmx_trap_single_step(rflags);
	return rip;
}

/** The same for the instruction at RIP. */
static inline void vmx_finish_instruction(uint32_t length)
{
	vmx_finish_at(vmread(VMCS_GUEST_RIP), length, vmread(VMCS_GUEST_RFLAGS));
}

/** The same for the instruction that exited. */
static inline void vmx_skip_instruction(void)
{
	vmx_finish_instruction(vmread(VMCS_EXIT_INSN_LENGTH));
}

/** Deliver hardware exception @vector with the next entry; @error < 0: no error code. */
void vmx_inject_exception(uint8_t vector, int64_t error);

/** Put back the event whose delivery this exit interrupted (SDM 3C "Information for VM Exits That
 * Occur During Event Delivery"). True if there was one. */
bool vmx_reinject_vectoring(void);

/* Called by entry.S. */
void vmx_handle_exit(struct cpu *cpu, struct hv_gprs *gprs);
bool guest_quick(struct vmx_cpu *v, struct hv_gprs *gprs);
void vmx_entry_failed(struct cpu *cpu);
void vmx_nmi_owed(struct cpu *cpu);

extern const char vmx_exit[], vmx_guest_exit[];
extern const uint64_t vmx_reentry[6]; /* ranges that must begin again after an NMI */

/** Enter the guest of the current VMCS for the first time on @cpu; the stack is given up. */
void vmx_start(struct cpu *cpu) __noreturn;

/** The control domain on this CPU waits for a SIPI, or got one. */
void control_wait_for_sipi(struct vmx_cpu *v);
void control_start_sipi(struct vmx_cpu *v, uint8_t vector);

/** Handle an exit of the control domain. */
void control_handle_exit(struct vmx_cpu *v, struct hv_gprs *gprs);

/** Handle RDMSR/WRMSR and port exits of the control domain. */
void control_rdmsr(struct hv_gprs *gprs);
void control_wrmsr(struct vmx_cpu *v, struct hv_gprs *gprs);
void control_io(struct hv_gprs *gprs);
void control_ept_violation(void);
void control_cr_access(const struct hv_gprs *gprs);
void control_init(struct vmx_cpu *v);

/** A store to the APIC's page that exited: carry it out; false if it was none. */
bool control_apic_violation(const struct hv_gprs *g);

/** @icr is about to be written as in @x2apic mode: true if it was a SIPI, which then went to those
 * who wait for it. */
bool control_sipi_sent(uint64_t icr, bool x2apic);

/** Stand still until a SIPI comes; its vector. Context: no wait-for-SIPI activity state. */
uint8_t control_await_sipi(struct vmx_cpu *v);

/** The APIC's page, if writes to it exit; else 0. */
extern uint64_t control_apic_page;

/** The SLP_TYP values that must not be written (control_io.c). */
extern struct sleep_types control_sleep_types;

extern struct memory_split control_split;

/** Leave the boot part, which is gone when every CPU has, and run the control domain: on the boot
 * processor as its VMCS says, on the others from a SIPI on. */
void virt_leave_boot(struct cpu *cpu) __noreturn;
