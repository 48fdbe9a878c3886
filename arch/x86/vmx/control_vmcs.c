// SPDX-License-Identifier: MIT
/*
 * The control domain's VMCS: as little as the architecture allows stays with us.
 *
 * External interrupts, NMIs, exceptions, HLT, most ports and most MSRs do not exit. CR0.NE is ours
 * but reads as 1, CR4.VMXE is ours but reads as 0, so that Linux's writes of CR0 and CR4 never
 * exit, not even an application processor's first ones. EFER and PAT travel through the VMCS.
 *
 * A CPU starts here in one of three ways: the boot processor at Linux's 64-bit entry point; the
 * others waiting for a SIPI; and, on a SIPI, in real mode as after a hardware reset. Sources: SDM
 * 3C "VM-Entry Checks on Guest State"; SDM 3A "Processor State After Reset".
 */
#define LOG_TAG "control"
#include <string.h>

#include <log.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define ACCESS_CODE_LONG 0xa09bu
#define ACCESS_DATA_FLAT 0xc093u
#define ACCESS_CODE_REAL 0x9bu
#define ACCESS_DATA_REAL 0x93u
#define ACCESS_TSS_BUSY	 0x8bu
#define ACCESS_LDT	 0x82u
#define BOOT_CS		 0x10 /* Linux boot protocol: __BOOT_CS, __BOOT_DS */
#define BOOT_DS		 0x18
#define PAT_RESET	 UINT64_C(0x0007040600070406)
#define DR7_RESET	 0x400u
#define RFLAGS_RESET	 0x2u
#define CR0_RESET	 UINT64_C(0x60000010)

static uint32_t optional(enum vmx_option opt, uint32_t bits)
{
	return vmx_caps_has(&vmx_caps, opt) ? bits : 0;
}

void control_vmcs_init(struct vmx_cpu *v)
{
	uint32_t cpu2 = CPU2_EPT | CPU2_UNRESTRICTED_GUEST;

	cpu2 |= vmx_caps.cpu2.may & (CPU2_RDTSCP | CPU2_INVPCID | CPU2_XSAVES | CPU2_USER_WAIT);
	cpu2 |= optional(VMX_OPT_VPID, CPU2_VPID);

	vmx_region_init(v->vmcs);
	vmx_clear(v->vmcs);
	vmx_load(v->vmcs);
	vmx_write_controls(
		0, CPU_IO_BITMAPS | CPU_MSR_BITMAPS | CPU_SECONDARY, cpu2,
		EXIT_HOST_64 | EXIT_SAVE_DEBUG | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER |
			EXIT_LOAD_EFER |
			optional(VMX_OPT_PERF_GLOBAL_CTRL,
				 EXIT_LOAD_PERF_GLOBAL_CTRL |
					 (vmx_caps.exit.may & EXIT_SAVE_PERF_GLOBAL_CTRL)),
		ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER |
			optional(VMX_OPT_PERF_GLOBAL_CTRL, ENTRY_LOAD_PERF_GLOBAL_CTRL));
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
	vmwrite(VMCS_GUEST_VMCS_LINK, ~UINT64_C(0));
	vmwrite(VMCS_MSR_BITMAP, hpa_of(control_msr_bitmap()).v);
	vmwrite(VMCS_IO_BITMAP_A, hpa_of(control_io_bitmaps()).v);
	vmwrite(VMCS_IO_BITMAP_B, hpa_of(control_io_bitmaps()).v + PAGE_SIZE);
	vmwrite(VMCS_EPT_POINTER, control_ept_pointer());
	if (cpu2 & CPU2_VPID)
		vmwrite(VMCS_VPID, 1);
	if (cpu2 & CPU2_XSAVES)
		vmwrite(VMCS_XSS_EXITING_BITMAP, 0);
	vmwrite(VMCS_CR0_MASK, CR0_NE);
	vmwrite(VMCS_CR0_SHADOW, CR0_NE);
	vmwrite(VMCS_CR4_MASK, CR4_VMXE);
	vmwrite(VMCS_CR4_SHADOW, 0);
	vmx_write_host_state(v->cpu);
	v->launched = 0;
}

static void set_tables(uint64_t gdt_base, uint32_t gdt_limit, uint32_t idt_limit)
{
	vmwrite(VMCS_GUEST_GDTR_BASE, gdt_base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, gdt_limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, 0);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, idt_limit);
	vmwrite(VMCS_GUEST_LDTR_SELECTOR, 0);
	vmwrite(VMCS_GUEST_LDTR_BASE, 0);
	vmwrite(VMCS_GUEST_LDTR_LIMIT, 0xffff);
	vmwrite(VMCS_GUEST_LDTR_ACCESS, ACCESS_LDT);
	vmwrite(VMCS_GUEST_TR_SELECTOR, 0);
	vmwrite(VMCS_GUEST_TR_BASE, 0);
	vmwrite(VMCS_GUEST_TR_LIMIT, 0xffff);
	vmwrite(VMCS_GUEST_TR_ACCESS, ACCESS_TSS_BUSY);
}

#define SET_SEGMENT(name, sel, start, size, rights)                                                \
	do {                                                                                       \
		vmwrite(VMCS_GUEST_##name##_SELECTOR, (sel));                                      \
		vmwrite(VMCS_GUEST_##name##_BASE, (start));                                        \
		vmwrite(VMCS_GUEST_##name##_LIMIT, (size));                                        \
		vmwrite(VMCS_GUEST_##name##_ACCESS, (rights));                                     \
	} while (0)

static void set_data_segments(uint16_t selector, uint32_t limit, uint32_t access)
{
	SET_SEGMENT(DS, selector, 0, limit, access);
	SET_SEGMENT(ES, selector, 0, limit, access);
	SET_SEGMENT(FS, selector, 0, limit, access);
	SET_SEGMENT(GS, selector, 0, limit, access);
	SET_SEGMENT(SS, selector, 0, limit, access);
}

static void set_common(void)
{
	vmwrite(VMCS_GUEST_DR7, DR7_RESET);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_RESET);
	vmwrite(VMCS_GUEST_RSP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
	if (vmx_caps_has(&vmx_caps, VMX_OPT_PERF_GLOBAL_CTRL))
		vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, 0);
}

static void set_long_mode(bool on)
{
	uint32_t c = vmread(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E_GUEST;

	vmwrite(VMCS_ENTRY_CONTROLS, on ? c | ENTRY_IA32E_GUEST : c);
}

void control_start_boot(struct vmx_cpu *v, const struct control_entry *entry)
{
	memset(&v->gprs, 0, sizeof(v->gprs));
	v->gprs.rsi = entry->rsi;
	set_common();
	set_long_mode(true);
	vmwrite(VMCS_GUEST_PAT, PAT_RESET);
	vmwrite(VMCS_GUEST_EFER, EFER_LME | EFER_LMA);
	vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE | CR0_PG);
	vmwrite(VMCS_GUEST_CR3, entry->cr3);
	vmwrite(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	SET_SEGMENT(CS, BOOT_CS, 0, 0xffffffffu, ACCESS_CODE_LONG);
	set_data_segments(BOOT_DS, 0xffffffffu, ACCESS_DATA_FLAT);
	set_tables(entry->gdt_base, 4 * 8 - 1, 0);
	vmwrite(VMCS_GUEST_RIP, entry->rip);
}

/* INIT state (SDM 3A "Processor State After Reset", column INIT), all but CS:RIP. */
static void set_init_state(struct vmx_cpu *v)
{
	memset(&v->gprs, 0, sizeof(v->gprs));
	v->gprs.rdx = cpuid(1, 0).eax;
	write_cr2(0);
	set_common();
	set_long_mode(false);
	/* INIT leaves CD and NW as they are; a VM entry does not load them, but the guest reads
	 * them here. */
	vmwrite(VMCS_GUEST_CR0, CR0_RESET | CR0_NE);
	vmwrite(VMCS_GUEST_CR3, 0);
	vmwrite(VMCS_GUEST_CR4, CR4_VMXE);
	vmwrite(VMCS_GUEST_EFER, 0);
	set_data_segments(0, 0xffff, ACCESS_DATA_REAL);
	set_tables(0, 0xffff, 0xffff);
	vmwrite(VMCS_CR0_SHADOW, CR0_NE);
	vmx_flush_vpid(1);
}

void control_wait_for_sipi(struct vmx_cpu *v)
{
	set_init_state(v);
	if (vmread(VMCS_GUEST_PAT) == 0)
		vmwrite(VMCS_GUEST_PAT, PAT_RESET);
	SET_SEGMENT(CS, 0xf000, 0xf0000, 0xffff, ACCESS_CODE_REAL);
	vmwrite(VMCS_GUEST_RIP, 0xfff0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_FOR_SIPI);
	v->at_sipi_start = false;
}

void control_start_sipi(struct vmx_cpu *v, uint8_t vector)
{
	set_init_state(v);
	SET_SEGMENT(CS, (uint16_t)(vector << 8), (uint64_t)vector << 12, 0xffff, ACCESS_CODE_REAL);
	vmwrite(VMCS_GUEST_RIP, 0);
	v->at_sipi_start = true;
}
