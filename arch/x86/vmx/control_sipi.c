// SPDX-License-Identifier: MIT
/*
 * A CPU of the control domain after INIT and after SIPI: as after a hardware reset. (The boot
 * processor begins at Linux's 64-bit entry point: control_boot.c.) Sources: SDM 3C "VM-Entry Checks
 * on Guest State"; SDM 3A "Processor State After Reset".
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

#define CR0_RESET UINT64_C(0x60000010)

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
	if (vmx_has(VMX_OPT_WAIT_FOR_SIPI))
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
