// SPDX-License-Identifier: MIT
/*
 * One function a leaf, in a table. Leaves that the supported table lacks but the guest needs are
 * added; others stay as the hypervisor reported them.
 */
#include "cpuid.h"

#include <string.h>

#define LEAF_VENDOR	    0x0
#define LEAF_FEATURES	    0x1
#define LEAF_CACHES	    0x4
#define LEAF_MONITOR	    0x5
#define LEAF_POWER	    0x6
#define LEAF_EXTENDED	    0x7
#define LEAF_PERFORMANCE    0xa
#define LEAF_TOPOLOGY	    0xb
#define LEAF_CLOCK	    0x15
#define LEAF_FREQUENCY	    0x16
#define LEAF_TOPOLOGY_V2    0x1f
#define LEAF_HYPERVISOR	    0x40000000
#define LEAF_KVM_FEATURES   0x40000001
#define LEAF_AMD_FEATURES   0x80000001
#define LEAF_AMD_POWER	    0x80000007
#define LEAF_AMD_SIZES	    0x80000008
#define LEAF_AMD_SVM	    0x8000000a
#define LEAF_AMD_CACHES	    0x8000001d
#define LEAF_AMD_TOPOLOGY   0x8000001e
#define LEAF_AMD_TOPOLOGY26 0x80000026

#define ECX1_MONITOR  (1u << 3)
#define ECX1_VMX      (1u << 5)
#define ECX1_PDCM     (1u << 15)
#define ECX1_DEADLINE (1u << 24)
#define ECX1_OSXSAVE  (1u << 27)
#define ECX1_GUEST    (1u << 31)
#define EDX1_HTT      (1u << 28)

#define EDX7_TSX_DEBUG (1u << 11) /* RTM_ALWAYS_ABORT needs an MSR that is not offered */
#define ECX7_OSPKE     (1u << 4)

#define AMD_ECX_SVM	   (1u << 2)
#define AMD_ECX_PERFCORE   (1u << 23)
#define AMD_ECX_PERFNB	   (1u << 24)
#define AMD_ECX_PERFLLC	   (1u << 28)
#define AMD_ECX_LEGACY_CMP (1u << 1)
#define AMD_EDX_INVARIANT  (1u << 8)

#define CACHE_SHARING 0x03ffc000u /* bits 25:14 */
#define CACHE_CORES   0xfc000000u /* bits 31:26, Intel only */
#define LEVEL_THREAD  1u
#define LEVEL_CORE    2u
#define CRYSTAL_HZ    1000000000u
#define CRYSTAL_KHZ   (CRYSTAL_HZ / 1000)
#define RATIO_MAX     4000u /* Linux multiplies it by the crystal's kHz, in 32 bits */

/* Position of the highest bit needed to number `count` things. */
static unsigned id_bits(unsigned count)
{
	unsigned bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < table->head.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entry[i];
		bool indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

		if (entry->function == leaf && (!indexed || entry->index == index))
			return entry;
	}
	return NULL;
}

bool cpuid_tells_frequency(struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *vendor = cpuid_find(table, LEAF_VENDOR, 0);

	return vendor && vendor->ebx == 0x756e6547; /* "Genu" */
}

static void drop_leaf(struct cpuid_table *table, uint32_t leaf)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < table->head.nent; i++)
		if (table->entry[i].function != leaf)
			table->entry[kept++] = table->entry[i];
	table->head.nent = kept;
}

static void set_leaf(struct cpuid_table *table, uint32_t leaf, uint32_t index, bool indexed,
		     const uint32_t value[4])
{
	if (table->head.nent == CPUID_ENTRIES_MAX)
		return;
	table->entry[table->head.nent++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = index,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = value[0],
		.ebx = value[1],
		.ecx = value[2],
		.edx = value[3],
	};
}

/* Extended topology: level 0 threads (one a core), level 1 cores. */
static void set_topology(struct cpuid_table *table, uint32_t leaf, const struct cpuid_guest *guest,
			 unsigned cpu)
{
	drop_leaf(table, leaf);
	set_leaf(table, leaf, 0, true, (uint32_t[4]){0, 1, LEVEL_THREAD << 8 | 0, cpu});
	set_leaf(table, leaf, 1, true,
		 (uint32_t[4]){id_bits(guest->cpus), guest->cpus, LEVEL_CORE << 8 | 1, cpu});
	set_leaf(table, leaf, 2, true, (uint32_t[4]){0, 0, 2, cpu});
}

static void adjust_features(struct kvm_cpuid_entry2 *entry, const struct cpuid_guest *guest,
			    unsigned cpu)
{
	entry->ebx = (entry->ebx & 0xffff) | guest->cpus << 16 | cpu << 24;
	entry->ecx &= ~(ECX1_MONITOR | ECX1_VMX | ECX1_PDCM | ECX1_OSXSAVE);
	entry->ecx |= ECX1_GUEST;
	entry->ecx =
		guest->deadline_timer ? entry->ecx | ECX1_DEADLINE : entry->ecx & ~ECX1_DEADLINE;
	entry->edx = guest->cpus > 1 ? entry->edx | EDX1_HTT : entry->edx & ~EDX1_HTT;
}

/* Caches: levels 1 and 2 belong to a core, the last one to all. The formats differ little. */
static void adjust_cache(struct kvm_cpuid_entry2 *entry, const struct cpuid_guest *guest)
{
	unsigned level = entry->eax >> 5 & 7;

	if (!(entry->eax & 0x1f))
		return;
	entry->eax &= ~CACHE_SHARING;
	if (level >= 3)
		entry->eax |= (guest->cpus - 1) << 14;
	if (entry->function == LEAF_CACHES) {
		unsigned cores = (1u << id_bits(guest->cpus)) - 1;

		entry->eax &= ~CACHE_CORES;
		entry->eax |= (cores > 63 ? 63 : cores) << 26;
	}
}

static void adjust_entry(struct kvm_cpuid_entry2 *entry, const struct cpuid_guest *guest,
			 unsigned cpu)
{
	switch (entry->function) {
	case LEAF_FEATURES:
		adjust_features(entry, guest, cpu);
		break;
	case LEAF_CACHES:
	case LEAF_AMD_CACHES:
		adjust_cache(entry, guest);
		break;
	case LEAF_MONITOR:
	case LEAF_PERFORMANCE:
	case LEAF_AMD_SVM:
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case LEAF_POWER:
		entry->eax &= 1u << 2; /* the APIC timer runs in all sleep states, nothing else */
		entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case LEAF_EXTENDED:
		entry->ecx &= ~ECX7_OSPKE;
		if (!entry->index)
			entry->edx &= ~EDX7_TSX_DEBUG;
		break;
	case LEAF_AMD_FEATURES:
		entry->ecx &= ~(AMD_ECX_SVM | AMD_ECX_PERFCORE | AMD_ECX_PERFNB | AMD_ECX_PERFLLC);
		entry->ecx = guest->cpus > 1 ? entry->ecx | AMD_ECX_LEGACY_CMP
					     : entry->ecx & ~AMD_ECX_LEGACY_CMP;
		break;
	case LEAF_AMD_POWER:
		entry->edx |= AMD_EDX_INVARIANT;
		break;
	case LEAF_AMD_SIZES:
		entry->ecx = id_bits(guest->cpus) << 12 | (guest->cpus - 1);
		break;
	case LEAF_AMD_TOPOLOGY:
		entry->eax = cpu;
		entry->ebx = cpu; /* one thread a core */
		entry->ecx = 0;	  /* one node */
		break;
	}
}

/* Hornero's driver tells the clock itself: its TSC is a power of two of the crystal. */
static bool clock_is_told(struct cpuid_table *table, const struct cpuid_guest *guest)
{
	const struct kvm_cpuid_entry2 *clock = cpuid_find(table, LEAF_CLOCK, 0);

	return clock && cpuid_find(table, LEAF_FREQUENCY, 0) && clock->eax == 1 &&
	       (uint64_t)clock->ecx * clock->ebx == guest->tsc_khz * 1000;
}

/* The last convergent of above / below whose parts are at most RATIO_MAX; both are positive. */
static void reduce(uint64_t above, uint64_t below, uint32_t ratio[2])
{
	uint64_t before[2] = {0, 1}, now[2] = {1, 0};

	while (below) {
		uint64_t whole = above / below, rest = above % below;
		uint64_t next[2] = {whole * now[0] + before[0], whole * now[1] + before[1]};

		if (next[0] > RATIO_MAX || next[1] > RATIO_MAX)
			break;
		memcpy(before, now, sizeof(before));
		memcpy(now, next, sizeof(now));
		above = below;
		below = rest;
	}
	ratio[0] = now[0] ? (uint32_t)now[0] : 1; /* below 250 kHz */
	ratio[1] = (uint32_t)now[1];
}

/*
 * The crystal is also what guests take for the clock of the local APIC's timer, so it has to be
 * that: on Linux's KVM 1 GHz, give or take what makes the TSC a multiple by a ratio of small
 * numbers. The TSC is exact to a millionth.
 */
static void set_clock(struct cpuid_table *table, const struct cpuid_guest *guest)
{
	uint32_t mhz = (uint32_t)(guest->tsc_khz / 1000), ratio[2];

	if (clock_is_told(table, guest))
		return;
	reduce(guest->tsc_khz, CRYSTAL_KHZ, ratio);
	drop_leaf(table, LEAF_CLOCK);
	drop_leaf(table, LEAF_FREQUENCY);
	set_leaf(table, LEAF_CLOCK, 0, false,
		 (uint32_t[4]){ratio[1], ratio[0],
			       (uint32_t)(guest->tsc_khz * 1000 * ratio[1] / ratio[0]), 0});
	set_leaf(table, LEAF_FREQUENCY, 0, false, (uint32_t[4]){mhz, mhz, 1, 0});
}

static void set_signature(struct cpuid_table *table)
{
	uint32_t value[4] = {LEAF_KVM_FEATURES, 0, 0, 0};

	drop_leaf(table, LEAF_HYPERVISOR);
	drop_leaf(table, LEAF_KVM_FEATURES);
	memcpy(&value[1], "KVMKVMKVM\0\0\0", 12);
	set_leaf(table, LEAF_HYPERVISOR, 0, false, value);
	set_leaf(table, LEAF_KVM_FEATURES, 0, false, (uint32_t[4]){0, 0, 0, 0});
}

static void raise_maximum(struct cpuid_table *table, uint32_t base, uint32_t leaf)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(table, base, 0);

	if (entry && entry->eax < leaf)
		entry->eax = leaf;
}

void cpuid_adjust(struct cpuid_table *table, const struct cpuid_guest *guest, unsigned cpu)
{
	for (uint32_t i = 0; i < table->head.nent; i++)
		adjust_entry(&table->entry[i], guest, cpu);
	set_topology(table, LEAF_TOPOLOGY, guest, cpu);
	if (cpuid_find(table, LEAF_TOPOLOGY_V2, 0))
		set_topology(table, LEAF_TOPOLOGY_V2, guest, cpu);
	drop_leaf(table, LEAF_AMD_TOPOLOGY26);
	if (!cpuid_find(table, LEAF_AMD_POWER, 0))
		set_leaf(table, LEAF_AMD_POWER, 0, false,
			 (uint32_t[4]){0, 0, 0, AMD_EDX_INVARIANT});
	set_clock(table, guest);
	set_signature(table);
	raise_maximum(table, LEAF_VENDOR, LEAF_FREQUENCY);
	raise_maximum(table, 0x80000000, LEAF_AMD_POWER);
}
