// SPDX-License-Identifier: MIT
/*
 * MSRs of the control domain whose writes are looked at (control_msr.c) because control_boot.c lets
 * them exit.
 */
#pragma once

#define MSR_PERF_GLOBAL_CTRL 0x38fu
#define MSR_TSC		     0x10u
#define MSR_TSC_ADJUST	     0x3bu
#define MSR_MICROCODE	     0x79u
#define MSR_XSS		     0xda0u
#define MSR_STAR	     0xc0000081u
#define MSR_FMASK	     0xc0000084u
#define MSR_TSC_AUX	     0xc0000103u
