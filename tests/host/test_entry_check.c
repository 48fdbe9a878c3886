// SPDX-License-Identifier: MIT
// sources: control-domain/hornero/entry_check.c control-domain/hornero/entry_check_guest.c
/*
 * The software run of the VM-entry checks: three good VMCSs (64-bit, real mode, virtual-8086 mode),
 * and for each rule at least one change that breaks it. The last test reads the sources and fails
 * for a rule that no vector has reached. The fake VMCS refuses reads of fields that the controls do
 * not enable.
 */
#include "test.h"

#include "control-domain/hornero/entry_check_internal.h"

static const struct vmx_caps full_caps = {
	.misc = 4u << 16 | MISC_ACTIVITY_HLT | MISC_ACTIVITY_HLT << 1 | MISC_ACTIVITY_WAIT_FOR_SIPI,
	.ept_vpid = EPT_CAP_4_LEVELS | EPT_CAP_WB | EPT_CAP_AD,
	.cr0_fixed0 = 0x80000021,
	.cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000,
	.cr4_fixed1 = 0xffffff,
	.pin = {0x16, 0x16 | PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS |
			      PIN_PREEMPTION_TIMER | PIN_POSTED_INTERRUPTS},
	.cpu = {0x0401e172, 0xfff9fffe},
	.cpu2 = {0, 0x0fffffff & ~(1u << 27)},
	.exit = {0x36dff, 0x7fffff},
	.entry = {0x11ff, 0x1ffff},
};

static uint64_t value[0x8000];
static struct vmx_caps caps;
static struct entry_env env;

static uint64_t fake_read(void *ctx, uint32_t encoding)
{
	uint32_t cpu = (uint32_t)value[FIELD_CPU_CONTROLS],
		 cpu2 = (uint32_t)value[FIELD_CPU2_CONTROLS];

	CHECK(ctx == &env);
	if (!(cpu & CPU_SECONDARY)) {
		CHECK(encoding != FIELD_CPU2_CONTROLS);
		cpu2 = 0;
	}
	CHECK(encoding != FIELD_EPT_POINTER || (cpu2 & CPU2_EPT));
	CHECK(encoding < FIELD_GUEST_PDPTE0 || encoding > FIELD_GUEST_PDPTE3 || (cpu2 & CPU2_EPT));
	CHECK(encoding != FIELD_VPID || (cpu2 & CPU2_VPID));
	CHECK((encoding != FIELD_VIRTUAL_APIC_PAGE && encoding != FIELD_TPR_THRESHOLD) ||
	      (cpu & CPU_TPR_SHADOW));
	CHECK(encoding != FIELD_POSTED_INTERRUPT_VECTOR ||
	      (value[FIELD_PIN_CONTROLS] & PIN_POSTED_INTERRUPTS));
	CHECK(encoding != FIELD_GUEST_EFER || (value[FIELD_ENTRY_CONTROLS] & ENTRY_LOAD_EFER));
	CHECK(encoding != FIELD_GUEST_PAT || (value[FIELD_ENTRY_CONTROLS] & ENTRY_LOAD_PAT));
	CHECK(encoding != FIELD_HOST_EFER || (value[FIELD_EXIT_CONTROLS] & EXIT_LOAD_EFER));
	CHECK(encoding != FIELD_HOST_PAT || (value[FIELD_EXIT_CONTROLS] & EXIT_LOAD_PAT));
	return value[encoding];
}

enum base { LONG, REAL, V86, PAE, PLAIN /* 64-bit, without EPT and secondary controls */ };

static void segment(uint32_t index, uint64_t selector, uint64_t base, uint64_t limit,
		    uint64_t access)
{
	value[FIELD_GUEST_ES_SELECTOR + 2 * index] = selector;
	value[FIELD_GUEST_ES_BASE + 2 * index] = base;
	value[FIELD_GUEST_ES_LIMIT + 2 * index] = limit;
	value[FIELD_GUEST_ES_ACCESS + 2 * index] = access;
}

static void good(enum base base)
{
	memset(value, 0, sizeof(value));
	caps = full_caps;
	env = (struct entry_env){fake_read, &env, &caps, 39, 48};
	value[FIELD_PIN_CONTROLS] = 0x16 | PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING |
				    PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER;
	value[FIELD_CPU_CONTROLS] =
		0x0401e172u | CPU_SECONDARY | CPU_TPR_SHADOW | CPU_IO_BITMAPS | CPU_MSR_BITMAPS;
	value[FIELD_CPU2_CONTROLS] = CPU2_EPT | CPU2_VPID | CPU2_UNRESTRICTED_GUEST |
				     CPU2_APIC_ACCESSES | CPU2_APIC_REGISTERS |
				     CPU2_VIRTUAL_INTERRUPTS;
	value[FIELD_EXIT_CONTROLS] = 0x36dff | EXIT_HOST_64 | EXIT_LOAD_EFER | EXIT_LOAD_PAT |
				     EXIT_SAVE_PREEMPTION_TIMER;
	value[FIELD_ENTRY_CONTROLS] = 0x11ff | ENTRY_LOAD_EFER | ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG;
	value[FIELD_VPID] = 1;
	value[FIELD_EPT_POINTER] = 0x1234501e | BIT64(6);
	for (uint32_t f = FIELD_HOST_ES_SELECTOR; f <= FIELD_HOST_GS_SELECTOR; f += 2)
		value[f] = f == FIELD_HOST_CS_SELECTOR ? 8 : 0;
	value[FIELD_HOST_TR_SELECTOR] = 0x18;
	value[FIELD_HOST_CR0] = 0x80010033;
	value[FIELD_HOST_CR4] = 0x2020;
	value[FIELD_HOST_CR3] = 0x1000;
	value[FIELD_HOST_PAT] = 0x0007040600070406;
	value[FIELD_HOST_EFER] = 0xd01;
	value[FIELD_HOST_RIP] = 0xffffffff80000000;
	value[FIELD_GUEST_CR0] = 0x80050033;
	value[FIELD_GUEST_CR4] = 0x2020;
	value[FIELD_GUEST_EFER] = 0xd01;
	value[FIELD_GUEST_PAT] = 0x0007040600070406;
	value[FIELD_GUEST_DR7] = 0x400;
	value[FIELD_GUEST_RFLAGS] = 2;
	value[FIELD_GUEST_RIP] = 0xffffffff81000000;
	value[FIELD_GUEST_VMCS_LINK] = UINT64_MAX;
	for (uint32_t i = 0; i < 6; i++)
		segment(i, 0x10, 0, 0xffffffff, i == 1 ? 0xa09b : 0xc093);
	segment(6, 0, 0, 0, 0x10000);
	segment(7, 0x40, 0xffff800000000000, 0x67, 0x8b);
	if (base == LONG || base == PLAIN)
		value[FIELD_ENTRY_CONTROLS] |= ENTRY_IA32E_GUEST;
	else
		value[FIELD_GUEST_EFER] = 0;
	if (base == REAL) {
		value[FIELD_GUEST_CR0] = 0x30;
		value[FIELD_GUEST_CR0] |= 0x20;
		value[FIELD_GUEST_RIP] = 0xfff0;
		for (uint32_t i = 0; i < 6; i++)
			segment(i, 0xf000, 0xffff0000, 0xffff, 0x93);
		segment(7, 0, 0, 0xffff, 0x8b);
	}
	if (base == V86) {
		value[FIELD_GUEST_CR0] = 0x80000031;
		value[FIELD_GUEST_RFLAGS] = 0x20202;
		value[FIELD_GUEST_RIP] = 0x100;
		for (uint32_t i = 0; i < 6; i++)
			segment(i, 0x1234, 0x12340, 0xffff, 0xf3);
		segment(7, 0x40, 0, 0x67, 0x8b);
	}
	if (base == PAE) {
		value[FIELD_GUEST_RIP] = 0x1000;
		value[FIELD_GUEST_CS_ACCESS] = 0xc09b;
		segment(6, 0x48, 0x5000, 0xfff, 0x82);
		for (uint32_t f = FIELD_GUEST_PDPTE0; f <= FIELD_GUEST_PDPTE3; f += 2)
			value[f] = 0x7000 | 1;
	}
	if (base == PLAIN) {
		value[FIELD_CPU_CONTROLS] &= ~(uint64_t)(CPU_SECONDARY | CPU_TPR_SHADOW);
		value[FIELD_CPU2_CONTROLS] = 0xdeadbeef; /* a field that must not be read */
		value[FIELD_GUEST_CR0] = 0x80050033;
		for (uint32_t f = FIELD_GUEST_ES_SELECTOR; f <= FIELD_GUEST_GS_SELECTOR; f += 2)
			value[f] = 0x10;
	}
}

#define EVENT(type, vector) (INTR_VALID | (type) | (vector))
#define PLUS(name, bits)                                                                           \
	{                                                                                          \
		FIELD_##name, bits, 1                                                              \
	} /* set bits */
#define MINUS(name, bits)                                                                          \
	{                                                                                          \
		FIELD_##name, bits, 2                                                              \
	} /* clear bits */
#define IS(name, what)                                                                             \
	{                                                                                          \
		FIELD_##name, what, 3                                                              \
	}

struct change {
	uint32_t field;
	uint64_t bits;
	int how;
};

struct vector {
	enum base base;
	uint32_t field;
	const char *rule;
	struct change change[4];
};

#define ALLOWED "every bit is as the capability MSR allows"
#define APAGE	"a physical page"
#define FIXED	"the bits that VMX fixes are as it wants them"
#define CANON	"a canonical address"
#define ZERO	"reserved bits are 0"

static const struct vector vectors[] = {
	/* controls */
	{LONG, FIELD_PIN_CONTROLS, ALLOWED, {PLUS(PIN_CONTROLS, 1u << 8)}},
	{LONG, FIELD_PIN_CONTROLS, ALLOWED, {MINUS(PIN_CONTROLS, 2)}},
	{LONG, FIELD_CPU_CONTROLS, ALLOWED, {PLUS(CPU_CONTROLS, 1)}},
	{LONG, FIELD_CPU_CONTROLS, ALLOWED, {MINUS(CPU_CONTROLS, 2)}},
	{LONG, FIELD_CPU2_CONTROLS, ALLOWED, {PLUS(CPU2_CONTROLS, 1u << 31)}},
	{LONG,
	 FIELD_CR3_TARGET_COUNT,
	 "no more CR3 targets than the processor has",
	 {IS(CR3_TARGET_COUNT, 5)}},
	{LONG, FIELD_IO_BITMAP_A, APAGE, {IS(IO_BITMAP_A, 0x800)}},
	{LONG, FIELD_IO_BITMAP_B, APAGE, {IS(IO_BITMAP_B, BIT64(39))}},
	{LONG, FIELD_MSR_BITMAP, APAGE, {IS(MSR_BITMAP, 1)}},
	{LONG,
	 FIELD_PIN_CONTROLS,
	 "virtual NMIs need NMI exiting",
	 {MINUS(PIN_CONTROLS, PIN_NMI_EXITING)}},
	{LONG,
	 FIELD_CPU_CONTROLS,
	 "NMI-window exiting needs virtual NMIs",
	 {MINUS(PIN_CONTROLS, PIN_VIRTUAL_NMIS), PLUS(CPU_CONTROLS, CPU_NMI_WINDOW)}},
	{LONG, FIELD_VIRTUAL_APIC_PAGE, APAGE, {IS(VIRTUAL_APIC_PAGE, 0x10)}},
	{LONG,
	 FIELD_TPR_THRESHOLD,
	 "bits 31:4 are 0 without virtual-interrupt delivery",
	 {MINUS(CPU2_CONTROLS, CPU2_VIRTUAL_INTERRUPTS), IS(TPR_THRESHOLD, 0x10)}},
	{LONG,
	 FIELD_CPU2_CONTROLS,
	 "APIC virtualization needs the TPR shadow",
	 {MINUS(CPU_CONTROLS, CPU_TPR_SHADOW), IS(CPU2_CONTROLS, CPU2_X2APIC_MODE)}},
	{LONG,
	 FIELD_CPU2_CONTROLS,
	 "APIC virtualization needs the TPR shadow",
	 {MINUS(CPU_CONTROLS, CPU_TPR_SHADOW), IS(CPU2_CONTROLS, CPU2_APIC_REGISTERS)}},
	{LONG, FIELD_APIC_ACCESS_PAGE, APAGE, {IS(APIC_ACCESS_PAGE, 2)}},
	{LONG,
	 FIELD_CPU2_CONTROLS,
	 "virtualize APIC accesses excludes virtualize x2APIC mode",
	 {PLUS(CPU2_CONTROLS, CPU2_X2APIC_MODE)}},
	{LONG,
	 FIELD_PIN_CONTROLS,
	 "virtual-interrupt delivery needs external-interrupt exiting",
	 {MINUS(PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT_EXITING)}},
	{LONG,
	 FIELD_PIN_CONTROLS,
	 "posted interrupts need virtual-interrupt delivery and acknowledge on exit",
	 {PLUS(PIN_CONTROLS, PIN_POSTED_INTERRUPTS), MINUS(EXIT_CONTROLS, EXIT_ACK_INTERRUPT)}},
	{LONG,
	 FIELD_PIN_CONTROLS,
	 "posted interrupts need virtual-interrupt delivery and acknowledge on exit",
	 {PLUS(PIN_CONTROLS, PIN_POSTED_INTERRUPTS), PLUS(EXIT_CONTROLS, EXIT_ACK_INTERRUPT),
	  MINUS(CPU2_CONTROLS, CPU2_VIRTUAL_INTERRUPTS)}},
	{LONG,
	 FIELD_POSTED_INTERRUPT_VECTOR,
	 "a vector",
	 {PLUS(PIN_CONTROLS, PIN_POSTED_INTERRUPTS), PLUS(EXIT_CONTROLS, EXIT_ACK_INTERRUPT),
	  IS(POSTED_INTERRUPT_VECTOR, 0x100)}},
	{LONG, FIELD_VPID, "not 0, which is the hypervisor's", {IS(VPID, 0)}},
	{LONG,
	 FIELD_CPU2_CONTROLS,
	 "unrestricted guest needs EPT",
	 {MINUS(CPU2_CONTROLS, CPU2_EPT)}},
	{LONG,
	 FIELD_EPT_POINTER,
	 "the memory type is one that the processor supports for tables",
	 {IS(EPT_POINTER, 0x18)}},
	{LONG, FIELD_EPT_POINTER, "a walk of 4 levels", {IS(EPT_POINTER, 0x26)}},
	{LONG, FIELD_EPT_POINTER, ZERO, {IS(EPT_POINTER, 0x9e)}},
	{LONG, FIELD_EPT_POINTER, ZERO, {IS(EPT_POINTER, BIT64(39) | 0x1e)}},
	{LONG, FIELD_EXIT_CONTROLS, ALLOWED, {PLUS(EXIT_CONTROLS, 1u << 31)}},
	{LONG,
	 FIELD_EXIT_CONTROLS,
	 "saving the preemption timer needs the preemption timer",
	 {MINUS(PIN_CONTROLS, PIN_PREEMPTION_TIMER)}},
	{LONG, FIELD_ENTRY_CONTROLS, ALLOWED, {MINUS(ENTRY_CONTROLS, 1)}},
	{LONG,
	 FIELD_ENTRY_CONTROLS,
	 "entry to SMM is for SMM monitors",
	 {PLUS(ENTRY_CONTROLS, 1u << 10)}},
	/* the event */
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "a type of event that exists",
	 {IS(ENTRY_INTERRUPTION, EVENT(1u << 8, 32))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "an NMI has vector 2",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_NMI, 3))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "a hardware exception has a vector below 32",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 32))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "a pending MTF exit has vector 0",
	 {IS(ENTRY_INTERRUPTION, EVENT(7u << 8, 1))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "an error code is delivered exactly with the exceptions that have one, in protected mode",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 14))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "an error code is delivered exactly with the exceptions that have one, in protected mode",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 21))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "an error code is delivered exactly with the exceptions that have one, in protected mode",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE | INTR_ERROR_CODE, 6))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 "an error code is delivered exactly with the exceptions that have one, in protected mode",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_SOFT_EXC | INTR_ERROR_CODE, 13))}},
	{REAL,
	 FIELD_ENTRY_INTERRUPTION,
	 "an error code is delivered exactly with the exceptions that have one, in protected mode",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE | INTR_ERROR_CODE, 13))}},
	{LONG,
	 FIELD_ENTRY_INTERRUPTION,
	 ZERO,
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 6) | 1u << 12)}},
	{LONG,
	 FIELD_ENTRY_ERROR_CODE,
	 "16 bits",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE | INTR_ERROR_CODE, 13)),
	  IS(ENTRY_ERROR_CODE, 0x10000)}},
	{LONG,
	 FIELD_ENTRY_INSN_LENGTH,
	 "software events have an instruction length of 1 to 15",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_SOFT_INT, 0x80))}},
	{LONG,
	 FIELD_ENTRY_INSN_LENGTH,
	 "software events have an instruction length of 1 to 15",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_SOFT_EXC, 3)), IS(ENTRY_INSN_LENGTH, 16)}},
	{LONG,
	 FIELD_ENTRY_INSN_LENGTH,
	 "software events have an instruction length of 1 to 15",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_PRIV_SOFT, 1))}},
	/* the host */
	{LONG, FIELD_HOST_CR0, FIXED, {MINUS(HOST_CR0, 0x20)}},
	{LONG, FIELD_HOST_CR0, FIXED, {PLUS(HOST_CR0, BIT64(32))}},
	{LONG, FIELD_HOST_CR4, FIXED, {MINUS(HOST_CR4, 0x2000)}},
	{LONG, FIELD_HOST_CR4, "PAE is set", {MINUS(HOST_CR4, 0x20)}},
	{LONG, FIELD_HOST_CR3, "a physical address", {PLUS(HOST_CR3, BIT64(39))}},
	{LONG, FIELD_HOST_PAT, "each byte is a memory type", {IS(HOST_PAT, 0x02)}},
	{LONG, FIELD_HOST_PAT, "each byte is a memory type", {IS(HOST_PAT, BIT64(59))}},
	{LONG,
	 FIELD_EXIT_CONTROLS,
	 "a 64-bit hypervisor returns to 64-bit mode",
	 {MINUS(EXIT_CONTROLS, EXIT_HOST_64)}},
	{LONG, FIELD_HOST_EFER, ZERO, {PLUS(HOST_EFER, 2)}},
	{LONG, FIELD_HOST_EFER, "long mode is enabled and active", {MINUS(HOST_EFER, EFER_LMA)}},
	{LONG, FIELD_HOST_EFER, "long mode is enabled and active", {MINUS(HOST_EFER, EFER_LME)}},
	{LONG, FIELD_HOST_GS_SELECTOR, "a GDT selector with RPL 0", {IS(HOST_GS_SELECTOR, 3)}},
	{LONG, FIELD_HOST_TR_SELECTOR, "a GDT selector with RPL 0", {IS(HOST_TR_SELECTOR, 0x1c)}},
	{LONG, FIELD_HOST_CS_SELECTOR, "not the null selector", {IS(HOST_CS_SELECTOR, 0)}},
	{LONG, FIELD_HOST_TR_SELECTOR, "not the null selector", {IS(HOST_TR_SELECTOR, 0)}},
	{LONG, FIELD_HOST_IDTR_BASE, CANON, {IS(HOST_IDTR_BASE, BIT64(47))}},
	{LONG, FIELD_HOST_SYSENTER_EIP, CANON, {IS(HOST_SYSENTER_EIP, BIT64(63))}},
	{LONG, FIELD_HOST_RIP, CANON, {IS(HOST_RIP, 0xfffe000000000000)}},
	/* guest registers */
	{LONG, FIELD_GUEST_CR0, FIXED, {MINUS(GUEST_CR0, 0x20)}},
	{PLAIN, FIELD_GUEST_CR0, FIXED, {MINUS(GUEST_CR0, CR0_PG)}},
	{REAL, FIELD_GUEST_CR0, "paging needs protected mode", {PLUS(GUEST_CR0, CR0_PG)}},
	{LONG, FIELD_GUEST_CR4, FIXED, {MINUS(GUEST_CR4, 0x2000)}},
	{LONG, FIELD_GUEST_CR4, FIXED, {PLUS(GUEST_CR4, BIT64(24))}},
	{LONG,
	 FIELD_GUEST_CR4,
	 "CET needs CR0.WP",
	 {PLUS(GUEST_CR4, CR4_CET), MINUS(GUEST_CR0, CR0_WP)}},
	{LONG, FIELD_GUEST_DEBUGCTL, ZERO, {IS(GUEST_DEBUGCTL, 8)}},
	{LONG, FIELD_GUEST_CR0, "long mode needs paging", {MINUS(GUEST_CR0, CR0_PG)}},
	{LONG, FIELD_GUEST_CR4, "long mode needs PAE", {MINUS(GUEST_CR4, CR4_PAE)}},
	{PAE, FIELD_GUEST_CR4, "PCIDs need long mode", {PLUS(GUEST_CR4, CR4_PCIDE)}},
	{LONG, FIELD_GUEST_CR3, "a physical address", {IS(GUEST_CR3, BIT64(40))}},
	{LONG, FIELD_GUEST_DR7, "32 bits", {PLUS(GUEST_DR7, BIT64(32))}},
	{LONG, FIELD_GUEST_SYSENTER_ESP, CANON, {IS(GUEST_SYSENTER_ESP, BIT64(47))}},
	{LONG, FIELD_GUEST_SYSENTER_EIP, CANON, {IS(GUEST_SYSENTER_EIP, BIT64(47))}},
	{LONG, FIELD_GUEST_PAT, "each byte is a memory type", {IS(GUEST_PAT, 0x0300)}},
	{LONG, FIELD_GUEST_EFER, ZERO, {PLUS(GUEST_EFER, BIT64(12))}},
	{LONG,
	 FIELD_GUEST_EFER,
	 "LMA says the same as the entry control",
	 {MINUS(GUEST_EFER, EFER_LMA)}},
	{PAE,
	 FIELD_GUEST_EFER,
	 "LMA says the same as the entry control",
	 {PLUS(GUEST_EFER, EFER_LMA)}},
	{LONG, FIELD_GUEST_EFER, "with paging on, LMA equals LME", {MINUS(GUEST_EFER, EFER_LME)}},
	/* segments */
	{V86,
	 FIELD_GUEST_DS_BASE,
	 "in virtual-8086 mode, the selector times 16",
	 {IS(GUEST_DS_BASE, 0)}},
	{V86, FIELD_GUEST_GS_LIMIT, "in virtual-8086 mode, FFFFh", {IS(GUEST_GS_LIMIT, 0xfffff)}},
	{V86, FIELD_GUEST_CS_ACCESS, "in virtual-8086 mode, F3h", {IS(GUEST_CS_ACCESS, 0x93)}},
	{LONG, FIELD_GUEST_CS_BASE, "32 bits", {IS(GUEST_CS_BASE, BIT64(32))}},
	{LONG,
	 FIELD_GUEST_CS_ACCESS,
	 "accessed code, or writable data in an unrestricted guest",
	 {IS(GUEST_CS_ACCESS, 0xa09a)}},
	{PLAIN,
	 FIELD_GUEST_CS_ACCESS,
	 "accessed code, or writable data in an unrestricted guest",
	 {IS(GUEST_CS_ACCESS, 0xc093)}},
	{LONG, FIELD_GUEST_CS_ACCESS, "a code or data segment", {IS(GUEST_CS_ACCESS, 0xa08b)}},
	{REAL, FIELD_GUEST_CS_ACCESS, "as data, it has DPL 0", {IS(GUEST_CS_ACCESS, 0xb3)}},
	{LONG,
	 FIELD_GUEST_CS_ACCESS,
	 "non-conforming code has the DPL of SS",
	 {IS(GUEST_CS_ACCESS, 0xa0fb)}},
	{LONG,
	 FIELD_GUEST_CS_ACCESS,
	 "conforming code has at most the DPL of SS",
	 {IS(GUEST_CS_ACCESS, 0xa0bf)}},
	{LONG, FIELD_GUEST_CS_ACCESS, "64-bit code has D/B clear", {PLUS(GUEST_CS_ACCESS, 0x4000)}},
	{LONG,
	 FIELD_GUEST_CS_ACCESS,
	 "a usable segment is present",
	 {MINUS(GUEST_CS_ACCESS, 0x80)}},
	{LONG, FIELD_GUEST_CS_ACCESS, ZERO, {PLUS(GUEST_CS_ACCESS, 0x100)}},
	{LONG, FIELD_GUEST_ES_ACCESS, ZERO, {PLUS(GUEST_ES_ACCESS, 1u << 17)}},
	{LONG,
	 FIELD_GUEST_ES_ACCESS,
	 "a limit that is not whole pages has byte granularity",
	 {IS(GUEST_ES_LIMIT, 0x10ffe)}},
	{LONG,
	 FIELD_GUEST_FS_ACCESS,
	 "a limit of 1 MiB and more has page granularity",
	 {IS(GUEST_FS_LIMIT, 0x100fff), MINUS(GUEST_FS_ACCESS, 0x8000)}},
	{PLAIN, FIELD_GUEST_SS_SELECTOR, "the RPL of CS", {PLUS(GUEST_SS_SELECTOR, 3)}},
	{PLAIN,
	 FIELD_GUEST_SS_ACCESS,
	 "the DPL is the selector's RPL",
	 {PLUS(GUEST_SS_ACCESS, 0x60), PLUS(GUEST_CS_ACCESS, 0x60)}},
	{REAL,
	 FIELD_GUEST_SS_ACCESS,
	 "DPL 0 in real mode, and where CS is data",
	 {PLUS(GUEST_SS_ACCESS, 0x60)}},
	{REAL,
	 FIELD_GUEST_SS_ACCESS,
	 "DPL 0 in real mode, and where CS is data",
	 {PLUS(GUEST_SS_ACCESS, 0x60), IS(GUEST_CS_ACCESS, 0xfb)}},
	{REAL,
	 FIELD_GUEST_SS_ACCESS,
	 "DPL 0 in real mode, and where CS is data",
	 {PLUS(GUEST_SS_ACCESS, 0x60), PLUS(GUEST_CR0, CR0_PE)}},
	{LONG, FIELD_GUEST_SS_ACCESS, "accessed, writable data", {IS(GUEST_SS_ACCESS, 0xc091)}},
	{LONG,
	 FIELD_GUEST_FS_BASE,
	 CANON,
	 {IS(GUEST_FS_BASE, BIT64(47)), PLUS(GUEST_FS_ACCESS, 0x10000)}},
	{LONG, FIELD_GUEST_DS_BASE, "32 bits", {IS(GUEST_DS_BASE, BIT64(32))}},
	{LONG, FIELD_GUEST_DS_ACCESS, "a code or data segment", {MINUS(GUEST_DS_ACCESS, 0x10)}},
	{LONG, FIELD_GUEST_DS_ACCESS, "accessed", {MINUS(GUEST_DS_ACCESS, 1)}},
	{LONG, FIELD_GUEST_DS_ACCESS, "code is readable", {IS(GUEST_DS_ACCESS, 0xc099)}},
	{PLAIN,
	 FIELD_GUEST_GS_ACCESS,
	 "the DPL is not below the selector's RPL",
	 {PLUS(GUEST_GS_SELECTOR, 3)}},
	{LONG, FIELD_GUEST_TR_SELECTOR, "in the GDT", {PLUS(GUEST_TR_SELECTOR, 4)}},
	{LONG, FIELD_GUEST_TR_BASE, CANON, {IS(GUEST_TR_BASE, BIT64(47))}},
	{LONG, FIELD_GUEST_TR_ACCESS, "usable", {PLUS(GUEST_TR_ACCESS, 0x10000)}},
	{LONG,
	 FIELD_GUEST_TR_ACCESS,
	 "a busy TSS, not of 16 bits in long mode",
	 {IS(GUEST_TR_ACCESS, 0x83)}},
	{PAE,
	 FIELD_GUEST_TR_ACCESS,
	 "a busy TSS, not of 16 bits in long mode",
	 {IS(GUEST_TR_ACCESS, 0x89)}},
	{LONG, FIELD_GUEST_TR_ACCESS, "a system segment", {PLUS(GUEST_TR_ACCESS, 0x10)}},
	{LONG,
	 FIELD_GUEST_TR_ACCESS,
	 "a usable segment is present",
	 {MINUS(GUEST_TR_ACCESS, 0x80)}},
	{PAE, FIELD_GUEST_LDTR_SELECTOR, "in the GDT", {PLUS(GUEST_LDTR_SELECTOR, 4)}},
	{PAE, FIELD_GUEST_LDTR_BASE, CANON, {IS(GUEST_LDTR_BASE, BIT64(50))}},
	{PAE, FIELD_GUEST_LDTR_ACCESS, "an LDT", {IS(GUEST_LDTR_ACCESS, 0x83)}},
	{PAE, FIELD_GUEST_LDTR_ACCESS, "a system segment", {PLUS(GUEST_LDTR_ACCESS, 0x10)}},
	{PAE,
	 FIELD_GUEST_LDTR_ACCESS,
	 "a usable segment is present",
	 {MINUS(GUEST_LDTR_ACCESS, 0x80)}},
	/* tables, RIP, RFLAGS */
	{LONG, FIELD_GUEST_GDTR_BASE, CANON, {IS(GUEST_GDTR_BASE, BIT64(47))}},
	{LONG, FIELD_GUEST_IDTR_BASE, CANON, {IS(GUEST_IDTR_BASE, BIT64(47))}},
	{LONG, FIELD_GUEST_GDTR_LIMIT, "16 bits", {IS(GUEST_GDTR_LIMIT, 0x10000)}},
	{LONG, FIELD_GUEST_IDTR_LIMIT, "16 bits", {IS(GUEST_IDTR_LIMIT, 0x10000)}},
	{PAE, FIELD_GUEST_RIP, "32 bits outside 64-bit mode", {IS(GUEST_RIP, BIT64(32))}},
	{LONG, FIELD_GUEST_RIP, "32 bits outside 64-bit mode", {IS(GUEST_CS_ACCESS, 0xc09b)}},
	{LONG, FIELD_GUEST_RIP, CANON, {IS(GUEST_RIP, BIT64(47))}},
	{LONG, FIELD_GUEST_RFLAGS, "reserved bits are fixed", {IS(GUEST_RFLAGS, 0)}},
	{LONG, FIELD_GUEST_RFLAGS, "reserved bits are fixed", {PLUS(GUEST_RFLAGS, BIT64(22))}},
	{V86,
	 FIELD_GUEST_RFLAGS,
	 "virtual-8086 mode exists in protected mode only",
	 {MINUS(GUEST_CR0, CR0_PE | CR0_PG)}},
	{LONG,
	 FIELD_GUEST_RFLAGS,
	 "an external interrupt is injected only with IF set",
	 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_EXTERNAL, 32))}},
	/* activity, interruptibility, pending debug exceptions */
	{LONG,
	 FIELD_GUEST_ACTIVITY,
	 "a state that the processor supports",
	 {IS(GUEST_ACTIVITY, 4)}},
	{LONG,
	 FIELD_GUEST_ACTIVITY,
	 "HLT at CPL 0 only",
	 {IS(GUEST_ACTIVITY, ACTIVITY_HLT), PLUS(GUEST_SS_ACCESS, 0x60),
	  PLUS(GUEST_CS_ACCESS, 0x60)}},
	{LONG,
	 FIELD_GUEST_ACTIVITY,
	 "active while STI or MOV SS blocks interrupts",
	 {IS(GUEST_ACTIVITY, ACTIVITY_HLT), IS(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS)}},
	{LONG,
	 FIELD_GUEST_ACTIVITY,
	 "the injected event can be taken in this state",
	 {IS(GUEST_ACTIVITY, ACTIVITY_HLT), IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 6))}},
	{LONG,
	 FIELD_GUEST_ACTIVITY,
	 "the injected event can be taken in this state",
	 {IS(GUEST_ACTIVITY, ACTIVITY_SHUTDOWN),
	  IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_EXTERNAL, 32)), PLUS(GUEST_RFLAGS, BIT64(9))}},
	{LONG,
	 FIELD_GUEST_ACTIVITY,
	 "the injected event can be taken in this state",
	 {IS(GUEST_ACTIVITY, ACTIVITY_WAIT_FOR_SIPI),
	  IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_NMI, 2))}},
	{LONG,
	 FIELD_GUEST_INTERRUPTIBILITY,
	 "reserved bits, SMI and enclave are 0",
	 {IS(GUEST_INTERRUPTIBILITY, 4)}},
	{LONG,
	 FIELD_GUEST_INTERRUPTIBILITY,
	 "not blocking by STI and by MOV SS at once",
	 {IS(GUEST_INTERRUPTIBILITY, 3), PLUS(GUEST_RFLAGS, BIT64(9))}},
	{LONG,
	 FIELD_GUEST_INTERRUPTIBILITY,
	 "blocking by STI needs IF set",
	 {IS(GUEST_INTERRUPTIBILITY, 1)}},
	{LONG,
	 FIELD_GUEST_INTERRUPTIBILITY,
	 "an external interrupt is not injected while STI or MOV SS blocks it",
	 {IS(GUEST_INTERRUPTIBILITY, 1), PLUS(GUEST_RFLAGS, BIT64(9)),
	  IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_EXTERNAL, 32))}},
	{LONG,
	 FIELD_GUEST_INTERRUPTIBILITY,
	 "an NMI is not injected while STI or MOV SS blocks it",
	 {IS(GUEST_INTERRUPTIBILITY, 2), IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_NMI, 2))}},
	{LONG,
	 FIELD_GUEST_INTERRUPTIBILITY,
	 "an NMI is not injected while NMIs are blocked",
	 {IS(GUEST_INTERRUPTIBILITY, 8), IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_NMI, 2))}},
	{LONG, FIELD_GUEST_PENDING_DEBUG, ZERO, {IS(GUEST_PENDING_DEBUG, 0x10)}},
	{LONG,
	 FIELD_GUEST_PENDING_DEBUG,
	 "while a shadow or HLT holds it, BS is set exactly if TF is set and BTF is not",
	 {IS(GUEST_INTERRUPTIBILITY, 2), PLUS(GUEST_RFLAGS, 0x100)}},
	{LONG,
	 FIELD_GUEST_PENDING_DEBUG,
	 "while a shadow or HLT holds it, BS is set exactly if TF is set and BTF is not",
	 {IS(GUEST_ACTIVITY, ACTIVITY_HLT), PLUS(GUEST_RFLAGS, 0x100), IS(GUEST_DEBUGCTL, 2),
	  IS(GUEST_PENDING_DEBUG, 0x4000)}},
	{LONG, FIELD_GUEST_VMCS_LINK, "all ones, or a physical page", {IS(GUEST_VMCS_LINK, 0x10)}},
	{PAE,
	 FIELD_GUEST_PDPTE2,
	 "a present PAE directory pointer has no reserved bit set",
	 {IS(GUEST_PDPTE2, 0x7000 | 3)}},
	{PAE,
	 FIELD_GUEST_PDPTE3,
	 "a present PAE directory pointer has no reserved bit set",
	 {IS(GUEST_PDPTE3, BIT64(39) | 1)}},
};

static void apply(const struct change *change)
{
	uint64_t *field = &value[change->field];

	if (change->how == 1)
		*field |= change->bits;
	else if (change->how == 2)
		*field &= ~change->bits;
	else if (change->how == 3)
		*field = change->bits;
}

static void expect(uint32_t field, const char *rule)
{
	struct entry_failure failure = {0, "none"};
	bool ok = entry_check(&env, &failure);

	if (ok != !rule || (rule && strcmp(failure.rule, rule)) || (rule && failure.field != field))
		test_fail(__FILE__, __LINE__, "%#x \"%s\" instead of %#x \"%s\"", failure.field,
			  failure.rule, field, rule ? rule : "none");
}

TEST(good_states_pass)
{
	for (enum base base = LONG; base <= PLAIN; base++) {
		good(base);
		expect(0, NULL);
	}
}

TEST(each_broken_rule_is_named)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		good(vectors[i].base);
		for (unsigned int n = 0; n < 4; n++)
			apply(&vectors[i].change[n]);
		expect(vectors[i].field, vectors[i].rule);
	}
}

/* Changes after which everything still holds: the other side of the rules' conditions. */
TEST(what_is_allowed_passes)
{
	static const struct vector fine[] = {
		{LONG,
		 0,
		 0,
		 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_EXTERNAL, 32)),
		  PLUS(GUEST_RFLAGS, BIT64(9))}},
		{LONG, 0, 0, {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_EXTERNAL, 32) & ~INTR_VALID)}},
		{LONG,
		 0,
		 0,
		 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE | INTR_ERROR_CODE, 14))}},
		{REAL, 0, 0, {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 13))}},
		{LONG,
		 0,
		 0,
		 {IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_SOFT_INT, 0x80)),
		  IS(ENTRY_INSN_LENGTH, 2)}},
		{LONG, 0, 0, {IS(ENTRY_INTERRUPTION, EVENT(7u << 8, 0))}},
		{LONG,
		 0,
		 0,
		 {IS(GUEST_ACTIVITY, ACTIVITY_HLT),
		  IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_NMI, 2))}},
		{LONG,
		 0,
		 0,
		 {IS(GUEST_ACTIVITY, ACTIVITY_HLT),
		  IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 1))}},
		{LONG,
		 0,
		 0,
		 {IS(GUEST_ACTIVITY, ACTIVITY_SHUTDOWN),
		  IS(ENTRY_INTERRUPTION, EVENT(INTR_TYPE_HARDWARE, 18))}},
		{LONG, 0, 0, {IS(GUEST_ACTIVITY, ACTIVITY_WAIT_FOR_SIPI)}},
		{LONG, 0, 0, {IS(GUEST_INTERRUPTIBILITY, 1), PLUS(GUEST_RFLAGS, BIT64(9))}},
		{LONG,
		 0,
		 0,
		 {IS(GUEST_INTERRUPTIBILITY, 2), PLUS(GUEST_RFLAGS, 0x100),
		  IS(GUEST_PENDING_DEBUG, 0x4000)}},
		{LONG, 0, 0, {IS(GUEST_VMCS_LINK, 0x1000)}},
		{LONG, 0, 0, {IS(EPT_POINTER, 0x1e)}},
		{LONG, 0, 0, {PLUS(GUEST_CS_ACCESS, 0x64), PLUS(GUEST_SS_ACCESS, 0x60)}},
		{LONG,
		 0,
		 0,
		 {PLUS(GUEST_DS_ACCESS, 0x10000), MINUS(GUEST_DS_ACCESS, 0x93),
		  IS(GUEST_DS_BASE, BIT64(40))}},
		{PAE, 0, 0, {IS(GUEST_TR_ACCESS, 0x83)}},
		{PAE, 0, 0, {IS(GUEST_PDPTE1, 0xfffffffffffffffe)}},
		{PAE, 0, 0, {PLUS(GUEST_LDTR_ACCESS, 0x10000), PLUS(GUEST_LDTR_SELECTOR, 4)}},
		{PLAIN, 0, 0, {IS(GUEST_GS_SELECTOR, 3), IS(GUEST_GS_ACCESS, 0x1f09f | 0)}},
		{LONG,
		 0,
		 0,
		 {MINUS(ENTRY_CONTROLS, ENTRY_LOAD_EFER), MINUS(ENTRY_CONTROLS, ENTRY_LOAD_PAT)}},
		{LONG,
		 0,
		 0,
		 {MINUS(EXIT_CONTROLS, EXIT_LOAD_EFER), MINUS(EXIT_CONTROLS, EXIT_LOAD_PAT)}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
		good(fine[i].base);
		for (unsigned int n = 0; n < 4; n++)
			apply(&fine[i].change[n]);
		expect(0, NULL);
	}
}

TEST(what_the_processor_has_decides)
{
	good(LONG);
	caps.ept_vpid &= ~EPT_CAP_AD;
	expect(FIELD_EPT_POINTER, "accessed and dirty flags only where the processor has them");
	caps.ept_vpid &= ~EPT_CAP_4_LEVELS;
	expect(FIELD_EPT_POINTER, "a walk of 4 levels");
	good(LONG);
	value[FIELD_GUEST_ACTIVITY] = ACTIVITY_WAIT_FOR_SIPI;
	caps.misc &= ~MISC_ACTIVITY_WAIT_FOR_SIPI;
	expect(FIELD_GUEST_ACTIVITY, "a state that the processor supports");
	good(LONG);
	value[FIELD_ENTRY_INTERRUPTION] = EVENT(7u << 8, 0);
	caps.cpu.may &= ~CPU_MONITOR_TRAP;
	expect(FIELD_ENTRY_INTERRUPTION, "a type of event that exists");
	good(LONG);
	value[FIELD_ENTRY_INTERRUPTION] = EVENT(INTR_TYPE_HARDWARE, 14);
	caps.basic = BIT64(56);
	expect(0, NULL);
	good(LONG);
	value[FIELD_ENTRY_INTERRUPTION] = EVENT(INTR_TYPE_HARDWARE, 21);
	caps.cr4_fixed1 &= ~CR4_CET;
	expect(0, NULL);
	good(LONG);
	value[FIELD_ENTRY_INTERRUPTION] = EVENT(INTR_TYPE_SOFT_INT, 0x80);
	caps.misc |= BIT64(30);
	expect(0, NULL);
	good(LONG);
	env.linear_bits = 57;
	value[FIELD_GUEST_RIP] = BIT64(55);
	expect(0, NULL);
}

/* Every sentence in the sources has a vector above, so that none is there untested. */
TEST(no_rule_without_a_vector)
{
	static const char *sources[] = {"control-domain/hornero/entry_check.c",
					"control-domain/hornero/entry_check_guest.c"};
	static char text[65536];
	unsigned int rules = 0;

	for (unsigned int s = 0; s < 2; s++) {
		FILE *file = fopen(sources[s], "r");

		CHECK(file != NULL);
		text[fread(text, 1, sizeof(text) - 1, file)] = 0;
		fclose(file);
		for (char *p = text; (p = strstr(p, "RULE(")); rules++) {
			char *begin = strchr(p, '"') + 1, *end = strchr(begin, '"');
			bool seen = false;

			p = end + 1;
			*end = 0;
			for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
				seen = seen || !strcmp(vectors[i].rule, begin);
			if (!seen &&
			    !strstr(begin, "accessed and dirty flags")) /* tested with the caps */
				test_fail(__FILE__, __LINE__, "no vector for \"%s\"", begin);
		}
	}
	CHECK(rules > 90);
}
