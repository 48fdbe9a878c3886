// SPDX-License-Identifier: MIT
/*
 * Waiting, and resetting the machine.
 */
#pragma once

#include <types.h>

/** Frequency of the time-stamp counter: CPUID 15h, else measured against the PIT. Never 0. Context:
 * boot. */
uint64_t tsc_measure_khz(void);

/** Busy-wait. Until tsc_measure_khz() has run, far too short. */
void delay_us(uint64_t us);

/** Reset: ACPI register, then port CF9h, then a triple fault. Caches are written back first.
 * Context: any. */
void machine_reset(void) __noreturn;
