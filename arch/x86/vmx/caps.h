// SPDX-License-Identifier: MIT
/*
 * What the processors' VMX can do, as plain data.
 *
 * Every CPU reads its capability MSRs into a struct vmx_caps; the hypervisor works with the
 * intersection of all of them (hybrid parts differ) and names each difference. Requirements and
 * options are one table, so that boot, `hornero info` and the refusal message speak of the same
 * things. An option can be switched off by the command line (`cpu_features=-vpid,-wait_for_sipi`)
 * to test the path without it.
 *
 * Pure: reading the MSRs is vmx.c's. Next: vmx.c, control_vmcs.c.
 */
#pragma once

#include <types.h>

struct vmx_controls {
	uint32_t must; /* bits that have to be 1 */
	uint32_t may;  /* bits that may be 1 */
};

struct vmx_caps {
	bool vmx;
	uint64_t feature_control;
	uint64_t basic, misc, ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	struct vmx_controls pin, cpu, cpu2, exit, entry;
};

enum vmx_option {
	VMX_OPT_EPT,
	VMX_OPT_UNRESTRICTED,
	VMX_OPT_EPT_1G,
	VMX_OPT_EPT_AD,
	VMX_OPT_VPID,
	VMX_OPT_INVEPT_SINGLE,
	VMX_OPT_INVVPID_SINGLE,
	VMX_OPT_WAIT_FOR_SIPI,
	VMX_OPT_PREEMPTION_TIMER,
	VMX_OPT_APIC_REGISTERS,
	VMX_OPT_VIRTUAL_INTERRUPTS,
	VMX_OPT_X2APIC_MODE,
	VMX_OPT_TPR_SHADOW,
	VMX_OPT_VIRTUAL_NMIS,
	VMX_OPT_XSAVES,
	VMX_OPT_PERF_GLOBAL_CTRL,
	VMX_OPT_PAUSE_LOOP,
	VMX_OPT_TSC_SCALING,
	VMX_OPTIONS,
};

/** Split a capability MSR value: low half must be one, high half may be one. */
struct vmx_controls vmx_controls_of(uint64_t msr);

/** True if @caps offers @opt. */
bool vmx_caps_has(const struct vmx_caps *caps, enum vmx_option opt);

/** Short name of @opt as the command line writes it, and a name for people. */
const char *vmx_option_name(enum vmx_option opt);
const char *vmx_option_title(enum vmx_option opt);
bool vmx_option_required(enum vmx_option opt);

/** First required option that @caps lacks, or VMX_OPTIONS if none is missing. */
enum vmx_option vmx_caps_missing(const struct vmx_caps *caps);

/** Reduce @into to what @other offers too; returns the number of options in which they differed. */
unsigned int vmx_caps_intersect(struct vmx_caps *into, const struct vmx_caps *other);

/** Take @opt away from @caps. */
void vmx_caps_remove(struct vmx_caps *caps, enum vmx_option opt);

/** Take away every option that @list ("-vpid,-ept") names. Returns the first word that names none,
 * with its length in @length, or NULL. */
const char *vmx_caps_apply(struct vmx_caps *caps, const char *list, size_t *length);

/** Control word: @want plus what must be, minus what may not be. @lost receives wanted bits that
 * are not offered (may be NULL). */
uint32_t vmx_controls_adjust(struct vmx_controls c, uint32_t want, uint32_t *lost);
