// SPDX-License-Identifier: MIT
/*
 * What every VMCS has, and the few instructions that are neither VMREAD nor VMWRITE.
 *
 * Nothing here knows who runs in the guest. A refused VMX instruction is our bug.
 */
#define LOG_TAG "vmx"
#include <string.h>

#include <log.h>
#include <panic.h>
#include <x86/asm.h>
#include <x86/gdt.h>
#include <x86/layout.h>
#include <x86/mem.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

struct vmx_caps vmx_caps;
uint64_t vmx_present;

hpa_t vmx_region_init(void *page)
{
	memset(page, 0, PAGE_SIZE);
	*(uint32_t *)page = (uint32_t)field_get(vmx_caps.basic, 30, 0);
	return hpa_of(page);
}

struct invalidation {
	uint64_t what, address;
};

enum { INVEPT_SINGLE = 1, INVEPT_ALL = 2, INVVPID_SINGLE = 1, INVVPID_ALL = 2 };

static void invept(uint64_t type, uint64_t eptp)
{
	struct invalidation d = {eptp, 0};
	bool failed;

	__asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(d), "r"(type) : "memory");
	BUG_ON(failed);
}

static void invvpid(uint64_t type, uint16_t vpid)
{
	struct invalidation d = {vpid, 0};
	bool failed;

	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(d), "r"(type) : "memory");
	BUG_ON(failed);
}

void vmx_flush_all(void)
{
	invept(INVEPT_ALL, 0);
	if (vmx_has(VMX_OPT_VPID))
		invvpid(INVVPID_ALL, 0);
}

void vmx_flush_vpid(uint16_t vpid)
{
	if (!vmx_has(VMX_OPT_VPID))
		return;
	if (vmx_has(VMX_OPT_INVVPID_SINGLE))
		invvpid(INVVPID_SINGLE, vpid);
	else
		invvpid(INVVPID_ALL, 0);
}

void vmx_flush_ept(uint64_t eptp)
{
	if (vmx_has(VMX_OPT_INVEPT_SINGLE))
		invept(INVEPT_SINGLE, eptp);
	else
		invept(INVEPT_ALL, 0);
}

void vmx_write_host_state(struct cpu *cpu)
{
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	for (enum vmcs_segment s = SEG_ES; s <= SEG_GS; s++)
		vmcs_write_raw(VMCS_HOST_ES_SELECTOR.encoding + 2 * (uint32_t)s,
			       s == SEG_CS   ? SEL_CODE
			       : s == SEG_SS ? SEL_DATA
					     : 0);
	vmwrite(VMCS_HOST_TR_SELECTOR, SEL_TSS);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, (uint64_t)cpu);
	vmwrite(VMCS_HOST_TR_BASE, (uint64_t)&cpu->tables->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (uint64_t)cpu->tables->gdt);
	vmwrite(VMCS_HOST_IDTR_BASE, (uint64_t)idt);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	vmwrite(VMCS_HOST_RSP, (uint64_t)cpu->stack_top);
	vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_exit);
	vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	if (vmx_has(VMX_OPT_PERF_GLOBAL_CTRL))
		vmwrite(VMCS_HOST_PERF_GLOBAL_CTRL, 0);
}

static uint32_t adjust(const char *word, struct vmx_controls c, uint32_t want)
{
	if (want & ~c.may)
		panic("VMX %s controls %#x are not available", word, want & ~c.may);
	return want | c.must;
}

hpa_t vmx_init_vmcs(void *page, const struct vmcs_setup *s)
{
	uint32_t perf = vmx_has(VMX_OPT_PERF_GLOBAL_CTRL) ? ~0u : 0;
	uint32_t exit = EXIT_HOST_64 | EXIT_SAVE_DEBUG | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
			EXIT_SAVE_EFER | EXIT_LOAD_EFER | (perf & EXIT_LOAD_PERF_GLOBAL_CTRL) |
			(perf & vmx_caps.exit.may & EXIT_SAVE_PERF_GLOBAL_CTRL) | s->exit;
	uint32_t cpu2 = CPU2_EPT | CPU2_UNRESTRICTED_GUEST | s->cpu2;
	hpa_t vmcs;

	cpu2 |= vmx_caps.cpu2.may & (CPU2_RDTSCP | CPU2_INVPCID | CPU2_XSAVES | CPU2_USER_WAIT);
	if (vmx_has(VMX_OPT_VPID))
		cpu2 |= CPU2_VPID;
	vmcs = vmx_region_init(page);
	vmx_clear(vmcs);
	vmx_load(vmcs);
	vmwrite(VMCS_PIN_CONTROLS, adjust("pin-based", vmx_caps.pin, s->pin));
	vmwrite(VMCS_CPU_CONTROLS,
		adjust("processor-based", vmx_caps.cpu, s->cpu | CPU_MSR_BITMAPS | CPU_SECONDARY));
	vmwrite(VMCS_CPU2_CONTROLS, adjust("secondary", vmx_caps.cpu2, cpu2));
	vmwrite(VMCS_EXIT_CONTROLS, adjust("VM-exit", vmx_caps.exit, exit));
	vmwrite(VMCS_ENTRY_CONTROLS, adjust("VM-entry", vmx_caps.entry,
					    ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER |
						    (perf & ENTRY_LOAD_PERF_GLOBAL_CTRL)));
	vmwrite(VMCS_EXCEPTION_BITMAP, s->exceptions);
	vmwrite(VMCS_PAGE_FAULT_MASK, 0);
	vmwrite(VMCS_PAGE_FAULT_MATCH, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_GUEST_VMCS_LINK, ~UINT64_C(0));
	vmwrite(VMCS_EPT_POINTER, s->eptp);
	vmwrite(VMCS_CR0_MASK, s->cr0_mask);
	vmwrite(VMCS_CR4_MASK, CR4_VMXE);
	if (cpu2 & CPU2_VPID)
		vmwrite(VMCS_VPID, s->vpid);
	if (cpu2 & CPU2_XSAVES)
		vmwrite(VMCS_XSS_EXITING_BITMAP, s->xss_exiting);
	vmcs_set_msrs();
	vmcs_set_init_state();
	return vmcs;
}

void vmx_inject_exception(uint8_t vector, int64_t error)
{
	uint32_t info = INTR_VALID | INTR_TYPE_HARDWARE | vector;

	if (error >= 0) {
		info |= INTR_ERROR_CODE;
		vmwrite(VMCS_ENTRY_ERROR_CODE, (uint32_t)error);
	}
	vmwrite(VMCS_ENTRY_INTERRUPTION, info);
}

bool vmx_reinject_vectoring(void)
{
	uint32_t info = vmread_sure(VMCS_IDT_VECTORING);

	if (likely(!(info & INTR_VALID)))
		return false;
	/* Bit 12 is undefined in the vectoring information and reserved in the entry field. */
	vmwrite(VMCS_ENTRY_INTERRUPTION, info & ~(uint32_t)BIT64(12));
	if (info & INTR_ERROR_CODE)
		vmwrite(VMCS_ENTRY_ERROR_CODE, vmread(VMCS_IDT_VECTORING_ERROR));
	if (INTR_TYPE(info) == INTR_TYPE_SOFT_INT || INTR_TYPE(info) == INTR_TYPE_SOFT_EXC ||
	    INTR_TYPE(info) == INTR_TYPE_PRIV_SOFT)
		vmwrite(VMCS_ENTRY_INSN_LENGTH, vmread(VMCS_EXIT_INSN_LENGTH));
	/* The NMI has not been delivered, so it does not block yet. */
	if (INTR_TYPE(info) == INTR_TYPE_NMI)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~INTERRUPTIBILITY_NMI);
	return true;
}
