// SPDX-License-Identifier: MIT
/*
 * Numbers that assembly needs of struct cpu, which percpu.h asserts to be right, and others.
 */
#pragma once

#define CPU_VMX		24
#define CPU_NMI_IN_ROOT 40
#define CPU_LAUNCHED	44
#define CPU_GPRS	48
#define CPU_CPUID	56
#define CPU_REASON	64

/* struct vmx_cpu; vmx/vmx.h asserts these. */
#define VMX_AT_SIPI_START 128
#define VMX_CPUID_EXITS	  224

/* struct speculation */
#define SPECULATION_FILL_RSB 3

/* vmx/control_cpuid.h */
#define CPUID_SLOTS 64
