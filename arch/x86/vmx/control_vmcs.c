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
#include <tlb.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define ACCESS_CODE_LONG 0xa09bu
#define ACCESS_DATA_FLAT 0xc093u
#define BOOT_CS		 0x10 /* Linux boot protocol: __BOOT_CS, __BOOT_DS */
#define BOOT_DS		 0x18
#define CR0_RESET	 UINT64_C(0x60000010)

void control_vmcs_init(struct vmx_cpu *v)
{
	const struct vmcs_setup setup = {
		.cpu = CPU_IO_BITMAPS,
		.eptp = control_ept_pointer(),
		.cr0_mask = CR0_NE,
		.vpid = 1,
	};

	v->vmcs = vmx_init_vmcs(v->vmcs_page, &setup);
	vmwrite(VMCS_MSR_BITMAP, hpa_of(control_msr_bitmap).v);
	vmwrite(VMCS_IO_BITMAP_A, hpa_of(control_io_bitmaps).v);
	vmwrite(VMCS_IO_BITMAP_B, hpa_of(control_io_bitmaps).v + PAGE_SIZE);
	vmwrite(VMCS_CR0_SHADOW, CR0_NE);
	vmx_write_host_state(v->cpu);
	v->launched = 0;
}

void control_start_boot(struct vmx_cpu *v, const struct control_entry *entry)
{
	memset(&v->gprs, 0, sizeof(v->gprs));
	v->gprs.rsi = entry->rsi;
	vmwrite(VMCS_ENTRY_CONTROLS, vmread(VMCS_ENTRY_CONTROLS) | ENTRY_IA32E_GUEST);
	vmwrite(VMCS_GUEST_EFER, EFER_LME | EFER_LMA);
	vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE | CR0_PG);
	vmwrite(VMCS_GUEST_CR3, entry->cr3);
	vmwrite(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	vmcs_set_segment(SEG_CS, BOOT_CS, 0, 0xffffffffu, ACCESS_CODE_LONG);
	vmcs_set_data_segments(BOOT_DS, 0xffffffffu, ACCESS_DATA_FLAT);
	vmwrite(VMCS_GUEST_GDTR_BASE, entry->gdt_base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 4 * 8 - 1);
	vmwrite(VMCS_GUEST_RIP, entry->rip);
}

/* INIT state (SDM 3A "Processor State After Reset", column INIT). */
static void set_init_state(struct vmx_cpu *v)
{
	memset(&v->gprs, 0, sizeof(v->gprs));
	v->gprs.rdx = cpuid(1, 0).eax;
	write_cr2(0);
	vmcs_set_init_state();
	/* INIT leaves CD and NW as they are; a VM entry does not load them, but the guest reads
	 * them here. */
	vmwrite(VMCS_GUEST_CR0, CR0_RESET | CR0_NE);
	vmwrite(VMCS_CR0_SHADOW, CR0_NE);
	vmx_flush_vpid(1);
}

void control_wait_for_sipi(struct vmx_cpu *v)
{
	set_init_state(v);
	v->at_sipi_start = false;
	tlb_quiesce(v->cpu);
	if (vmx_caps_has(&vmx_caps, VMX_OPT_WAIT_FOR_SIPI))
		vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_FOR_SIPI);
	else
		control_start_sipi(v, control_await_sipi(v));
}

void control_start_sipi(struct vmx_cpu *v, uint8_t vector)
{
	tlb_resume(v->cpu);
	set_init_state(v);
	vmcs_set_sipi(vector);
	v->at_sipi_start = true;
}
