// SPDX-License-Identifier: MIT
/*
 * What keeps speculative execution from carrying data across a change of guest.
 *
 * The CPU says what it needs (CPUID and IA32_ARCH_CAPABILITIES); nothing is done where it says it
 * is not affected. Before a guest runs, buffers that may hold somebody else's data are cleared;
 * when it has run, the return stack holds no address of its choosing; predictors are flushed when
 * another VM is next. Not here: sibling threads (a core shared by two VMs needs SMT off where MDS
 * or L1TF leak). Source: Intel, "Speculative Execution Side Channel Mitigations"; SDM 3A
 * "Microarchitectural Data Sampling".
 */
#pragma once

#include <types.h>

struct speculation {
	bool spec_ctrl;	    /* IA32_SPEC_CTRL and IBPB exist */
	bool clear_buffers; /* VERW before entry: MDS, TAA, MMIO stale data */
	bool flush_l1d;	    /* before entry: L1TF */
	bool fill_rsb;	    /* after exit: no enhanced IBRS to do it */
};

extern struct speculation speculation;

/** Find out what this CPU needs. Context: boot, each CPU; needs of all CPUs add up. */
void speculation_init(void);

/** Last thing before entering a guest. */
void speculation_before_guest(void);

/** First thing after a guest has run. */
void speculation_after_guest(void);

/** Forget what the predictors learned: another VM runs next. */
void speculation_barrier(void);
