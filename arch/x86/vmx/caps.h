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
 * Pure: the MSRs come through a callback. Next: vmx_on.c, control_boot.c.
 */
#pragma once

#include <abi/info.h>
#include <types.h>

struct vmx_controls {
	uint32_t must; /* bits that have to be 1 */
	uint32_t may;  /* bits that may be 1 */
};

/* One of each control word, by name or by number. */
#define VMX_WORDS 5
#define VMX_CONTROL_WORDS(type)                                                                    \
	union {                                                                                    \
		struct {                                                                           \
			type pin, cpu, exit, entry, cpu2;                                          \
		};                                                                                 \
		type word[VMX_WORDS];                                                              \
	}

struct vmx_caps {
	bool vmx;
	uint64_t feature_control;
	uint64_t basic, misc, ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	VMX_CONTROL_WORDS(struct vmx_controls);
};

/* Those that `hornero info` shows have their numbers there. */
enum vmx_option {
	VMX_OPT_EPT_1G = HV_FEATURE_EPT_1G,
	VMX_OPT_VPID = HV_FEATURE_VPID,
	VMX_OPT_EPT_AD = HV_FEATURE_EPT_AD,
	VMX_OPT_WAIT_FOR_SIPI = HV_FEATURE_WAIT_FOR_SIPI,
	VMX_OPT_PREEMPTION_TIMER = HV_FEATURE_PREEMPTION_TIMER,
	VMX_OPT_APIC_REGISTERS = HV_FEATURE_APIC_REGISTERS,
	VMX_OPT_VIRTUAL_INTERRUPTS = HV_FEATURE_VIRTUAL_INTERRUPTS,
	VMX_OPT_X2APIC_MODE = HV_FEATURE_X2APIC_MODE,
	VMX_OPT_XSAVES = HV_FEATURE_XSAVES,
	VMX_OPT_INVEPT_SINGLE = HV_FEATURE_INVEPT_SINGLE,
	VMX_OPT_INVVPID_SINGLE = HV_FEATURE_INVVPID_SINGLE,
	VMX_OPTIONS_SHOWN,
	VMX_OPT_EPT = VMX_OPTIONS_SHOWN,
	VMX_OPT_UNRESTRICTED,
	VMX_OPT_TPR_SHADOW,
	VMX_OPT_VIRTUAL_NMIS,
	VMX_OPT_PERF_GLOBAL_CTRL,
	VMX_OPT_PAUSE_LOOP,
	VMX_OPT_TSC_SCALING,
	VMX_OPTIONS,
};

struct vmx_option_info {
	const char *name, *title; /* for the command line; for people */
	bool required;
	VMX_CONTROL_WORDS(uint32_t);
	uint64_t ept_vpid, misc;
};

extern const struct vmx_option_info vmx_options[VMX_OPTIONS];

/** Fill @caps from the capability MSRs that @read returns (0 where there is none). */
void vmx_caps_read(struct vmx_caps *caps, uint64_t (*read)(void *ctx, uint32_t msr), void *ctx);

/** True if @caps offers @opt. */
bool vmx_caps_has(const struct vmx_caps *caps, enum vmx_option opt);

/** First required option that @caps lacks, or VMX_OPTIONS if none is missing. */
enum vmx_option vmx_caps_missing(const struct vmx_caps *caps);

/** Reduce @into to what @other offers too; returns the number of options in which they differed. */
unsigned int vmx_caps_intersect(struct vmx_caps *into, const struct vmx_caps *other);

/** Take @opt away from @caps. */
void vmx_caps_remove(struct vmx_caps *caps, enum vmx_option opt);

/** Take away every option that @list ("-vpid,-ept") names. Returns the first word that names none,
 * with its length in @length, or NULL. */
const char *vmx_caps_apply(struct vmx_caps *caps, const char *list, size_t *length);
