// SPDX-License-Identifier: MIT
/*
 * What CPUID says to the control domain.
 *
 * CPUID is by far its most frequent exit (62 for each exec of a glibc program), so the answer is a
 * table, one for each CPU, filled once at boot by executing CPUID and applying an allow-list:
 * features that we switch between guests or leave alone stay, the rest (VMX, SGX, PT, CET, AMX, key
 * locker, ...) is hidden until somebody handles it. Only what depends on the guest's CR4 and XCR0
 * is filled in later. What does not depend on CR4, entry.S answers without leaving assembly.
 *
 * Source: SDM 2A "CPUID-CPU Identification"; SDM 1 "Processor Identification and Feature
 * Determination".
 */
#pragma once

#include <types.h>
#include <x86/percpu_offsets.h>

struct cpuid_entry {
	uint32_t eax, ebx, ecx, edx;
};

#define CPUID_TABLE_ENTRIES 112

/** Where a leaf is found: its number rotated, so that the two ranges take turns; or too large.
 * Leaves below 20h of either have one of the CPUID_SLOTS. */
static inline uint32_t cpuid_slot(uint32_t leaf)
{
	return leaf << 1 | leaf >> 31;
}

/* Read by entry.S: it answers the first @quick subleaves, of those that ECX & @mask selects. */
struct cpuid_leaf {
	uint32_t mask, quick;
	struct cpuid_entry *first;
};

struct cpuid_table {
	struct cpuid_leaf leaf[CPUID_SLOTS]; /* first: the address that entry.S knows */
	uint32_t max_basic, max_ext, used;
	uint8_t subleafs[CPUID_SLOTS];
	struct cpuid_entry entries[CPUID_TABLE_ENTRIES];
};

/** Executes CPUID or, in host tests, looks it up. */
typedef struct cpuid_entry cpuid_source(void *ctx, uint32_t leaf, uint32_t subleaf);

/* What the allow-list depends on besides its own constants. */
struct cpuid_policy {
	bool xsaves, rdtscp, invpcid, user_wait;
};

/** Fill @t from @source. */
void cpuid_table_build(struct cpuid_table *t, cpuid_source *source, void *ctx,
		       const struct cpuid_policy *policy);

/** The answer for @leaf, @subleaf under the guest's @cr4. */
struct cpuid_entry cpuid_table_lookup(const struct cpuid_table *t, uint32_t leaf, uint32_t subleaf,
				      uint64_t cr4);

/** True for leaves whose answer depends on CR4. */
static inline bool cpuid_needs_cr4(uint32_t leaf)
{
	return leaf == 1 || leaf == 7;
}

/** XCR0 or IA32_XSS changed: take the sizes that depend on them from @source. */
void cpuid_table_refresh_xsave(struct cpuid_table *t, cpuid_source *source, void *ctx);

/** XCR0 components that the control domain and guests may use. */
#define XCR0_ALLOWED (BIT64(0) | BIT64(1) | BIT64(2) | BIT64(5) | BIT64(6) | BIT64(7) | BIT64(9))
