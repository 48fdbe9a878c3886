// SPDX-License-Identifier: MIT
/*
 * What keeps speculative execution from carrying data across a change of guest.
 *
 * The CPU says what it needs (CPUID and IA32_ARCH_CAPABILITIES); nothing is done where it says it
 * is not affected. Before a guest runs, buffers that may hold somebody else's data are cleared;
 * when it has run, the return stack holds no address of its choosing; predictors are flushed when
 * the control domain or another VM is next. The control domain needs that on every CPU: enhanced
 * IBRS keeps what VMX non-root operation trained from root operation, but Linux runs in non-root
 * operation here, at the same privilege level as the guest. Not here: sibling threads (a core
 * shared by two VMs needs SMT off where MDS or L1TF leak). Source: Intel, "Speculative Execution
 * Side Channel Mitigations"; SDM 3A "Microarchitectural Data Sampling".
 */
#pragma once

#include <types.h>
#include <x86/layout.h>

struct speculation {
	bool spec_ctrl;	    /* IA32_SPEC_CTRL and IBPB exist */
	bool clear_buffers; /* VERW before entry: MDS, TAA, MMIO stale data */
	bool flush_l1d;	    /* before entry: L1TF */
	bool fill_rsb;	    /* after exit: no enhanced IBRS to do it */
	bool small_code;    /* guests get code in 4 KiB pages: see EPT_CODE (vmx/ept.h) */
};

extern struct speculation speculation;

/** Find out what this CPU needs. Context: boot, each CPU; needs of all CPUs add up. */
void speculation_init(void);

/** Before a guest's stay. */
void speculation_flush_l1d(void);
static inline void speculation_before_stay(void)
{
	if (speculation.flush_l1d)
		speculation_flush_l1d();
}

/** Last thing before entering a guest. With microcode that has MD_CLEAR, VERW overwrites the
 * buffers as a side effect; only the form with a memory operand does. */
static inline void speculation_clear_buffers(void)
{
	static const uint16_t selector = SEL_DATA;

	if (speculation.clear_buffers)
		__asm__ volatile("verw %0" ::"m"(selector) : "cc");
}

/** First thing after a guest has run, with `fill_rsb`; called by entry.S. */
void speculation_fill_rsb(void);

/** Forget what the predictors learned: another VM runs next. */
void speculation_barrier(void);

/** After a guest's stay: forget what the predictors learned, and leave the return stack with
 * nothing of the guest's below what is called here. */
void speculation_forget(void);
static inline void speculation_after_stay(void)
{
	if (speculation.spec_ctrl)
		speculation_forget();
}
