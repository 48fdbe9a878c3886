// SPDX-License-Identifier: MIT
/*
 * The virtual local APIC, in xAPIC and x2APIC mode.
 *
 * Its registers live in a 4 KiB page with the hardware's layout, so the same page serves as the
 * virtual-APIC page: with APIC-register virtualization and virtual-interrupt delivery the processor
 * reads and writes it while the guest runs, without them this code does the same in software. State
 * that hardware hides (timer, latched errors) is beside it.
 *
 * Two sides. The *owner* is the CPU that runs the vCPU, or holds it stopped: it calls everything.
 * *Other* CPUs send: vlapic_match(), vlapic_route(), vlapic_deliver() and vlapic_set_irr() touch
 * only atomically written words, and interrupts wait in a posted-interrupt descriptor that the
 * owner merges.
 *
 * Time is the guest's TSC, always an argument (`now`). Nothing is injected here and no IPI is sent:
 * results say what the caller must do. No IOAPIC, no PIC, no APIC relocation, no directed EOI, six
 * LVT entries. SDM 3A "Advanced Programmable Interrupt Controller (APIC)"; SDM 3C "APIC
 * Virtualization and Virtual Interrupts".
 */
#pragma once

#include <types.h>

/* Offsets in the page; an x2APIC MSR is VLAPIC_X2APIC_MSR + offset / 16. */
enum vlapic_reg {
	VLAPIC_ID = 0x20,
	VLAPIC_VERSION = 0x30,
	VLAPIC_TPR = 0x80,
	VLAPIC_PPR = 0xa0,
	VLAPIC_EOI = 0xb0,
	VLAPIC_LDR = 0xd0,
	VLAPIC_DFR = 0xe0,
	VLAPIC_SVR = 0xf0,
	VLAPIC_ISR = 0x100,
	VLAPIC_TMR = 0x180,
	VLAPIC_IRR = 0x200,
	VLAPIC_ESR = 0x280,
	VLAPIC_ICR = 0x300,
	VLAPIC_ICR_HIGH = 0x310,
	VLAPIC_LVT_TIMER = 0x320,
	VLAPIC_LVT_THERMAL = 0x330,
	VLAPIC_LVT_PMC = 0x340,
	VLAPIC_LVT_LINT0 = 0x350,
	VLAPIC_LVT_LINT1 = 0x360,
	VLAPIC_LVT_ERROR = 0x370,
	VLAPIC_TIMER_INITIAL = 0x380,
	VLAPIC_TIMER_CURRENT = 0x390,
	VLAPIC_TIMER_DIVIDE = 0x3e0,
	VLAPIC_SELF_IPI = 0x3f0,
};

#define VLAPIC_X2APIC_MSR   0x800u
#define VLAPIC_DEFAULT_BASE UINT64_C(0xfee00000)
#define VLAPIC_BASE_BSP	    BIT64(8)
#define VLAPIC_BASE_X2APIC  BIT64(10)
#define VLAPIC_BASE_ENABLE  BIT64(11)
#define VLAPIC_NEVER	    UINT64_MAX
#define VLAPIC_STATE_BYTES  1024 /* struct kvm_lapic_state */

enum vlapic_mode {
	VLAPIC_FIXED = 0,
	VLAPIC_LOWEST = 1,
	VLAPIC_SMI = 2,
	VLAPIC_NMI = 4,
	VLAPIC_INIT = 5,
	VLAPIC_SIPI = 6,
	VLAPIC_EXTINT = 7,
};

enum vlapic_shorthand {
	VLAPIC_DEST = 0,
	VLAPIC_SELF = 1,
	VLAPIC_ALL = 2,
	VLAPIC_OTHERS = 3,
};

/** An interrupt message, from an ICR or an MSI. */
struct vlapic_message {
	uint32_t dest;
	uint8_t vector;
	uint8_t mode;	   /* enum vlapic_mode */
	uint8_t shorthand; /* enum vlapic_shorthand */
	bool logical;
	bool level;  /* level-triggered */
	bool assert; /* false: INIT level de-assert, which does nothing */
	bool wide;   /* @dest has 32 bits (sent in x2APIC mode); else FFh is everybody */
};

/** Interrupts sent and not yet seen by the owner; the layout of a posted-interrupt descriptor. */
struct vlapic_posted {
	uint64_t pir[4];
	uint64_t control; /* bit 0: outstanding notification */
	uint64_t reserved[3];
} __aligned(64);
static_assert(sizeof(struct vlapic_posted) == 64, "SDM 3C \"Posted-Interrupt Processing\"");

struct vlapic {
	struct vlapic_posted posted;
	uint32_t *regs;	      /* the page */
	bool moved;	      /* IRR or ISR is not what vlapic_interrupt_status() last said */
	uint64_t base;	      /* IA32_APIC_BASE */
	uint64_t eoi_exit[4]; /* vectors whose EOI the device model wants to see; the VMCS has the
				 same */
	uint32_t id;	      /* x2APIC id */
	uint32_t errors;      /* latched for the next write to ESR */
	uint32_t lvt_timer, divide; /* as in effect; the page may already hold a trapped write */
	/* TSC ticks per timer tick before division: numerator and denominator, both below 2^24 */
	uint32_t tsc_num, tsc_den;
	uint32_t remainder;    /* of the deadline below, in 1/tsc_den ticks, so that periods do not
				  drift */
	uint64_t deadline;     /* TSC at which the timer fires, or VLAPIC_NEVER */
	uint64_t tsc_deadline; /* IA32_TSC_DEADLINE */
};

/** What a write asks of the caller. */
struct vlapic_effect {
	bool eoi;  /* tell the device model: EOI of @eoi_vector, which is in the EOI-exit bitmap */
	bool send; /* route and deliver @message */
	uint8_t eoi_vector;
	struct vlapic_message message;
};

/** What the receiving vCPU must do, after vlapic_deliver(). */
enum vlapic_delivery {
	VLAPIC_NOTHING,	    /* refused, or posted while a notification is outstanding */
	VLAPIC_NOTIFY,	    /* posted: kick or wake the vCPU */
	VLAPIC_DELIVER_NMI, /* these three: latch it for the vCPU, then kick or wake */
	VLAPIC_DELIVER_INIT,
	VLAPIC_DELIVER_SIPI, /* with the message's vector */
};

/* ---- life (owner) */

/** Power-up state: enabled in xAPIC mode, software-disabled. @page: 4 KiB, zeroed, kept by the
 * caller. The APIC timer ticks once per @tsc_num / @tsc_den TSC ticks (CPUID 15h: EBX / EAX); 1 <=
 * den <= num < 2^24. */
void vlapic_init(struct vlapic *v, void *page, uint32_t id, bool bsp, uint32_t tsc_num,
		 uint32_t tsc_den);

/** What INIT does: registers reset; id, base and mode stay. */
void vlapic_reset(struct vlapic *v);

/** Write IA32_APIC_BASE. -HV_ERR_INVAL means #GP: reserved bits, another address, or a transition
 * that SDM 3A "x2APIC State Transitions" forbids; the host (@host) may make any transition to a
 * valid mode. */
int vlapic_set_base(struct vlapic *v, uint64_t value, bool host) __must_use;

static inline bool vlapic_enabled(const struct vlapic *v)
{
	return __atomic_load_n(&v->base, __ATOMIC_RELAXED) & VLAPIC_BASE_ENABLE;
}

static inline bool vlapic_x2apic(const struct vlapic *v)
{
	return __atomic_load_n(&v->base, __ATOMIC_RELAXED) & VLAPIC_BASE_X2APIC;
}

/** Copy the registers out, with the timer's present count; or in, restarting the timer from the
 * count found there. @wide_id: the id register is the 32-bit id in x2APIC mode
 * (KVM_X2APIC_API_USE_32BIT_IDS), else bits 31:24. The id itself is fixed; the mode is
 * vlapic_set_base()'s, to be set first. */
void vlapic_get_state(struct vlapic *v, uint8_t state[VLAPIC_STATE_BYTES], bool wide_id,
		      uint64_t now);
void vlapic_set_state(struct vlapic *v, const uint8_t state[VLAPIC_STATE_BYTES], uint64_t now);

/* ---- registers (owner) */

/**
 * The guest reads or writes the register at @offset (32 bits in xAPIC mode; the x2APIC's ICR has
 * 64). -HV_ERR_INVAL, only in x2APIC mode, means #GP. In xAPIC mode a register that does not exist
 * reads as 0 and sets an error. Writes fill *@effect. Neither looks at whether the APIC is enabled:
 * a disabled one has no registers, and the x2APIC's exist only as MSRs.
 */
int vlapic_read(struct vlapic *v, uint32_t offset, uint64_t now, uint64_t *value) __must_use;
int vlapic_write(struct vlapic *v, uint32_t offset, uint64_t value, uint64_t now,
		 struct vlapic_effect *effect) __must_use;

/** An APIC-write VM exit at @offset: the processor has stored the value in the page already. */
void vlapic_write_trapped(struct vlapic *v, uint32_t offset, uint64_t now,
			  struct vlapic_effect *effect);

/** IA32_TSC_DEADLINE. */
uint64_t vlapic_read_tsc_deadline(struct vlapic *v, uint64_t now);
void vlapic_write_tsc_deadline(struct vlapic *v, uint64_t value, uint64_t now);

/* ---- interrupts (owner) */

/** Move what was posted into IRR. Call after switching to the vCPU and before each decision below.
 */
void vlapic_merge(struct vlapic *v);

/** The interrupt to take now, by priority, or -1. The caller injects it if RFLAGS.IF and
 * interruptibility permit, and then calls vlapic_ack(). Without virtual-interrupt delivery. */
int vlapic_next_interrupt(struct vlapic *v);
void vlapic_ack(struct vlapic *v, uint8_t vector);

/** True if an interrupt would wake this vCPU from HLT, posted ones included. */
bool vlapic_has_interrupt(struct vlapic *v);

/** With virtual-interrupt delivery: the guest interrupt status, SVI in bits 15:8, RVI in 7:0. The
 * processor keeps it up to date from then on, until @v->moved. */
uint16_t vlapic_interrupt_status(struct vlapic *v);

/**
 * The guest writes @icr in x2APIC mode, with virtual-interrupt delivery: a plain interrupt to
 * itself goes into IRR and into *@status, the guest interrupt status as the processor has it.
 * False, with nothing done: anything else, or a state that the general way has to look at.
 */
bool vlapic_self_ipi(struct vlapic *v, uint64_t icr, uint16_t *status) __must_use;

/** Without it, with a TPR shadow: the TPR threshold, such that lowering TPR exits when that
 * unblocks something. */
uint32_t vlapic_tpr_threshold(struct vlapic *v);

/** CR8, and TPR where the processor does not keep it. */
void vlapic_set_tpr(struct vlapic *v, uint8_t tpr);

/** True if LINT0 would pass a PIC's interrupt. */
bool vlapic_accepts_extint(const struct vlapic *v);

/* ---- the timer (owner) */

/** When vlapic_timer() must be called next; VLAPIC_NEVER if the timer is off. */
static inline uint64_t vlapic_deadline(const struct vlapic *v)
{
	return v->deadline;
}

/** Bring the timer to @now: posts its interrupt if it fired (once, however many periods have
 * passed). True if it fired. */
bool vlapic_timer(struct vlapic *v, uint64_t now);

/** The guest's TSC jumps by @delta: a count in progress keeps its length, a TSC deadline its value.
 */
void vlapic_tsc_moved(struct vlapic *v, int64_t delta);

/* ---- messages (any CPU) */

/** Decode an MSI. @address bits 63:40 extend the destination as in KVM's x2APIC format. */
void vlapic_decode_msi(uint64_t address, uint32_t data, struct vlapic_message *m);

/** True if @m, sent by @source (NULL: a device), reaches @v. Lowest priority not considered. */
bool vlapic_match(const struct vlapic *v, const struct vlapic *source,
		  const struct vlapic_message *m);

/** The APICs among @v[0..@count), @count <= 64, NULL = none there, that get @m: bit n = v[n]. For
 * lowest priority, one. */
uint64_t vlapic_route(struct vlapic *const *v, unsigned int count, const struct vlapic *source,
		      const struct vlapic_message *m);

/** Deliver @m to @v, which it reaches. SMIs and external interrupts are dropped. */
enum vlapic_delivery vlapic_deliver(struct vlapic *v, const struct vlapic_message *m);

/** Post @vector (16..255). True if the vCPU must be notified. */
bool vlapic_set_irr(struct vlapic *v, uint8_t vector, bool level);
