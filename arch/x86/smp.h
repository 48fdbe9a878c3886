// SPDX-License-Identifier: MIT
/*
 * Starting the other processors.
 */
#pragma once

#include <x86/percpu.h>

/** Make the CPU table for at most @most CPUs, with the boot processor in it. Context: boot. */
void smp_init(unsigned int most, struct cpu *boot);

/** Start every usable CPU, up to the table's size; each waits for smp_release(). One that does not
 * come up is named and left out. Context: boot processor, final page tables. */
void smp_start(void);

/** Let the started CPUs go on to virt_ap_main(). */
void smp_release(void);
