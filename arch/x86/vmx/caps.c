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

struct option_bits {
	const char *name, *title;
	bool required;
	uint32_t pin, cpu, cpu2, exit, entry;
	uint64_t ept_vpid, misc;
};

static const struct option_bits options[VMX_OPTIONS] = {
	[VMX_OPT_EPT] = {.name = "ept",
			 .title =
				 "extended page tables (4 levels, write-back, 2 MiB pages, INVEPT)",
			 .required = true,
			 .cpu2 = CPU2_EPT,
			 .ept_vpid = EPT_CAP_4_LEVELS | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT |
				     EPT_CAP_INVEPT_ALL},
	[VMX_OPT_UNRESTRICTED] = {.name = "unrestricted_guest",
				  .title = "unrestricted guest",
				  .required = true,
				  .cpu2 = CPU2_UNRESTRICTED_GUEST},
	[VMX_OPT_EPT_1G] = {.name = "ept_1g", .title = "1 GiB EPT pages", .ept_vpid = EPT_CAP_1G},
	[VMX_OPT_EPT_AD] = {.name = "ept_ad",
			    .title = "EPT accessed/dirty bits",
			    .ept_vpid = EPT_CAP_AD},
	[VMX_OPT_VPID] = {.name = "vpid",
			  .title = "VPID",
			  .cpu2 = CPU2_VPID,
			  .ept_vpid = VPID_CAP_INVVPID | VPID_CAP_INVVPID_ALL},
	[VMX_OPT_INVEPT_SINGLE] = {.name = "invept_single",
				   .title = "single-context INVEPT",
				   .ept_vpid = EPT_CAP_INVEPT_SINGLE},
	[VMX_OPT_INVVPID_SINGLE] = {.name = "invvpid_single",
				    .title = "single-context INVVPID",
				    .ept_vpid = VPID_CAP_INVVPID_SINGLE},
	[VMX_OPT_WAIT_FOR_SIPI] = {.name = "wait_for_sipi",
				   .title = "wait-for-SIPI activity state",
				   .misc = MISC_ACTIVITY_WAIT_FOR_SIPI},
	[VMX_OPT_PREEMPTION_TIMER] = {.name = "preemption_timer",
				      .title = "VMX preemption timer",
				      .pin = PIN_PREEMPTION_TIMER},
	[VMX_OPT_APIC_REGISTERS] = {.name = "apic_registers",
				    .title = "APIC-register virtualization",
				    .cpu = CPU_TPR_SHADOW,
				    .cpu2 = CPU2_APIC_REGISTERS},
	[VMX_OPT_VIRTUAL_INTERRUPTS] = {.name = "virtual_interrupts",
					.title = "virtual-interrupt delivery",
					.cpu = CPU_TPR_SHADOW,
					.cpu2 = CPU2_VIRTUAL_INTERRUPTS},
	[VMX_OPT_X2APIC_MODE] = {.name = "x2apic_mode",
				 .title = "virtualized x2APIC mode",
				 .cpu = CPU_TPR_SHADOW,
				 .cpu2 = CPU2_X2APIC_MODE},
	[VMX_OPT_TPR_SHADOW] = {.name = "tpr_shadow", .title = "TPR shadow", .cpu = CPU_TPR_SHADOW},
	[VMX_OPT_VIRTUAL_NMIS] = {.name = "virtual_nmis",
				  .title = "virtual NMIs",
				  .required = true,
				  .pin = PIN_NMI_EXITING | PIN_VIRTUAL_NMIS,
				  .cpu = CPU_NMI_WINDOW},
	[VMX_OPT_XSAVES] = {.name = "xsaves", .title = "XSAVES", .cpu2 = CPU2_XSAVES},
	[VMX_OPT_PERF_GLOBAL_CTRL] = {.name = "perf_global_ctrl",
				      .title = "saved performance-counter enable",
				      .exit = EXIT_LOAD_PERF_GLOBAL_CTRL,
				      .entry = ENTRY_LOAD_PERF_GLOBAL_CTRL},
	[VMX_OPT_PAUSE_LOOP] = {.name = "pause_loop",
				.title = "PAUSE-loop exiting",
				.cpu2 = CPU2_PAUSE_LOOP_EXITING},
	[VMX_OPT_TSC_SCALING] = {.name = "tsc_scaling",
				 .title = "TSC scaling",
				 .cpu2 = CPU2_TSC_SCALING},
};

struct vmx_controls vmx_controls_of(uint64_t msr)
{
	return (struct vmx_controls){.must = (uint32_t)msr, .may = (uint32_t)(msr >> 32)};
}

static bool all_in(uint64_t bits, uint64_t set)
{
	return (bits & ~set) == 0;
}

bool vmx_caps_has(const struct vmx_caps *caps, enum vmx_option opt)
{
	const struct option_bits *o = &options[opt];

	return all_in(o->pin, caps->pin.may) && all_in(o->cpu, caps->cpu.may) &&
	       all_in(o->cpu2, caps->cpu2.may) && all_in(o->exit, caps->exit.may) &&
	       all_in(o->entry, caps->entry.may) && all_in(o->ept_vpid, caps->ept_vpid) &&
	       all_in(o->misc, caps->misc);
}

const char *vmx_option_name(enum vmx_option opt)
{
	return options[opt].name;
}

const char *vmx_option_title(enum vmx_option opt)
{
	return options[opt].title;
}

bool vmx_option_required(enum vmx_option opt)
{
	return options[opt].required;
}

enum vmx_option vmx_caps_missing(const struct vmx_caps *caps)
{
	for (unsigned int i = 0; i < VMX_OPTIONS; i++)
		if (options[i].required && !vmx_caps_has(caps, (enum vmx_option)i))
			return (enum vmx_option)i;
	return VMX_OPTIONS;
}

static void controls_intersect(struct vmx_controls *into, const struct vmx_controls *other)
{
	into->must |= other->must;
	into->may &= other->may;
}

unsigned int vmx_caps_intersect(struct vmx_caps *into, const struct vmx_caps *other)
{
	unsigned int differences = 0;

	for (unsigned int i = 0; i < VMX_OPTIONS; i++)
		if (vmx_caps_has(into, (enum vmx_option)i) !=
		    vmx_caps_has(other, (enum vmx_option)i))
			differences++;
	controls_intersect(&into->pin, &other->pin);
	controls_intersect(&into->cpu, &other->cpu);
	controls_intersect(&into->cpu2, &other->cpu2);
	controls_intersect(&into->exit, &other->exit);
	controls_intersect(&into->entry, &other->entry);
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
	const struct option_bits *o = &options[opt];

	/* The TPR shadow and NMI-window bits belong to several options; the option's own bits go.
	 */
	caps->pin.may &= ~(o->pin & ~(uint32_t)PIN_NMI_EXITING);
	caps->cpu2.may &= ~o->cpu2;
	if (opt == VMX_OPT_TPR_SHADOW)
		caps->cpu.may &= ~o->cpu;
	caps->exit.may &= ~o->exit;
	caps->entry.may &= ~o->entry;
	caps->ept_vpid &= ~o->ept_vpid;
	caps->misc &= ~o->misc;
}

const char *vmx_caps_apply(struct vmx_caps *caps, const char *list, size_t *length)
{
	while (*list) {
		size_t n = strcspn(list, ",");
		unsigned int i = VMX_OPTIONS;

		if (n > 1 && list[0] == '-')
			for (i = 0; i < VMX_OPTIONS; i++)
				if (strlen(options[i].name) == n - 1 &&
				    strncmp(options[i].name, list + 1, n - 1) == 0)
					break;
		if (i == VMX_OPTIONS) {
			*length = n;
			return list;
		}
		vmx_caps_remove(caps, (enum vmx_option)i);
		list += n;
		if (*list == ',')
			list++;
	}
	return NULL;
}

uint32_t vmx_controls_adjust(struct vmx_controls c, uint32_t want, uint32_t *lost)
{
	if (lost)
		*lost = want & ~c.may;
	return (want | c.must) & c.may;
}
