// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The vCPU page: how the driver and the hypervisor talk about one virtual CPU.
 *
 * struct hv_vcpu_page lies in hypervisor memory (the VM's arena) and is mapped read-write in the
 * control domain; VCPU_CREATE returns its physical address. General registers live here and nowhere
 * else: the exit path stores them in place. RIP, RFLAGS and the fields of `insn` are filled in on
 * the exits that say so. Everything else moves by VCPU_GET and VCPU_SET, in groups, while the vCPU
 * does not run. The hypervisor reads each field once and checks what it reads: the page is hostile
 * input.
 */
#pragma once

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* Result of VCPU_RUN. */
#define HV_VCPU_EXIT_LIST(X)                                                                       \
	X(0, INTR, "the control domain has an interrupt, NMI or #MC to take; run again after")     \
	X(1, HLT, "halted: `deadline_tsc` says until when, ~0 = no timer")                         \
	X(2, PIO, "port access, not string: `io`; RIP is past it already")                         \
	X(3, INSN, "MMIO (`gpa` valid) or string I/O: decode at insn.rip, emulate, set RIP")       \
	X(4, EOI, "EOI of `vector`, which is in the EOI-exit bitmap")                              \
	X(5, KICK, "an IPI or event reached the vCPUs in `kick`: wake or kick their threads")      \
	X(6, WAIT_SIPI, "in wait-for-SIPI; block until a KICK names this vCPU")                    \
	X(7, SHUTDOWN, "triple fault")                                                             \
	X(8, FAIL_ENTRY, "VM entry refused: `reason`; the log has the VMCS")                       \
	X(9, INTERNAL, "exit that this hypervisor does not handle; the VM stops; `text`")          \
	X(10, DEBUG, "#DB or #BP with guest debugging on")                                         \
	X(11, WINDOW, "the guest can take an external interrupt: HV_RUN_WINDOW asked to be told")  \
	X(12, TASK, "hardware task switch: `qualification`, `insn.bytes`, `task`; carry it out")   \
	X(13, DOORBELL, "the guest rang a while ago: `rung`")

enum hv_vcpu_exit {
#define X(number, name, text) HV_VCPU_EXIT_##name = number,
	HV_VCPU_EXIT_LIST(X)
#undef X
};

/* Order of hardware encodings, so that register numbers in instructions index it. */
struct hv_gprs {
	uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
};

struct hv_segment {
	uint64_t base;
	uint32_t limit;
	uint32_t access; /* VMX access-rights format; bit 16 = unusable */
	uint16_t selector;
	uint16_t pad[3];
};

struct hv_table {
	uint64_t base;
	uint32_t limit;
	uint32_t pad;
};

/* HV_GROUP_SREGS */
struct hv_sregs {
	struct hv_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct hv_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t efer, apic_base; /* this and cr8 are up to date after each stay, too */
	uint64_t pdpte[4];	  /* out only */
};

/* HV_GROUP_DEBUG */
struct hv_debug {
	uint64_t dr[4], dr6, dr7;
};

/* HV_GROUP_EVENTS: what is pending or blocked (SDM 3C "Interruptibility State", "Event Injection").
 */
struct hv_events {
	uint32_t inject; /* VM-entry interruption-information format; bit 31 = valid */
	uint32_t inject_error;
	uint32_t inject_length; /* instruction length, software events */
	uint32_t nmi_pending;
	uint32_t interruptibility; /* bit 0 STI, 1 MOV SS, 3 NMI */
	uint32_t activity;	   /* enum hv_activity */
	uint32_t sipi_vector;
	uint32_t pad;
	uint64_t pending_dbg;
};

/* After VCPU_CREATE, index 0 is at the reset vector in RUN, the others are in WAIT_SIPI. */
enum hv_activity {
	HV_ACTIVITY_RUN = 0,
	HV_ACTIVITY_HALTED = 1,
	HV_ACTIVITY_WAIT_SIPI = 2,
	HV_ACTIVITY_SIPI_RECEIVED = 3,
};

/* HV_GROUP_REGS: rip and rflags; the general registers are always in place. */
#define HV_GROUP_REGS	1u
#define HV_GROUP_SREGS	2u
#define HV_GROUP_DEBUG	4u
#define HV_GROUP_EVENTS 8u
#define HV_GROUP_LAPIC	16u /* the 1 KiB image in `lapic` */
#define HV_GROUP_FPU	32u /* XSAVE image, standard (not compacted) format, in `xsave`; and xcr0 */
#define HV_GROUP_ALL	63u

/* `flags`, set by the driver before VCPU_RUN; a VCPU_GET before that takes all but WINDOW */
#define HV_RUN_REGS_DIRTY   1u /* rsp, rip, rflags were changed (an instruction was emulated) */
#define HV_RUN_INJECT	    2u /* `events.inject` is to be delivered with this entry */
#define HV_RUN_CLEAR_SHADOW 4u /* STI/MOV SS shadow ends: an instruction was emulated */
#define HV_RUN_WINDOW	    8u /* leave with WINDOW once LINT0 passes a PIC's interrupt */

/*
 * A doorbell: a write that the hypervisor answers by counting it, the guest going on at once. Rings
 * are reported with whatever ends the stay, some HV_DOORBELL_US after the first at the latest. The
 * driver may change a slot at any time, `flags` last when it fills one and first when it empties it
 * (0: empty); the hypervisor only compares, so whatever stands there harms nobody. A slot is the
 * old doorbell's for a stay that began before.
 */
#define HV_DOORBELLS	  32
#define HV_DOORBELL_US	  20
#define HV_BELL_PORT	  1u
#define HV_BELL_MEMORY	  2u /* any value */
#define HV_BELL_ANY_VALUE 4u

struct hv_doorbell {
	uint64_t address;
	uint32_t value;
	uint8_t bytes; /* 0: any */
	uint8_t flags;
	uint16_t pad;
};

/*
 * A store that rang a doorbell in memory, as the driver decoded it: plain, of `bytes` bytes to
 * `base` (an index into hv_gprs, or HV_STORE_NO_BASE) plus `offset`, by an instruction of `length`
 * bytes at `rip`. It is taken for the same one when RIP, CR3 and code segment are, and the
 * processor tells the same length: the manual does not promise a length there, and memory can
 * change.
 */
#define HV_STORE_NO_BASE 16

struct hv_store {
	uint64_t rip, cr3, offset;
	uint32_t cs_access;
	uint8_t length; /* 0: none is known */
	uint8_t bytes, base, pad;
};

/* `io.flags` */
#define HV_IO_IN      1u
#define HV_IO_NO_BELL 2u /* OUT: no doorbell of the table is meant */

struct hv_vcpu_page {
	struct hv_gprs gprs;
	uint64_t rip, rflags;
	uint32_t flags;
	uint32_t exit; /* enum hv_vcpu_exit, same as the call's result */
	/* what happened, by exit */
	struct {
		uint16_t port;
		uint8_t bytes; /* 1, 2, 4 */
		uint8_t flags;
		uint32_t data; /* OUT: the value. IN: the driver merges its value into gprs.rax */
	} io;
	uint64_t deadline_tsc; /* of the host's TSC */
	uint64_t gpa;	       /* INSN: ~0 for string I/O */
	uint64_t vector;
	uint64_t kick; /* bitmap of vCPU indexes; may be set with any exit, the driver clears it */
	/* INSN: what a decoder needs without further calls */
	struct {
		uint64_t cr0, cr3, cr4, efer;
		uint64_t cs_base, qualification, linear;
		uint32_t cs_access;
		uint32_t ss_access; /* DPL = CPL */
		uint32_t linear_valid;
		uint32_t bytes;	     /* length of the instruction, 0: not known */
		uint32_t io_info;    /* VM-exit instruction information, string I/O */
		uint32_t segments;   /* 16-bit code: sregs has CS, DS, ES, FS, GS, SS */
		uint32_t delivering; /* the access was an event's delivery, which is repeated */
		uint32_t pad;
	} insn;
	uint64_t reason; /* basic exit reason, or the VM-instruction error */
	uint64_t qualification;
	uint64_t exits;	    /* VM exits of this vCPU so far */
	uint64_t guest_tsc; /* ticks spent in the guest so far */
	struct hv_events events;
	struct hv_sregs sregs;
	struct hv_debug debug;
	uint64_t xcr0, xss;
	char text[256];
	uint8_t lapic[1024];
	struct { /* TASK: the event that came through a task gate, as IDT-vectoring information */
		uint32_t vectoring, error;
	} task;
	struct hv_store store;
	uint64_t rung;		      /* slots; the driver takes them, hv_doorbell_take() */
	uint32_t rings[HV_DOORBELLS]; /* how often each */
	struct hv_doorbell doorbell[HV_DOORBELLS];
	uint32_t doorbells;			  /* slots that are looked at */
	uint16_t bell_port_first, bell_port_last; /* ports outside of these have none */
	uint8_t pad[1384];
	uint8_t xsave[4096] __attribute__((aligned(64)));
};

_Static_assert(sizeof(struct hv_segment) == 24, "layout");
_Static_assert(sizeof(struct hv_sregs) == 8 * 24 + 2 * 16 + 11 * 8, "layout");
_Static_assert(sizeof(struct hv_vcpu_page) == 8192, "two pages: registers and exit; XSAVE image");

/* By the hypervisor: slot @i was rung. The count comes first: who takes the bit finds it. */
static inline void hv_doorbell_ring(struct hv_vcpu_page *page, unsigned int i)
{
	__atomic_fetch_add(&page->rings[i], 1, __ATOMIC_RELAXED);
	__atomic_fetch_or(&page->rung, 1ull << i, __ATOMIC_RELEASE);
}

/* By the driver: takes the bits of @mask that are set; then, slot by slot, how often it was rung.
 */
static inline uint64_t hv_doorbell_take(struct hv_vcpu_page *page, uint64_t mask)
{
	return __atomic_fetch_and(&page->rung, ~mask, __ATOMIC_ACQUIRE) & mask;
}

static inline uint32_t hv_doorbell_count(struct hv_vcpu_page *page, unsigned int i)
{
	return __atomic_exchange_n(&page->rings[i], 0, __ATOMIC_RELAXED);
}

/* VCPU_CPUID: the table that answers the guest's CPUID, sorted by function, index. */
struct hv_cpuid {
	uint32_t function, index;
	uint32_t flags; /* bit 0: index is significant */
	uint32_t eax, ebx, ecx, edx;
};
#define HV_MAX_CPUID 128

/*
 * The input clock of a guest's local APIC timer (before the divider) is the TSC's, halved so often
 * that its frequency in Hz fits the 32 bits of CPUID 15h ECX. EBX is 1 << this shift, EAX is 1.
 */
static inline uint32_t hv_lapic_timer_shift(uint64_t tsc_khz)
{
	uint32_t shift = 0;

	while ((tsc_khz * 1000 >> shift) > 0xffffffffu)
		shift++;
	return shift;
}

/* IA32_BIOS_SIGN_ID of a guest: newer than any microcode that Linux mistrusts. */
#define HV_GUEST_MICROCODE 0xffffffff00000000ull

/* VCPU_MSR: the fourth argument. */
#define HV_MSR_READ  0
#define HV_MSR_WRITE 1 /* value in the call page's first 8 bytes */

struct hv_vm_create {
	uint8_t uuid[16];
	uint32_t vcpus; /* at most this many will be created */
	uint32_t pad;
	uint64_t table_bytes; /* guest memory that EPT tables are reserved for */
	uint64_t tsc_khz;     /* 0 = the host's */
	char name[64];
};

/*
 * VM_NAME: who a VM is. No two VMs have the same UUID, but for the nil one, and no name can be
 * given that another has; names are printable ASCII. A kept VM outlives the process that runs it,
 * so it maps no lent memory: each is refused (STATE) while there is the other.
 */
struct hv_vm_name {
	uint8_t uuid[16];
	char name[64];
	uint32_t flags; /* HV_VM_* */
	uint32_t pad;
};
#define HV_VM_KEEP 1u

struct hv_vm_info {
	uint8_t uuid[16];
	char name[64];
	uint32_t handle; /* 0: slot is free */
	uint32_t vcpus;
	uint64_t frames; /* pool frames owned, metadata included */
	uint64_t arena_frames;
	uint64_t arena_free_pages;
	uint32_t flags; /* HV_VM_* */
	uint32_t pad;
};

struct hv_vcpu_stats {
	uint64_t exits[80];
	uint64_t injected;
	uint64_t guest_tsc;
	uint64_t root_tsc;
};
