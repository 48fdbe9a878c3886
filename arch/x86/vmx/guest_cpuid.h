// SPDX-License-Identifier: MIT
/*
 * What CPUID says to a guest: the table that the driver gave, as KVM's clients mean it.
 *
 * An entry answers for one subleaf, or for all of its leaf. CPUID itself is never executed for a
 * guest. Source: SDM 2A "CPUID-CPU Identification". Pure: host tests.
 */
#pragma once

#include <abi/vcpu.h>
#include <types.h>
#include <x86/vmx/control_cpuid.h>

struct guest_cpuid {
	struct hv_cpuid *entry; /* HV_MAX_CPUID of them, sorted by function, index */
	uint32_t count;
	uint8_t first[CPUID_SLOTS]; /* where to begin looking for a leaf */
	/* the one entry of a leaf, if all there is to add is OSXSAVE; else NULL */
	const struct hv_cpuid *constant[CPUID_SLOTS];
};

/** Take the @n entries of @table. -HV_ERR_INVAL, with nothing changed, if they are not sorted. */
int guest_cpuid_set(struct guest_cpuid *t, const struct hv_cpuid *table, uint32_t n) __must_use;

/** The answer under the guest's @cr4 and @xcr0. */
struct cpuid_entry guest_cpuid_answer(const struct guest_cpuid *t, uint32_t function,
				      uint32_t index, uint64_t cr4, uint64_t xcr0);

/** The entry that answers for all of leaf @function, whatever XCR0 is, and but for
 * guest_cpuid_osxsave() whatever CR4 is; or NULL: ask guest_cpuid_answer(). */
static inline const struct hv_cpuid *guest_cpuid_constant(const struct guest_cpuid *t,
							  uint32_t function)
{
	uint32_t slot = cpuid_slot(function);

	return slot < CPUID_SLOTS ? t->constant[slot] : NULL;
}

/** ECX of leaf 1, which repeats CR4.OSXSAVE. */
static inline uint32_t guest_cpuid_osxsave(uint32_t ecx, uint64_t cr4)
{
	return (ecx & ~(1u << 27)) | (uint32_t)(field_get(cr4, 18, 18) << 27);
}

/** CR4 bits that the table's features allow. */
uint64_t guest_cpuid_cr4(const struct guest_cpuid *t);

/** True if the table has @bit in register @reg (EAX is 0) of @function, subleaf 0. */
bool guest_cpuid_has(const struct guest_cpuid *t, uint32_t function, unsigned int reg,
		     unsigned int bit);
