// SPDX-License-Identifier: MIT
/*
 * The table of VMX features behind caps.h: where each one's bits are, and whether we can do
 * without.
 *
 * An option is present when all its bits are allowed. Removing one clears the bits, so that later
 * code has a single source of truth and needs no second test for "switched off". Source: SDM 3D
 * "VMX Capability Reporting Facility" (appendix A).
 */
#include <string.h>

#include <x86/vmx/caps.h>
#include <x86/vmx/vmx_bits.h>

const struct vmx_option_info vmx_options[VMX_OPTIONS] = {
	[VMX_OPT_EPT] = {"ept", "extended page tables (4 levels, write-back, 2 MiB pages, INVEPT)",
			 true, .cpu2 = CPU2_EPT,
			 .ept_vpid = EPT_CAP_4_LEVELS | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT |
				     EPT_CAP_INVEPT_ALL},
	[VMX_OPT_UNRESTRICTED] = {"unrestricted_guest", "unrestricted guest", true,
				  .cpu2 = CPU2_UNRESTRICTED_GUEST},
	[VMX_OPT_EPT_1G] = {"ept_1g", "1 GiB EPT pages", .ept_vpid = EPT_CAP_1G},
	[VMX_OPT_EPT_AD] = {"ept_ad", "EPT accessed/dirty bits", .ept_vpid = EPT_CAP_AD},
	[VMX_OPT_VPID] = {"vpid", "VPID", .cpu2 = CPU2_VPID,
			  .ept_vpid = VPID_CAP_INVVPID | VPID_CAP_INVVPID_ALL},
	[VMX_OPT_INVEPT_SINGLE] = {"invept_single", "single-context INVEPT",
				   .ept_vpid = EPT_CAP_INVEPT_SINGLE},
	[VMX_OPT_INVVPID_SINGLE] = {"invvpid_single", "single-context INVVPID",
				    .ept_vpid = VPID_CAP_INVVPID_SINGLE},
	[VMX_OPT_WAIT_FOR_SIPI] = {"wait_for_sipi", "wait-for-SIPI activity state",
				   .misc = MISC_ACTIVITY_WAIT_FOR_SIPI},
	[VMX_OPT_PREEMPTION_TIMER] = {"preemption_timer", "VMX preemption timer",
				      .pin = PIN_PREEMPTION_TIMER},
	[VMX_OPT_APIC_REGISTERS] = {"apic_registers", "APIC-register virtualization",
				    .cpu = CPU_TPR_SHADOW, .cpu2 = CPU2_APIC_REGISTERS},
	[VMX_OPT_VIRTUAL_INTERRUPTS] = {"virtual_interrupts", "virtual-interrupt delivery",
					.cpu = CPU_TPR_SHADOW, .cpu2 = CPU2_VIRTUAL_INTERRUPTS},
	[VMX_OPT_X2APIC_MODE] = {"x2apic_mode", "virtualized x2APIC mode", .cpu = CPU_TPR_SHADOW,
				 .cpu2 = CPU2_X2APIC_MODE},
	[VMX_OPT_TPR_SHADOW] = {"tpr_shadow", "TPR shadow", .cpu = CPU_TPR_SHADOW},
	[VMX_OPT_VIRTUAL_NMIS] = {"virtual_nmis", "virtual NMIs", true,
				  .pin = PIN_NMI_EXITING | PIN_VIRTUAL_NMIS, .cpu = CPU_NMI_WINDOW},
	[VMX_OPT_XSAVES] = {"xsaves", "XSAVES", .cpu2 = CPU2_XSAVES},
	[VMX_OPT_PERF_GLOBAL_CTRL] = {"perf_global_ctrl", "saved performance-counter enable",
				      .exit = EXIT_LOAD_PERF_GLOBAL_CTRL,
				      .entry = ENTRY_LOAD_PERF_GLOBAL_CTRL},
	[VMX_OPT_PAUSE_LOOP] = {"pause_loop", "PAUSE-loop exiting",
				.cpu2 = CPU2_PAUSE_LOOP_EXITING},
	[VMX_OPT_TSC_SCALING] = {"tsc_scaling", "TSC scaling", .cpu2 = CPU2_TSC_SCALING},
};

void vmx_caps_read(struct vmx_caps *c, uint64_t (*read)(void *ctx, uint32_t msr), void *ctx)
{
	uint32_t first = MSR_IA32_VMX_PINBASED;
	uint64_t value;

	c->basic = read(ctx, MSR_IA32_VMX_BASIC);
	if (c->basic & VMX_BASIC_TRUE_CONTROLS)
		first = MSR_IA32_VMX_TRUE_PINBASED;
	for (unsigned int i = 0; i < VMX_WORDS; i++) { /* low half must be one, high half may */
		value = read(ctx, i + 1 < VMX_WORDS ? first + i : MSR_IA32_VMX_PROCBASED2);
		c->word[i] = (struct vmx_controls){(uint32_t)value, (uint32_t)(value >> 32)};
	}
	c->misc = read(ctx, MSR_IA32_VMX_MISC);
	c->cr0_fixed0 = read(ctx, MSR_IA32_VMX_CR0_FIXED0);
	c->cr0_fixed1 = read(ctx, MSR_IA32_VMX_CR0_FIXED1);
	c->cr4_fixed0 = read(ctx, MSR_IA32_VMX_CR4_FIXED0);
	c->cr4_fixed1 = read(ctx, MSR_IA32_VMX_CR4_FIXED1);
	c->ept_vpid = read(ctx, MSR_IA32_VMX_EPT_VPID);
}

bool vmx_caps_has(const struct vmx_caps *caps, enum vmx_option opt)
{
	const struct vmx_option_info *o = &vmx_options[opt];
	uint64_t missing = (o->ept_vpid & ~caps->ept_vpid) | (o->misc & ~caps->misc);

	for (unsigned int i = 0; i < VMX_WORDS; i++)
		missing |= o->word[i] & ~caps->word[i].may;
	return !missing;
}

enum vmx_option vmx_caps_missing(const struct vmx_caps *caps)
{
	for (unsigned int i = 0; i < VMX_OPTIONS; i++)
		if (vmx_options[i].required && !vmx_caps_has(caps, (enum vmx_option)i))
			return (enum vmx_option)i;
	return VMX_OPTIONS;
}

unsigned int vmx_caps_intersect(struct vmx_caps *into, const struct vmx_caps *other)
{
	unsigned int differences = 0;

	for (unsigned int i = 0; i < VMX_OPTIONS; i++)
		if (vmx_caps_has(into, (enum vmx_option)i) !=
		    vmx_caps_has(other, (enum vmx_option)i))
			differences++;
	for (unsigned int i = 0; i < VMX_WORDS; i++) {
		into->word[i].must |= other->word[i].must;
		into->word[i].may &= other->word[i].may;
	}
	into->cr0_fixed0 |= other->cr0_fixed0;
	into->cr0_fixed1 &= other->cr0_fixed1;
	into->cr4_fixed0 |= other->cr4_fixed0;
	into->cr4_fixed1 &= other->cr4_fixed1;
	into->ept_vpid &= other->ept_vpid;
	/* The timer's rate and the counts in MISC are the boot processor's; only activity states
	 * count. */
	into->misc &= other->misc | ~(MISC_ACTIVITY_HLT | MISC_ACTIVITY_WAIT_FOR_SIPI);
	return differences;
}

void vmx_caps_remove(struct vmx_caps *caps, enum vmx_option opt)
{
	const struct vmx_option_info *o = &vmx_options[opt];
	/* The TPR shadow is part of several options; only its own takes it away. */
	uint32_t keep = opt == VMX_OPT_TPR_SHADOW ? 0 : caps->cpu.may & CPU_TPR_SHADOW;

	for (unsigned int i = 0; i < VMX_WORDS; i++)
		caps->word[i].may &= ~o->word[i];
	caps->cpu.may |= keep;
	caps->ept_vpid &= ~o->ept_vpid;
	caps->misc &= ~o->misc;
}

const char *vmx_caps_apply(struct vmx_caps *caps, const char *list, size_t *length)
{
	while (*list) {
		unsigned int i = 0;

		*length = strcspn(list, ",");
		while (i < VMX_OPTIONS &&
		       (*list != '-' || strlen(vmx_options[i].name) + 1 != *length ||
			strncmp(vmx_options[i].name, list + 1, *length - 1)))
			i++;
		if (i == VMX_OPTIONS)
			return list;
		vmx_caps_remove(caps, (enum vmx_option)i);
		list += *length;
		list += *list == ',';
	}
	return NULL;
}
