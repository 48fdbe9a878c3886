// SPDX-License-Identifier: MIT
/*
 * Switching VMX on, and the few instructions that are neither VMREAD nor VMWRITE.
 *
 * Nothing here knows who runs in the guest. A refused VMX instruction is either an answer
 * for the caller (VMXON on a broken machine) or our bug (VMPTRLD of our own page).
 */
#define LOG_TAG "vmx"
#include <string.h>

#include <log.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define MSR_SYSENTER_CS 0x174u
#define CPUID_1_ECX_VMX BIT64(5)

struct vmx_caps vmx_caps;

void vmx_read_caps(struct vmx_caps *c)
{
	memset(c, 0, sizeof(*c));
	c->vmx = cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
	if (!c->vmx)
		return;
	rdmsr_safe(MSR_IA32_FEATURE_CONTROL, &c->feature_control);
	c->basic = rdmsr(MSR_IA32_VMX_BASIC);

	bool true_controls = c->basic & VMX_BASIC_TRUE_CONTROLS;

	c->pin = vmx_controls_of(
		rdmsr(true_controls ? MSR_IA32_VMX_TRUE_PINBASED : MSR_IA32_VMX_PINBASED));
	c->cpu = vmx_controls_of(
		rdmsr(true_controls ? MSR_IA32_VMX_TRUE_PROCBASED : MSR_IA32_VMX_PROCBASED));
	c->exit =
		vmx_controls_of(rdmsr(true_controls ? MSR_IA32_VMX_TRUE_EXIT : MSR_IA32_VMX_EXIT));
	c->entry = vmx_controls_of(
		rdmsr(true_controls ? MSR_IA32_VMX_TRUE_ENTRY : MSR_IA32_VMX_ENTRY));
	c->misc = rdmsr(MSR_IA32_VMX_MISC);
	c->cr0_fixed0 = rdmsr(MSR_IA32_VMX_CR0_FIXED0);
	c->cr0_fixed1 = rdmsr(MSR_IA32_VMX_CR0_FIXED1);
	c->cr4_fixed0 = rdmsr(MSR_IA32_VMX_CR4_FIXED0);
	c->cr4_fixed1 = rdmsr(MSR_IA32_VMX_CR4_FIXED1);
	if (c->cpu.may & CPU_SECONDARY)
		c->cpu2 = vmx_controls_of(rdmsr(MSR_IA32_VMX_PROCBASED2));
	if (c->cpu2.may & (CPU2_EPT | CPU2_VPID))
		c->ept_vpid = rdmsr(MSR_IA32_VMX_EPT_VPID);
}

bool vmx_unlock(struct vmx_caps *c)
{
	if (!(c->feature_control & FEATURE_CONTROL_LOCKED)) {
		c->feature_control |= FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX;
		if (!wrmsr_safe(MSR_IA32_FEATURE_CONTROL, c->feature_control))
			return false;
	}
	return c->feature_control & FEATURE_CONTROL_VMX;
}

void vmx_region_init(void *page)
{
	memset(page, 0, PAGE_SIZE);
	*(uint32_t *)page = (uint32_t)field_get(vmx_caps.basic, 30, 0);
}

int vmx_on(struct vmx_cpu *v)
{
	uint64_t pa = hpa_of(v->vmxon).v;
	bool failed;

	vmx_region_init(v->vmxon);
	write_cr0((read_cr0() | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1);
	write_cr4((read_cr4() | vmx_caps.cr4_fixed0 | CR4_VMXE) & vmx_caps.cr4_fixed1);
	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(pa) : "memory");
	if (failed) {
		log_err("CPU %u refuses VMXON (CR0 %#lx, CR4 %#lx, feature control %#lx)",
			v->cpu->index, read_cr0(), read_cr4(), v->caps.feature_control);
		return -HV_ERR_HARDWARE;
	}
	vmx_flush_all();
	return 0;
}

void vmx_off(void)
{
	if (read_cr4() & CR4_VMXE) {
		__asm__ volatile("1: vmxoff\n2:\n" EX_TABLE("1b", "2b")::: "cc", "memory");
		write_cr4(read_cr4() & ~CR4_VMXE);
	}
}

void vmx_clear(const void *vmcs)
{
	uint64_t pa = hpa_of(vmcs).v;
	bool failed;

	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(pa) : "memory");
	BUG_ON(failed);
}

void vmx_load(const void *vmcs)
{
	uint64_t pa = hpa_of(vmcs).v;
	bool failed;

	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(pa) : "memory");
	BUG_ON(failed);
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
	if (vmx_caps_has(&vmx_caps, VMX_OPT_VPID))
		invvpid(INVVPID_ALL, 0);
}

void vmx_flush_vpid(uint16_t vpid)
{
	if (!vmx_caps_has(&vmx_caps, VMX_OPT_VPID))
		return;
	if (vmx_caps_has(&vmx_caps, VMX_OPT_INVVPID_SINGLE))
		invvpid(INVVPID_SINGLE, vpid);
	else
		invvpid(INVVPID_ALL, 0);
}

void vmx_flush_ept(uint64_t eptp)
{
	if (vmx_caps_has(&vmx_caps, VMX_OPT_INVEPT_SINGLE))
		invept(INVEPT_SINGLE, eptp);
	else
		invept(INVEPT_ALL, 0);
}

struct __packed table_register {
	uint16_t limit;
	uint64_t base;
};

/* Base of the TSS, out of the 16-byte descriptor that TR selects. */
static uint64_t tss_base(const struct table_register *gdt, uint16_t selector)
{
	const uint32_t *d = (const uint32_t *)(gdt->base + (selector & ~7u));

	return field_get(d[0], 31, 16) | field_get(d[1], 7, 0) << 16 |
	       field_get(d[1], 31, 24) << 24 | (uint64_t)d[2] << 32;
}

void vmx_write_host_state(struct cpu *cpu)
{
	struct table_register gdt, idt;
	uint16_t cs, ss, tr;

	__asm__ volatile("sgdt %0" : "=m"(gdt));
	__asm__ volatile("sidt %0" : "=m"(idt));
	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	__asm__ volatile("mov %%ss, %0" : "=r"(ss));
	__asm__ volatile("str %0" : "=r"(tr));

	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_CS_SELECTOR, cs & 0xfff8);
	vmwrite(VMCS_HOST_SS_SELECTOR, ss & 0xfff8);
	vmwrite(VMCS_HOST_DS_SELECTOR, 0);
	vmwrite(VMCS_HOST_ES_SELECTOR, 0);
	vmwrite(VMCS_HOST_FS_SELECTOR, 0);
	vmwrite(VMCS_HOST_GS_SELECTOR, 0);
	vmwrite(VMCS_HOST_TR_SELECTOR, tr);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, (uint64_t)cpu);
	vmwrite(VMCS_HOST_TR_BASE, tss_base(&gdt, tr));
	vmwrite(VMCS_HOST_GDTR_BASE, gdt.base);
	vmwrite(VMCS_HOST_IDTR_BASE, idt.base);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	vmwrite(VMCS_HOST_RSP, (uint64_t)cpu->stack_top);
	vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_exit);
	vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	if (vmx_caps_has(&vmx_caps, VMX_OPT_PERF_GLOBAL_CTRL))
		vmwrite(VMCS_HOST_PERF_GLOBAL_CTRL, 0);
}

static uint32_t adjust(const char *word, struct vmx_controls c, uint32_t want)
{
	uint32_t lost, value = vmx_controls_adjust(c, want, &lost);

	if (lost)
		panic("VMX %s controls %#x are not available", word, lost);
	return value;
}

void vmx_write_controls(uint32_t pin, uint32_t cpu, uint32_t cpu2, uint32_t exit, uint32_t entry)
{
	vmwrite(VMCS_PIN_CONTROLS, adjust("pin-based", vmx_caps.pin, pin));
	vmwrite(VMCS_CPU_CONTROLS, adjust("processor-based", vmx_caps.cpu, cpu));
	vmwrite(VMCS_CPU2_CONTROLS, adjust("secondary", vmx_caps.cpu2, cpu2));
	vmwrite(VMCS_EXIT_CONTROLS, adjust("VM-exit", vmx_caps.exit, exit));
	vmwrite(VMCS_ENTRY_CONTROLS, adjust("VM-entry", vmx_caps.entry, entry));
}

void vmx_skip_instruction(void)
{
	uint32_t shadow = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t rip = vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSN_LENGTH);

	/* Outside 64-bit mode RIP wraps at 4 GiB (at 64 KiB in 16-bit code a wrap would have
	 * faulted). */
	if (!(vmread(VMCS_GUEST_CS_ACCESS) & ACCESS_CODE_64))
		rip = (uint32_t)rip;
	vmwrite(VMCS_GUEST_RIP, rip);
	if (shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			shadow & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	vmx_trap_single_step();
}

void vmx_trap_single_step(void)
{
	/* The instruction has not run, so the processor does not trap after it. */
	if (unlikely(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF) &&
	    !(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(VMCS_GUEST_PENDING_DEBUG,
			vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
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

void vmx_reinject_vectoring(void)
{
	uint32_t info = vmread(VMCS_IDT_VECTORING);

	if (!(info & INTR_VALID))
		return;
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
}
