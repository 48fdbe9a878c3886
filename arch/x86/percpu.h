// SPDX-License-Identifier: MIT
/*
 * One structure per physical CPU, found through GS.
 *
 * `self` must stay first: this_cpu() is one load. The VMX side keeps its own state behind `vmx`.
 * `nmi_in_root`, `launched`, `gprs` and `cpuid` are read by the entry code in vmx/entry.S, which
 * writes `reason`.
 */
#pragma once

#include <types.h>
#include <x86/percpu_offsets.h>

struct vmx_cpu;
struct desc_tables;
struct hv_gprs;
struct cpuid_leaf;

struct cpu {
	struct cpu *self;
	uint32_t index;	  /* 0 = boot processor */
	uint32_t apic_id; /* x2APIC id */
	void *stack_top;  /* of the stack that exits run on */
	struct vmx_cpu *vmx;
	struct desc_tables *tables; /* GDT, TSS, fault stacks */
	uint32_t nmi_in_root; /* an NMI arrived while the hypervisor ran: owed to the control domain
			       */
	uint32_t launched;    /* the current VMCS was launched: VMRESUME, else VMLAUNCH */
	struct hv_gprs *gprs; /* where the running guest's general registers live */
	const struct cpuid_leaf *cpuid; /* the control domain's table */
	uint32_t reason;		/* of the control domain's exit, as VMCS_EXIT_REASON */
	volatile uint32_t online;
};

static_assert(offsetof(struct cpu, nmi_in_root) == CPU_NMI_IN_ROOT, "percpu_offsets.h");
static_assert(offsetof(struct cpu, launched) == CPU_LAUNCHED, "percpu_offsets.h");
static_assert(offsetof(struct cpu, vmx) == CPU_VMX, "percpu_offsets.h");
static_assert(offsetof(struct cpu, cpuid) == CPU_CPUID, "percpu_offsets.h");
static_assert(offsetof(struct cpu, gprs) == CPU_GPRS, "percpu_offsets.h");
static_assert(offsetof(struct cpu, reason) == CPU_REASON, "percpu_offsets.h");

/** CPUs found and usable, and the array of them (index 0 is the boot processor). */
extern unsigned int cpu_count;
extern struct cpu **cpu_table;

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	__asm__("mov %%gs:0, %0" : "=r"(c));
	return c;
}
