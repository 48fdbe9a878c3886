// SPDX-License-Identifier: MIT
/*
 * The physical local APIC, as far as the hypervisor uses it: sending INIT and SIPI.
 *
 * It is the control domain's; its mode (xAPIC or x2APIC) is looked up at each use because Linux may
 * change it.
 */
#pragma once

#include <types.h>

/** Map the registers. Context: boot, after paging_init(). */
void lapic_init(void);

/** This CPU's register at @offset. Context: xAPIC mode. */
volatile uint32_t *lapic_register(unsigned int offset);

/** x2APIC id of this CPU, from CPUID. */
uint32_t lapic_id(void);

/** Highest APIC id that can be addressed in the present mode. */
uint32_t lapic_max_id(void);

void lapic_send_init(uint32_t apic_id);
void lapic_send_sipi(uint32_t apic_id, uint8_t vector);

/** Stop every other CPU (crash, refusal). Does nothing before lapic_init(). */
void lapic_send_init_all_others(void);
