// SPDX-License-Identifier: MIT
/*
 * What a write of the interrupt command register asks for, in either mode of the local APIC, as far
 * as starting CPUs goes. Pure. Source: SDM 3A "Interrupt Command Register (ICR)", "x2APIC
 * Interrupt Command Register", "Logical Destination Mode in x2APIC Mode".
 */
#pragma once

#include <types.h>

/** True if @icr, all 64 bits, is a start-up IPI that the processor would send: no reserved bit, no
 * shorthand that it cannot have. (Its level bit does not matter.) */
bool icr_is_sipi(uint64_t icr, bool x2apic);

/** True if that SIPI is meant for the CPU @apic_id, which waits for one (so it is not
 * the sender). After an INIT its logical id in xAPIC mode is 0, which only a broadcast meets. */
bool icr_reaches(uint64_t icr, bool x2apic, uint32_t apic_id);
