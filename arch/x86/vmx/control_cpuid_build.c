// SPDX-License-Identifier: MIT
/*
 * The allow-list of CPUID and the table made with it; see control_cpuid.h.
 *
 * A feature unknown to this file is hidden: new processors bring state that nobody here saves.
 */
#include <string.h>

#include <x86/vmx/control_cpuid.h>

#define B(n) (1u << (n))
#define ALL  0xffffffffu

#define CPUID_BASIC_LEAVES 0x20
#define CPUID_EXT_LEAVES   9

/* Bits of each register that pass, for leaves and subleaves listed; leaves not listed pass whole
 * (topology, caches, brand string) or are zero (`hidden`). */
static const struct {
	uint32_t leaf, subleaf;
	uint32_t eax, ebx, ecx, edx;
} allow[] = {
	/* not: VMX 5, SMX 6, OSXSAVE 27 (from CR4), hypervisor 31 */
	{1, 0, ALL, ALL, ~(B(5) | B(6) | B(10) | B(11) | B(16) | B(27) | B(31)), ALL},
	/* not: HFI 19, thread director 23 */
	{6, 0, ~(B(19) | B(23)), ALL, 0xf, 0},
	/* EBX not: SGX 2, MPX 14, PT 25. ECX: UMIP PKU WAITPKG VBMI2 GFNI VAES VPCLMULQDQ VNNI
	 * BITALG VPOPCNTDQ RDPID CLDEMOTE MOVDIRI MOVDIR64B. EDX: 4VNNIW 4FMAPS FSRM VP2INTERSECT
	 * SRBDS MD_CLEAR TSX_ALWAYS_ABORT TSX_FORCE_ABORT SERIALIZE HYBRID TSXLDTRK FP16 SPEC_CTRL
	 * STIBP L1D_FLUSH ARCH_CAPABILITIES CORE_CAPABILITIES SSBD */
	{7, 0, ALL, ~(B(2) | B(14) | B(25)),
	 B(0) | B(1) | B(2) | B(3) | B(5) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14) |
		 B(22) | B(25) | B(27) | B(28),
	 B(2) | B(3) | B(4) | B(8) | B(9) | B(10) | B(11) | B(13) | B(14) | B(15) | B(16) | B(23) |
		 B(26) | B(27) | B(28) | B(29) | B(30) | B(31)},
	/* AVX_VNNI AVX512_BF16 FZLRM FSRS FSRCS; AVX_VNNI_INT8 AVX_NE_CONVERT PREFETCHIT */
	{7, 1, B(4) | B(5) | B(10) | B(11) | B(12), 0, 0, B(4) | B(5) | B(14)},
	/* speculation controls */
	{7, 2, 0, 0, 0, B(0) | B(1) | B(2) | B(3) | B(4) | B(5)},
	{0xd, 0, (uint32_t)XCR0_ALLOWED, ALL, ALL, 0},
	/* XSAVEOPT XSAVEC XGETBV1 XSAVES; no supervisor component yet */
	{0xd, 1, B(0) | B(1) | B(2) | B(3), ALL, 0, 0},
	{0x80000001, 0, ALL, ALL, B(0) | B(5) | B(8), B(11) | B(20) | B(26) | B(27) | B(29)},
	{0x80000007, 0, 0, 0, 0, B(8)},
	{0x80000008, 0, ALL, B(9), 0, 0},
};

/* SGX 12h, PT 14h, key locker 19h, PCONFIG 1Bh, LBR 1Ch, AMX 1Dh 1Eh */
static const uint8_t hidden[] = {0x12, 0x14, 0x19, 0x1b, 0x1c, 0x1d, 0x1e};

static struct cpuid_entry filtered(uint32_t leaf, uint32_t sub, struct cpuid_entry e,
				   const struct cpuid_policy *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(allow); i++) {
		if (allow[i].leaf != leaf || allow[i].subleaf != sub)
			continue;
		e.eax &= allow[i].eax;
		e.ebx &= allow[i].ebx;
		e.ecx &= allow[i].ecx;
		e.edx &= allow[i].edx;
	}
	if (leaf == 7 && sub == 0) {
		if (!p->invpcid)
			e.ebx &= ~B(10);
		if (!p->user_wait)
			e.ecx &= ~B(5);
		if (e.eax > 2)
			e.eax = 2;
	} else if (leaf == 0xd && sub == 1 && !p->xsaves) {
		e.eax &= ~B(3);
	} else if (leaf == 0x80000001 && !p->rdtscp) {
		e.edx &= ~B(27);
	}
	return e;
}

/* Subleaves that @leaf has, the terminating one included where the leaf has one. */
static uint32_t subleaf_count(cpuid_source *source, void *ctx, uint32_t leaf)
{
	uint32_t n = 0;

	switch (leaf) {
	case 4:
		while (n < 8 && (source(ctx, leaf, n).eax & 0x1f))
			n++;
		return n + 1;
	case 7: {
		uint32_t max = source(ctx, leaf, 0).eax;

		return max > 2 ? 3 : max + 1;
	}
	case 0xb:
	case 0x1f:
		while (n < 8 && (source(ctx, leaf, n).ecx & 0xff00))
			n++;
		return n + 1;
	case 0xd:
		for (n = 63; n > 1; n--)
			if ((XCR0_ALLOWED & BIT64(n)) && source(ctx, leaf, n).eax)
				break;
		return n + 1;
	case 0xf:
		return 2;
	case 0x10:
		return 4;
	case 0x17:
	case 0x18:
		n = source(ctx, leaf, 0).eax;
		return n > 8 ? 9 : n + 1;
	default:
		return 1;
	}
}

static bool is_hidden(uint32_t leaf)
{
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		if (hidden[i] == leaf)
			return true;
	return false;
}

static void add_leaf(struct cpuid_table *t, uint32_t leaf, cpuid_source *source, void *ctx,
		     const struct cpuid_policy *p)
{
	uint32_t slot = cpuid_slot(leaf),
		 n = is_hidden(leaf) ? 1 : subleaf_count(source, ctx, leaf);
	struct cpuid_leaf *l = &t->leaf[slot];

	if (t->used + n > CPUID_TABLE_ENTRIES)
		n = CPUID_TABLE_ENTRIES -
		    t->used; /* a leaf cut short ends in zeros, as the last ones do */
	t->subleafs[slot] = (uint8_t)n;
	l->first = &t->entries[t->used];
	if (n == 1)
		l->mask = 0;
	if (!cpuid_needs_cr4(leaf))
		l->quick = n;
	for (uint32_t sub = 0; sub < n; sub++, t->used++)
		if (!is_hidden(leaf) && (leaf != 0xd || sub < 2 || (XCR0_ALLOWED & BIT64(sub))))
			t->entries[t->used] = filtered(leaf, sub, source(ctx, leaf, sub), p);
}

void cpuid_table_build(struct cpuid_table *t, cpuid_source *source, void *ctx,
		       const struct cpuid_policy *p)
{
	memset(t, 0, sizeof(*t));
	for (uint32_t slot = 0; slot < CPUID_SLOTS; slot++)
		t->leaf[slot].mask = ALL;
	t->max_basic = source(ctx, 0, 0).eax;
	t->max_ext = source(ctx, 0x80000000, 0).eax;
	if (t->max_basic >= CPUID_BASIC_LEAVES)
		t->max_basic = CPUID_BASIC_LEAVES - 1;
	if (t->max_ext >= 0x80000000u + CPUID_EXT_LEAVES)
		t->max_ext = 0x80000000u + CPUID_EXT_LEAVES - 1;
	for (uint32_t leaf = 0; leaf <= t->max_basic; leaf++)
		add_leaf(t, leaf, source, ctx, p);
	for (uint32_t leaf = 0x80000000u; leaf <= t->max_ext && leaf >= 0x80000000u; leaf++)
		add_leaf(t, leaf, source, ctx, p);
	t->leaf[cpuid_slot(0)].first->eax = t->max_basic;
	if (t->max_ext >= 0x80000000u)
		t->leaf[cpuid_slot(0x80000000u)].first->eax = t->max_ext;
}
