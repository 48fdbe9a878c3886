// SPDX-License-Identifier: MIT
/*
 * The dump of a refused VMCS, and groups of fields.
 *
 * The dump is the raw material of the SDM's checks, which run outside of the hypervisor: every
 * field that the processor has, its VMX capability MSRs and the widths of its addresses, as words
 * of a letter, a number and a value. control-domain/hornero/vmcs_explain.c reads it.
 */
#define LOG_TAG "vmcs"
#include <stdio.h>

#include <log.h>
#include <panic.h>
#include <x86/asm.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define ADDRESS_WIDTHS 0x80000008u
#define DEFAULT_WIDTHS 0x3024 /* 48 bits linear, 36 physical */
#define WORD_BYTES     27     /* " v", 8 digits at most, "=", 16 digits */

#define ACCESS_CODE_REAL 0x9bu
#define ACCESS_DATA_REAL 0x93u
#define ACCESS_TSS_BUSY	 0x8bu
#define ACCESS_LDT	 0x82u
#define PAT_RESET	 UINT64_C(0x0007040600070406)
#define DR7_RESET	 0x400u
#define RFLAGS_RESET	 0x2u

void vmcs_access_failed(uint32_t encoding)
{
	panic("access to VMCS field %#x failed", encoding);
}

struct dump {
	char text[100];
	int used;
};

static void dump_word(struct dump *d, char kind, uint32_t number, uint64_t value)
{
	d->used += snprintf(d->text + d->used, WORD_BYTES + 1, " %c%x=%lx", kind, number, value);
	if (d->used + WORD_BYTES < (int)sizeof(d->text) && kind != 'w')
		return;
	log_info("dump%s", d->text);
	d->used = 0;
}

void vmcs_dump(void)
{
	static struct log_limit limit;
	struct dump d = {.used = 0};
	uint64_t value;

	if (!log_allowed(&limit))
		return;
	log_info("VM entry refused: VM-instruction error %u, exit reason %#x",
		 vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON));
	for (uint32_t i = 0; i < BIT64(10); i++) { /* width, group, and the first 64 of each */
		uint32_t encoding = (uint32_t)(field_get(i, 9, 8) << 13 | field_get(i, 7, 6) << 10 |
					       field_get(i, 5, 0) << 1);

		if (vmcs_try_read(encoding, &value))
			dump_word(&d, 'f', encoding, value);
	}
	for (uint32_t msr = MSR_IA32_VMX_BASIC; msr <= MSR_IA32_VMX_LAST; msr++)
		if (rdmsr_safe(msr, &value))
			dump_word(&d, 'm', msr, value);
	value = cpuid_has_leaf(ADDRESS_WIDTHS) ? cpuid(ADDRESS_WIDTHS, 0).eax : DEFAULT_WIDTHS;
	dump_word(&d, 'w', 0, value);
}

void vmcs_set_segment(enum vmcs_segment s, uint16_t selector, uint64_t base, uint32_t limit,
		      uint32_t access)
{
	uint32_t offset = 2 * (uint32_t)s;

	vmcs_write_raw(VMCS_GUEST_ES_SELECTOR.encoding + offset, selector);
	vmcs_write_raw(VMCS_GUEST_ES_BASE.encoding + offset, base);
	vmcs_write_raw(VMCS_GUEST_ES_LIMIT.encoding + offset, limit);
	vmcs_write_raw(VMCS_GUEST_ES_ACCESS.encoding + offset, access);
}

void vmcs_get_segment(enum vmcs_segment s, struct hv_segment *to)
{
	uint32_t offset = 2 * (uint32_t)s;

	to->selector = (uint16_t)vmcs_read_raw(VMCS_GUEST_ES_SELECTOR.encoding + offset);
	to->base = vmcs_read_raw(VMCS_GUEST_ES_BASE.encoding + offset);
	to->limit = (uint32_t)vmcs_read_raw(VMCS_GUEST_ES_LIMIT.encoding + offset);
	to->access = (uint32_t)vmcs_read_raw(VMCS_GUEST_ES_ACCESS.encoding + offset);
}

void vmcs_set_data_segments(uint16_t selector, uint32_t limit, uint32_t access)
{
	for (enum vmcs_segment s = SEG_ES; s <= SEG_GS; s++)
		if (s != SEG_CS)
			vmcs_set_segment(s, selector, 0, limit, access);
}

void vmcs_set_init_state(void)
{
	vmcs_set_segment(SEG_CS, 0xf000, 0xffff0000, 0xffff, ACCESS_CODE_REAL);
	vmcs_set_data_segments(0, 0xffff, ACCESS_DATA_REAL);
	vmcs_set_segment(SEG_LDTR, 0, 0, 0xffff, ACCESS_LDT);
	vmcs_set_segment(SEG_TR, 0, 0, 0xffff, ACCESS_TSS_BUSY);
	vmwrite(VMCS_GUEST_GDTR_BASE, 0);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 0xffff);
	vmwrite(VMCS_GUEST_IDTR_BASE, 0);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0xffff);
	vmwrite(VMCS_ENTRY_CONTROLS, vmread(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E_GUEST);
	vmwrite(VMCS_GUEST_CR3, 0);
	vmwrite(VMCS_GUEST_CR4, CR4_VMXE);
	vmwrite(VMCS_CR4_SHADOW, 0);
	vmwrite(VMCS_GUEST_EFER, 0);
	vmwrite(VMCS_GUEST_DR7, DR7_RESET);
	vmwrite(VMCS_GUEST_RSP, 0);
	vmwrite(VMCS_GUEST_RIP, 0xfff0);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_RESET);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
}

void vmcs_set_sipi(uint8_t vector)
{
	vmcs_set_segment(SEG_CS, (uint16_t)(vector << 8), (uint64_t)vector << 12, 0xffff,
			 ACCESS_CODE_REAL);
	vmwrite(VMCS_GUEST_RIP, 0);
}

void vmcs_set_msrs(void)
{
	vmwrite(VMCS_GUEST_PAT, PAT_RESET);
	vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	if (vmx_has(VMX_OPT_PERF_GLOBAL_CTRL))
		vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, 0);
}
