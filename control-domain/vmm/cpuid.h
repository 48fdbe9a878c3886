// SPDX-License-Identifier: MIT
/*
 * The guest's CPUID: what the hypervisor supports (KVM_GET_SUPPORTED_CPUID), with topology, clock
 * frequency and signature put right.
 *
 * Pure. All processors are cores of one package, one thread each, with APIC id = number. Leaf
 * 40000000h says "KVM" with no features: Linux trusts the x2APIC of a hypervisor it knows, and no
 * paravirtual interface is offered. Not passed on: performance counters, MONITOR, nested
 * virtualization.
 *
 * Source: SDM 2A "CPUID"; AMD APM 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#pragma once

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

enum { CPUID_ENTRIES_MAX = 160 };

struct cpuid_table {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[CPUID_ENTRIES_MAX];
};

struct cpuid_guest {
	unsigned cpus;
	uint64_t tsc_khz;
	bool deadline_timer; /* the local APIC has TSC-deadline mode */
};

/* Turns what is supported into what guest CPU `cpu` sees. */
void cpuid_adjust(struct cpuid_table *table, const struct cpuid_guest *guest, unsigned cpu);

/* Entry of a leaf, or NULL. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t index);

/* Whether Linux learns the clock frequency from leaf 15h on this vendor's CPUs. */
bool cpuid_tells_frequency(struct cpuid_table *table);
