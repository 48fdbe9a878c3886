// SPDX-License-Identifier: MIT
/*
 * Taking the interrupt command register apart; see icr.h.
 */
#include <x86/vmx/icr.h>

#define ICR_MODE(icr)	   field_get((icr), 10, 8)
#define ICR_LOGICAL	   BIT64(11)
#define ICR_SHORTHAND(icr) field_get((icr), 19, 18)
#define MODE_STARTUP	   6
#define NO_SHORTHAND	   0
#define ALL_OTHERS	   3
#define X2APIC_RESERVED	   (MASK64(31, 20) | MASK64(17, 16) | MASK64(13, 12))

bool icr_is_sipi(uint64_t icr, bool x2apic)
{
	uint64_t shorthand = ICR_SHORTHAND(icr);

	return ICR_MODE(icr) == MODE_STARTUP &&
	       (shorthand == NO_SHORTHAND || shorthand == ALL_OTHERS) &&
	       !(x2apic && (icr & X2APIC_RESERVED));
}

bool icr_reaches(uint64_t icr, bool x2apic, uint32_t apic_id)
{
	uint64_t to = x2apic ? icr >> 32 : icr >> 56;

	if (ICR_SHORTHAND(icr) == ALL_OTHERS || to == (x2apic ? UINT32_MAX : UINT8_MAX))
		return true;
	if (!(icr & ICR_LOGICAL))
		return to == apic_id;
	return x2apic && to >> 16 == apic_id >> 4 && (to & BIT64(apic_id & 15));
}
