// SPDX-License-Identifier: MIT
/*
 * Why did VM entry fail? The SDM's checks, run in software over the same VMCS.
 *
 * The processor answers a bad VMCS with a number that says no more than "controls", "host state" or
 * "guest state". entry_check() goes through the rules in the processor's order and names the first
 * that does not hold, with the field to look at. It only ever explains, and so runs here and not
 * in the hypervisor, which merely hands over the VMCS (vmcs_explain.h).
 *
 * Pure: fields come through a callback, which is asked only for fields that exist under the
 * controls that are set. Not covered, since it would need memory or is never used here: MSR-load
 * and -store areas, the TPR threshold against the virtual-APIC page, SMM, enclaves, the contents of
 * PERF_GLOBAL_CTRL. SDM 3C "VM Entries": "Checks on VMX Controls and Host-State Area", "Checking
 * and Loading Guest State".
 */
#pragma once

#include <types.h>
#include <x86/vmx/caps.h>

struct entry_env {
	uint64_t (*read)(void *ctx, uint32_t encoding); /* VMREAD */
	void *ctx;
	const struct vmx_caps *caps; /* of this CPU */
	unsigned int physical_bits, linear_bits;
};

struct entry_failure {
	uint32_t field;	  /* VMCS encoding */
	const char *rule; /* what should hold, one sentence */
};

/** True if every rule holds; else *@failure tells the first that does not. Context: any. */
bool entry_check(const struct entry_env *env, struct entry_failure *failure) __must_use;
