// SPDX-License-Identifier: MIT
/*
 * The physical local APIC, as far as the hypervisor uses it: sending INIT and SIPI.
 *
 * It is the control domain's; its mode (xAPIC or x2APIC) is looked up at each use because Linux may
 * change it.
 */
#pragma once

#include <types.h>

/** The registers are at @mapped, and where to map them from. Context: boot. */
void lapic_init(void *mapped);
hpa_t lapic_base(void);

/** True in x2APIC mode. */
bool lapic_x2apic(void);

/** This CPU's register at @offset. Context: xAPIC mode. */
volatile uint32_t *lapic_register(unsigned int offset);

/** x2APIC id of this CPU, from CPUID. Context: boot. */
uint32_t lapic_id(void);

void lapic_send_init(uint32_t apic_id);
void lapic_send_sipi(uint32_t apic_id, uint8_t vector);

/** Stop every other CPU (crash, refusal). Does nothing before lapic_init(). */
void lapic_send_init_all_others(void);
