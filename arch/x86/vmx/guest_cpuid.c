// SPDX-License-Identifier: MIT
/*
 * A guest's CPUID; see guest_cpuid.h.
 */
#include <string.h>

#include <x86/vmx/guest_cpuid.h>

#define LEAF_7		   7
#define LEAF_XSAVE	   0xd
#define XSAVE_LEGACY_BYTES 576u
#define EAXD1_XSAVEC	   2u
#define ECXD_ALIGNED	   2u
#define ECX7_OSPKE	   (1u << 4)
#define HYPERVISOR_LEAVES  0x40000000u
/* CR4 bits that need no CPUID bit: VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT */
#define CR4_BASE UINT64_C(0x7ff)

int guest_cpuid_set(struct guest_cpuid *t, const struct hv_cpuid *table, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (table[i].function < table[i - 1].function ||
		    (table[i].function == table[i - 1].function &&
		     table[i].index <= table[i - 1].index))
			return -HV_ERR_INVAL;
	memcpy(t->entry, table, n * sizeof(*table));
	memset(t->first, 0, sizeof(t->first));
	memset(t->constant, 0, sizeof(t->constant));
	for (uint32_t i = n; i-- > 0;) {
		const struct hv_cpuid *e = &t->entry[i];
		uint32_t slot = cpuid_slot(e->function);
		bool one = !(e->flags & 1) && e->function != LEAF_7 && e->function != LEAF_XSAVE;

		if (slot >= CPUID_SLOTS)
			continue;
		t->first[slot] = (uint8_t)i;
		t->constant[slot] = one ? e : NULL;
	}
	t->count = n;
	return 0;
}

static const struct hv_cpuid *find(const struct guest_cpuid *t, uint32_t function, uint32_t index)
{
	uint32_t slot = cpuid_slot(function);
	const struct hv_cpuid *e = t->entry + (slot < CPUID_SLOTS ? t->first[slot] : 0);
	const struct hv_cpuid *end = t->entry + t->count;

	for (; e < end && e->function <= function; e++)
		if (e->function == function && (!(e->flags & 1) || e->index == index))
			return e;
	return NULL;
}

/* What XSAVE or XSAVEC takes with the components that XCR0 enables now: legacy area and header, and
 * up to the end of the last one, or one behind the other (leaf 0DH). */
static uint32_t xsave_bytes(const struct guest_cpuid *t, uint64_t xcr0, bool compact)
{
	uint32_t bytes = XSAVE_LEGACY_BYTES;

	for (uint64_t left = xcr0 & ~UINT64_C(3); left; left &= left - 1) {
		const struct hv_cpuid *e = find(t, LEAF_XSAVE, (uint32_t)__builtin_ctzll(left));

		if (e && compact)
			bytes = (uint32_t)align_up(bytes, e->ecx & ECXD_ALIGNED ? 64 : 1) + e->eax;
		else if (e && e->ebx + e->eax > bytes)
			bytes = e->ebx + e->eax;
	}
	return bytes;
}

struct cpuid_entry guest_cpuid_answer(const struct guest_cpuid *t, uint32_t function,
				      uint32_t index, uint64_t cr4, uint64_t xcr0)
{
	const struct hv_cpuid *e = find(t, function, index);
	struct cpuid_entry r;

	/* Beyond the highest basic leaf the processor gives that leaf's data. */
	if (!e && t->count && function < HYPERVISOR_LEAVES && function > t->entry[0].eax)
		e = find(t, function = t->entry[0].eax, index);
	if (!e)
		return (struct cpuid_entry){0, 0, 0, 0};
	r = (struct cpuid_entry){e->eax, e->ebx, e->ecx, e->edx};
	if (function == 1)
		r.ecx = guest_cpuid_osxsave(r.ecx, cr4);
	else if (function == LEAF_7 && index == 0)
		r.ecx = (r.ecx & ~ECX7_OSPKE) | (cr4 & BIT64(22) ? ECX7_OSPKE : 0);
	else if (function == LEAF_XSAVE && (index == 0 || (index == 1 && r.eax & EAXD1_XSAVEC)))
		r.ebx = xsave_bytes(t, xcr0, index);
	return r;
}

bool guest_cpuid_has(const struct guest_cpuid *t, uint32_t function, unsigned int reg,
		     unsigned int bit)
{
	const struct hv_cpuid *e = find(t, function, 0);

	return e && ((const uint32_t[]){e->eax, e->ebx, e->ecx, e->edx}[reg] & BIT64(bit));
}

/* SDM 3A "Control Registers" */
uint64_t guest_cpuid_cr4(const struct guest_cpuid *t)
{
	static const struct {
		uint8_t function, reg, bit, cr4;
	} features[] = {
		{1, 2, 17, 17}, /* PCIDE */
		{1, 2, 26, 18}, /* OSXSAVE */
		{7, 1, 0, 16},	/* FSGSBASE */
		{7, 1, 7, 20},	/* SMEP */
		{7, 1, 20, 21}, /* SMAP */
		{7, 2, 2, 11},	/* UMIP */
		{7, 2, 3, 22},	/* PKE */
	};
	uint64_t allowed = CR4_BASE;

	for (size_t f = 0; f < ARRAY_SIZE(features); f++)
		if (guest_cpuid_has(t, features[f].function, features[f].reg, features[f].bit))
			allowed |= BIT64(features[f].cr4);
	return allowed;
}
