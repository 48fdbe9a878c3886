// SPDX-License-Identifier: MIT
/*
 * Included before everything else by the fuzzers that run the hypervisor's own files in a process:
 * the instructions that a process may not use become functions of machine.c.
 *
 * What is replaced is the thinnest layer there is: instructions, VMCS accesses, and the address of
 * the CPU's own structure. All above it is the hypervisor's.
 */
#pragma once

#include <x86/asm.h>
#include <x86/percpu.h>
#include <x86/vmx/vmcs.h>

struct cpu *machine_cpu(void);
uint64_t machine_field(uint32_t encoding);
void machine_set_field(uint32_t encoding, uint64_t value);
void machine_vmclear(hpa_t vmcs);
void machine_vmptrld(hpa_t vmcs);
uint64_t machine_tsc(void);
bool machine_rdmsr(uint32_t msr, uint64_t *value);
uint64_t machine_msr(uint32_t msr);
bool machine_wrmsr(uint32_t msr, uint64_t value);

/* Before vmx.h, which uses them in functions of its own. */
#define vmcs_read_raw(encoding)	     machine_field(encoding)
#define vmcs_write_raw(encoding, v)  machine_set_field(encoding, v)
#define vmcs_read_sure(encoding)     machine_field(encoding)
#define vmcs_write_sure(encoding, v) machine_set_field(encoding, v)
#define vmcs_try_read(encoding, v)   (*(v) = machine_field(encoding), true)
#define rdtsc()			     machine_tsc()

#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmx.h>

#define this_cpu()		machine_cpu()
#define vmx_clear(vmcs)		machine_vmclear(vmcs)
#define vmx_load(vmcs)		machine_vmptrld(vmcs)
#define this_vmx()		(machine_cpu()->vmx)
#define rdmsr_safe(msr, value)	machine_rdmsr(msr, value)
#define wrmsr_safe(msr, value)	machine_wrmsr(msr, value)
#define rdmsr(msr)		machine_msr(msr)
#define wrmsr(msr, value)	((void)machine_wrmsr(msr, value))
#define xsetbv_safe(reg, value) (!(reg) && ((value)&1) && !(((value) >> 1 & 3) == 2))
#define cpuid(leaf, subleaf)	((struct cpuid_regs){(leaf), 0x800, (subleaf), 0})
#define read_cr0()		UINT64_C(0x80050033)
#define read_cr3()		UINT64_C(0x1000)
#define read_cr4()		UINT64_C(0x2668)
#define read_dr6()		UINT64_C(0xffff0ff0)
#define write_dr6(v)		((void)(v))
#define wbinvd()		((void)0)
