// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest may be told by CPUID: KVM_GET_SUPPORTED_CPUID.
 *
 * An allow-list: a feature is shown when this machine has it, its instructions need nothing from us
 * or its state is switched by the hypervisor, and it was thought about. What needs a VM exit that
 * is not handled, leaks the host (power, performance counters), or would not do what it says stays
 * away. The device model takes the table, fills in topology and hands it back; the hypervisor
 * patches what depends on the guest's own registers (OSXSAVE, XSAVE sizes, APIC bit).
 *
 * Pure: the machine's CPUID comes in as a function. Source: SDM 2A "CPUID"; KVM's documentation of
 * the leaves at 40000000h.
 */
#pragma once

#include <linux/kvm.h>

#include "pure.h"

struct cpuid_regs_out {
	uint32_t eax, ebx, ecx, edx;
};

struct cpuid_machine {
	void (*cpuid)(uint32_t leaf, uint32_t subleaf, struct cpuid_regs_out *out);
	uint32_t tsc_khz;
	bool xsaves; /* the hypervisor switches IA32_XSS */
};

/* XCR0 bits that the hypervisor switches: x87, SSE, AVX, AVX-512 (3), PKRU. */
#define CPUID_XCR0_ALLOWED 0x2e7ull

/*
 * Writes the table, ordered by function and index, into entry[0..room) and returns its length; a
 * result above `room` means that it did not fit.
 */
uint32_t cpuid_policy(const struct cpuid_machine *machine, struct kvm_cpuid_entry2 *entry,
		      uint32_t room);

/*
 * Brings what follows the guest's own registers up to date: OSXSAVE, OSPKE, and the sizes of XSAVE
 * images, as the hypervisor answers them.
 */
void cpuid_follow(struct kvm_cpuid_entry2 *entry, uint32_t count, uint64_t xcr0, uint64_t cr4);

/* CR4 bits that the features of the table bring, and those that every guest has. */
uint64_t cpuid_policy_cr4(const struct cpuid_machine *machine);
