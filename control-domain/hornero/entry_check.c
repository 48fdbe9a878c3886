// SPDX-License-Identifier: MIT
/*
 * VM-entry checks on controls and host state (see entry_check.h), in the SDM's order.
 */
#include "entry_check_internal.h"

#define ENTRY_SMM	 (3u << 10) /* entry to SMM, deactivate dual-monitor treatment */
#define EVENT_RESERVED	 0x7ffff000u
#define TYPE_OTHER	 (7u << 8)
#define ERROR_VECTORS	 (BIT64(8) | MASK64(14, 10) | BIT64(17))
#define ERROR_VECTOR_CET BIT64(21) /* #CP, where the processor has CET */
#define BASIC_ANY_ERROR	 BIT64(56) /* any hardware exception may or may not carry an error code */
#define MISC_LENGTH_ZERO BIT64(30)
#define EPTP_RESERVED	 (BIT64(7) | MASK64(11, 8))

static bool allowed(uint32_t value, struct vmx_controls caps)
{
	return (value & caps.must) == caps.must && !(value & ~caps.may);
}

static bool check_execution(struct check *c)
{
	const struct vmx_caps *caps = c->env->caps;

	RULE(FIELD_PIN_CONTROLS, allowed(c->pin, caps->pin),
	     "every bit is as the capability MSR allows");
	RULE(FIELD_CPU_CONTROLS, allowed(c->cpu, caps->cpu),
	     "every bit is as the capability MSR allows");
	if (c->cpu & CPU_SECONDARY)
		RULE(FIELD_CPU2_CONTROLS, allowed(c->cpu2, caps->cpu2),
		     "every bit is as the capability MSR allows");
	RULE(FIELD_CR3_TARGET_COUNT, GET(FIELD_CR3_TARGET_COUNT) <= field_get(caps->misc, 24, 16),
	     "no more CR3 targets than the processor has");
	if (c->cpu & CPU_IO_BITMAPS) {
		RULE(FIELD_IO_BITMAP_A, entry_page(c, GET(FIELD_IO_BITMAP_A)), "a physical page");
		RULE(FIELD_IO_BITMAP_B, entry_page(c, GET(FIELD_IO_BITMAP_B)), "a physical page");
	}
	if (c->cpu & CPU_MSR_BITMAPS)
		RULE(FIELD_MSR_BITMAP, entry_page(c, GET(FIELD_MSR_BITMAP)), "a physical page");
	RULE(FIELD_PIN_CONTROLS, (c->pin & PIN_NMI_EXITING) || !(c->pin & PIN_VIRTUAL_NMIS),
	     "virtual NMIs need NMI exiting");
	RULE(FIELD_CPU_CONTROLS, (c->pin & PIN_VIRTUAL_NMIS) || !(c->cpu & CPU_NMI_WINDOW),
	     "NMI-window exiting needs virtual NMIs");
	return true;
}

static bool check_apic(struct check *c)
{
	if (c->cpu & CPU_TPR_SHADOW) {
		RULE(FIELD_VIRTUAL_APIC_PAGE, entry_page(c, GET(FIELD_VIRTUAL_APIC_PAGE)),
		     "a physical page");
		RULE(FIELD_TPR_THRESHOLD,
		     (c->cpu2 & CPU2_VIRTUAL_INTERRUPTS) ||
			     !(GET(FIELD_TPR_THRESHOLD) & ~UINT64_C(0xf)),
		     "bits 31:4 are 0 without virtual-interrupt delivery");
	} else {
		RULE(FIELD_CPU2_CONTROLS,
		     !(c->cpu2 &
		       (CPU2_X2APIC_MODE | CPU2_APIC_REGISTERS | CPU2_VIRTUAL_INTERRUPTS)),
		     "APIC virtualization needs the TPR shadow");
	}
	if (c->cpu2 & CPU2_APIC_ACCESSES) {
		RULE(FIELD_APIC_ACCESS_PAGE, entry_page(c, GET(FIELD_APIC_ACCESS_PAGE)),
		     "a physical page");
		RULE(FIELD_CPU2_CONTROLS, !(c->cpu2 & CPU2_X2APIC_MODE),
		     "virtualize APIC accesses excludes virtualize x2APIC mode");
	}
	if (c->cpu2 & CPU2_VIRTUAL_INTERRUPTS)
		RULE(FIELD_PIN_CONTROLS, c->pin & PIN_EXTERNAL_INTERRUPT_EXITING,
		     "virtual-interrupt delivery needs external-interrupt exiting");
	if (c->pin & PIN_POSTED_INTERRUPTS) {
		RULE(FIELD_PIN_CONTROLS,
		     (c->cpu2 & CPU2_VIRTUAL_INTERRUPTS) && (c->exit & EXIT_ACK_INTERRUPT),
		     "posted interrupts need virtual-interrupt delivery and acknowledge on exit");
		RULE(FIELD_POSTED_INTERRUPT_VECTOR, GET(FIELD_POSTED_INTERRUPT_VECTOR) <= 0xff,
		     "a vector");
	}
	return true;
}

static bool check_translation(struct check *c)
{
	uint64_t cap = c->env->caps->ept_vpid, eptp;

	if (c->cpu2 & CPU2_VPID)
		RULE(FIELD_VPID, GET(FIELD_VPID) != 0, "not 0, which is the hypervisor's");
	RULE(FIELD_CPU2_CONTROLS, (c->cpu2 & CPU2_EPT) || !(c->cpu2 & CPU2_UNRESTRICTED_GUEST),
	     "unrestricted guest needs EPT");
	if (!(c->cpu2 & CPU2_EPT))
		return true;
	eptp = GET(FIELD_EPT_POINTER);
	RULE(FIELD_EPT_POINTER,
	     ((eptp & 7) == 0 && (cap & EPT_CAP_UC)) || ((eptp & 7) == 6 && (cap & EPT_CAP_WB)),
	     "the memory type is one that the processor supports for tables");
	RULE(FIELD_EPT_POINTER, (eptp >> 3 & 7) == 3 && (cap & EPT_CAP_4_LEVELS),
	     "a walk of 4 levels");
	RULE(FIELD_EPT_POINTER, !(eptp & BIT64(6)) || (cap & EPT_CAP_AD),
	     "accessed and dirty flags only where the processor has them");
	RULE(FIELD_EPT_POINTER, !(eptp & EPTP_RESERVED) && entry_physical(c, eptp),
	     "reserved bits are 0");
	return true;
}

/** Does the event to inject carry an error code? @pe: the guest is in protected mode, or must be.
 */
static bool event_error_code(const struct check *c, bool pe)
{
	uint64_t vectors = ERROR_VECTORS;

	if (c->env->caps->cr4_fixed1 & CR4_CET)
		vectors |= ERROR_VECTOR_CET;
	return pe && INTR_TYPE(c->event) == INTR_TYPE_HARDWARE && INTR_VECTOR(c->event) < 32 &&
	       (vectors >> INTR_VECTOR(c->event) & 1);
}

static bool check_event(struct check *c)
{
	uint32_t type = INTR_TYPE(c->event), vector = INTR_VECTOR(c->event);
	bool pe = !(c->cpu2 & CPU2_UNRESTRICTED_GUEST) || (GET(FIELD_GUEST_CR0) & CR0_PE);
	bool carries = c->event & INTR_ERROR_CODE;
	uint64_t length;

	if (!c->event)
		return true;
	RULE(FIELD_ENTRY_INTERRUPTION,
	     type != 1u << 8 && (type != TYPE_OTHER || (c->env->caps->cpu.may & CPU_MONITOR_TRAP)),
	     "a type of event that exists");
	RULE(FIELD_ENTRY_INTERRUPTION, type != INTR_TYPE_NMI || vector == 2, "an NMI has vector 2");
	RULE(FIELD_ENTRY_INTERRUPTION, type != INTR_TYPE_HARDWARE || vector < 32,
	     "a hardware exception has a vector below 32");
	RULE(FIELD_ENTRY_INTERRUPTION, type != TYPE_OTHER || vector == 0,
	     "a pending MTF exit has vector 0");
	if ((c->env->caps->basic & BASIC_ANY_ERROR) && pe && type == INTR_TYPE_HARDWARE)
		carries = event_error_code(c, pe); /* as you like */
	RULE(FIELD_ENTRY_INTERRUPTION, carries == event_error_code(c, pe),
	     "an error code is delivered exactly with the exceptions that have one, in protected mode");
	RULE(FIELD_ENTRY_INTERRUPTION, !(c->event & EVENT_RESERVED), "reserved bits are 0");
	if (c->event & INTR_ERROR_CODE)
		RULE(FIELD_ENTRY_ERROR_CODE, GET(FIELD_ENTRY_ERROR_CODE) <= 0xffff, "16 bits");
	if (type == INTR_TYPE_SOFT_INT || type == INTR_TYPE_PRIV_SOFT ||
	    type == INTR_TYPE_SOFT_EXC) {
		length = GET(FIELD_ENTRY_INSN_LENGTH);
		RULE(FIELD_ENTRY_INSN_LENGTH,
		     length <= 15 && (length || (c->env->caps->misc & MISC_LENGTH_ZERO)),
		     "software events have an instruction length of 1 to 15");
	}
	return true;
}

static bool check_exit_entry(struct check *c)
{
	const struct vmx_caps *caps = c->env->caps;

	RULE(FIELD_EXIT_CONTROLS, allowed(c->exit, caps->exit),
	     "every bit is as the capability MSR allows");
	RULE(FIELD_EXIT_CONTROLS,
	     (c->pin & PIN_PREEMPTION_TIMER) || !(c->exit & EXIT_SAVE_PREEMPTION_TIMER),
	     "saving the preemption timer needs the preemption timer");
	RULE(FIELD_ENTRY_CONTROLS, allowed(c->entry, caps->entry),
	     "every bit is as the capability MSR allows");
	RULE(FIELD_ENTRY_CONTROLS, !(c->entry & ENTRY_SMM), "entry to SMM is for SMM monitors");
	return check_event(c);
}

static bool check_host(struct check *c)
{
	static const enum field selectors[] = {FIELD_HOST_ES_SELECTOR, FIELD_HOST_CS_SELECTOR,
					       FIELD_HOST_SS_SELECTOR, FIELD_HOST_DS_SELECTOR,
					       FIELD_HOST_FS_SELECTOR, FIELD_HOST_GS_SELECTOR,
					       FIELD_HOST_TR_SELECTOR};
	static const enum field linear[] = {FIELD_HOST_SYSENTER_ESP, FIELD_HOST_SYSENTER_EIP,
					    FIELD_HOST_FS_BASE,	     FIELD_HOST_GS_BASE,
					    FIELD_HOST_GDTR_BASE,    FIELD_HOST_IDTR_BASE,
					    FIELD_HOST_TR_BASE,	     FIELD_HOST_RIP};
	const struct vmx_caps *caps = c->env->caps;

	RULE(FIELD_HOST_CR0, entry_fixed(GET(FIELD_HOST_CR0), caps->cr0_fixed0, caps->cr0_fixed1),
	     "the bits that VMX fixes are as it wants them");
	RULE(FIELD_HOST_CR4, entry_fixed(GET(FIELD_HOST_CR4), caps->cr4_fixed0, caps->cr4_fixed1),
	     "the bits that VMX fixes are as it wants them");
	RULE(FIELD_HOST_CR3, entry_physical(c, GET(FIELD_HOST_CR3)), "a physical address");
	if (c->exit & EXIT_LOAD_PAT)
		RULE(FIELD_HOST_PAT, entry_pat(GET(FIELD_HOST_PAT)), "each byte is a memory type");
	RULE(FIELD_EXIT_CONTROLS, c->exit & EXIT_HOST_64,
	     "a 64-bit hypervisor returns to 64-bit mode");
	if (c->exit & EXIT_LOAD_EFER) {
		RULE(FIELD_HOST_EFER, !(GET(FIELD_HOST_EFER) & ~EFER_BITS), "reserved bits are 0");
		RULE(FIELD_HOST_EFER,
		     (GET(FIELD_HOST_EFER) & EFER_LMA) && (GET(FIELD_HOST_EFER) & EFER_LME),
		     "long mode is enabled and active");
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(selectors); i++)
		RULE(selectors[i], !(GET(selectors[i]) & 7), "a GDT selector with RPL 0");
	RULE(FIELD_HOST_CS_SELECTOR, GET(FIELD_HOST_CS_SELECTOR) != 0, "not the null selector");
	RULE(FIELD_HOST_TR_SELECTOR, GET(FIELD_HOST_TR_SELECTOR) != 0, "not the null selector");
	for (unsigned int i = 0; i < ARRAY_SIZE(linear); i++)
		RULE(linear[i], entry_canonical(c, GET(linear[i])), "a canonical address");
	RULE(FIELD_HOST_CR4, GET(FIELD_HOST_CR4) & CR4_PAE, "PAE is set");
	return true;
}

bool entry_check(const struct entry_env *env, struct entry_failure *failure)
{
	struct check check = {.env = env, .failure = failure}, *c = &check;

	c->pin = (uint32_t)GET(FIELD_PIN_CONTROLS);
	c->cpu = (uint32_t)GET(FIELD_CPU_CONTROLS);
	c->cpu2 = c->cpu & CPU_SECONDARY ? (uint32_t)GET(FIELD_CPU2_CONTROLS) : 0;
	c->exit = (uint32_t)GET(FIELD_EXIT_CONTROLS);
	c->entry = (uint32_t)GET(FIELD_ENTRY_CONTROLS);
	c->event = (uint32_t)GET(FIELD_ENTRY_INTERRUPTION);
	if (!(c->event & INTR_VALID))
		c->event = 0;
	return check_execution(c) && check_apic(c) && check_translation(c) && check_exit_entry(c) &&
	       check_host(c) && entry_check_guest(c);
}
