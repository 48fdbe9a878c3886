// SPDX-License-Identifier: MIT
/*
 * VT-x in the boot part.
 */
#pragma once

#include <x86/vmx/vmx.h>

/** Read this CPU's capabilities into @caps. No VMX in CPUID leaves @caps->vmx false. */
void vmx_read_caps(struct vmx_caps *caps);

/** Allow VMX in IA32_FEATURE_CONTROL if firmware left that open. */
void vmx_unlock(struct vmx_caps *caps);

/** Enter VMX operation on this CPU. -HV_ERR_HARDWARE if the CPU refuses. */
int vmx_on(struct vmx_cpu *v) __must_use;

/** Make the VMCS; then set the registers for the first instruction. */
struct linux_start;
void control_vmcs_init(struct vmx_cpu *v);
void control_start_boot(struct vmx_cpu *v, const struct linux_start *start);

/** Set up the bitmaps, shared by all CPUs. */
void control_msr_init(void);
void control_io_init(void);

/** Make the writes exit that send SIPIs, if there is no other way. */
void control_apic_init(void);
