// SPDX-License-Identifier: MIT
/*
 * hornero check: will this machine do? Facts are gathered by check_facts.c on a Linux that runs
 * without the hypervisor; check_judge.c makes findings out of them and is pure; check.c shows them.
 * What VT-x has to offer is judged by the hypervisor's own table (arch/x86/vmx/caps.c), so that
 * this command and the boot cannot disagree.
 */
#pragma once

#include <x86/vmx/caps.h>

#define CHECK_MAX_FINDINGS (VMX_OPTIONS + 24)

enum check_need {
	CHECK_NEEDED,	/* without it nothing works */
	CHECK_OPTIONAL, /* without it something is slower, coarser or less safe */
	CHECK_INFO,
};

enum check_verdict { CHECK_USABLE, CHECK_LIMITS, CHECK_UNUSABLE };

struct check_facts {
	char vendor[16]; /* CPUID leaf 0 */
	char model[64];
	char outer[16]; /* signature of the hypervisor that this system is a guest of; empty: none
			 */
	uint32_t signature;	    /* CPUID leaf 1, EAX */
	unsigned int cpus, offline; /* looked at; switched off in Linux and so not looked at */
	struct vmx_caps *caps;	    /* one per CPU looked at; the facts own it */
	unsigned int *numbers;	    /* Linux's, of each of them; the facts own it */
	bool invariant_tsc;
	bool acpi, iommu, efi;
	bool secure_boot;
	bool smt; /* two threads of a core are in use */
	uint64_t memory_bytes;
	char vulnerable[256]; /* names of what this Linux calls "Vulnerable", blank between; empty:
				 none */
};

struct check_finding {
	const char *what;
	enum check_need need;
	bool good;
	char found[320];
	const char *remedy; /* what to do; only where not good */
};

/** Fill @out (CHECK_MAX_FINDINGS entries) from @facts. Returns how many. Pure. */
unsigned int check_judge(const struct check_facts *facts, struct check_finding *out);

/** What @n findings mean together. Pure. */
enum check_verdict check_sum_up(const struct check_finding *findings, unsigned int n);

/** Ask this machine. Returns 0, or -1 after saying what kept it from being asked. */
int check_gather(struct check_facts *facts);

/** Free what check_gather() allocated. */
void check_release(struct check_facts *facts);
