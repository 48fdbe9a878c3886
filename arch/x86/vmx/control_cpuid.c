// SPDX-License-Identifier: MIT
/*
 * Answers from the table of control_cpuid.h; control_cpuid_build.c makes it.
 */
#include <abi/hypercall.h>
#include <x86/vmx/control_cpuid.h>

static struct cpuid_entry identity(uint32_t leaf)
{
	if (leaf == HV_CPUID_SIGNATURE)
		return (struct cpuid_entry){HV_CPUID_VERSION, HV_SIGNATURE_EBX, HV_SIGNATURE_ECX,
					    HV_SIGNATURE_EDX};
	return (struct cpuid_entry){leaf == HV_CPUID_VERSION ? HV_ABI_VERSION : 0, 0, 0, 0};
}

struct cpuid_entry cpuid_table_lookup(const struct cpuid_table *t, uint32_t leaf, uint32_t subleaf,
				      uint64_t cr4)
{
	struct cpuid_entry e = {0, 0, 0, 0};
	const struct cpuid_leaf *l;
	uint32_t subleafs;

	if ((leaf & 0xffffff00u) == HV_CPUID_SIGNATURE)
		return identity(leaf);
	/* out of range: the data of the highest basic leaf (SDM 2A) */
	if (leaf > t->max_basic && (leaf < 0x80000000u || leaf > t->max_ext))
		leaf = t->max_basic;
	l = &t->leaf[cpuid_slot(leaf)];
	subleafs = t->subleafs[cpuid_slot(leaf)];
	if ((subleaf & l->mask) < subleafs)
		e = l->first[subleaf & l->mask];
	else if (subleafs && (leaf == 0xb || leaf == 0x1f))
		e = (struct cpuid_entry){0, 0, subleaf & 0xff, l->first->edx};

	if (leaf == 1)
		e.ecx |= (cr4 & BIT64(18)) ? (uint32_t)BIT64(27) : 0; /* OSXSAVE */
	else if (leaf == 7 && subleaf == 0)
		e.ecx |= (cr4 & BIT64(22)) ? (uint32_t)BIT64(4) : 0; /* OSPKE */
	return e;
}

void cpuid_table_refresh_xsave(struct cpuid_table *t, cpuid_source *source, void *ctx)
{
	uint32_t slot = cpuid_slot(0xd);

	for (uint32_t sub = 0; sub < 2 && sub < t->subleafs[slot]; sub++)
		t->leaf[slot].first[sub].ebx = source(ctx, 0xd, sub).ebx;
}
