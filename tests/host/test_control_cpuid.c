// SPDX-License-Identifier: MIT
// sources: arch/x86/vmx/control_cpuid.c arch/x86/vmx/control_cpuid_build.c
/*
 * What CPUID says to the control domain, made from a processor that has everything.
 */
#include "test.h"
#include <abi/hypercall.h>
#include <x86/vmx/control_cpuid.h>

static uint32_t xsave_bytes = 576;

/* Every bit set where bits are features; plausible numbers where they are numbers. */
static struct cpuid_entry rich(void *ctx, uint32_t leaf, uint32_t sub)
{
	(void)ctx;
	switch (leaf) {
	case 0:
		return (struct cpuid_entry){0x23, 1, 2, 3};
	case 0x80000000:
		return (struct cpuid_entry){0x80000008, 1, 2, 3};
	case 4:
		return (struct cpuid_entry){sub < 4 ? 1 : 0, sub, 0, 0};
	case 7:
		return (struct cpuid_entry){sub ? ~0u : 9, ~0u, ~0u, ~0u};
	case 0xb:
	case 0x1f:
		return (struct cpuid_entry){sub, sub, sub < 2 ? (sub + 1) << 8 | sub : sub, 0x42};
	case 0xd:
		if (sub == 0)
			return (struct cpuid_entry){~0u, xsave_bytes, 0x2b00, ~0u};
		if (sub == 1)
			return (struct cpuid_entry){~0u, xsave_bytes, ~0u, ~0u};
		return (struct cpuid_entry){sub * 8, sub, 0, 0};
	case 0x17:
	case 0x18:
		return (struct cpuid_entry){2, sub, 0, 0};
	default:
		return (struct cpuid_entry){~0u, ~0u, ~0u, ~0u};
	}
}

static struct cpuid_table t;

static void build(bool all)
{
	const struct cpuid_policy p = {all, all, all, all};

	cpuid_table_build(&t, rich, NULL, &p);
}

TEST(dangerous_features_are_hidden)
{
	build(true);
	CHECK(!(cpuid_table_lookup(&t, 1, 0, 0).ecx &
		(1u << 5 | 1u << 6 | 1u << 31))); /* VMX SMX hypervisor */
	CHECK(!(cpuid_table_lookup(&t, 7, 0, 0).ebx &
		(1u << 2 | 1u << 14 | 1u << 25))); /* SGX MPX PT */
	CHECK(!(cpuid_table_lookup(&t, 7, 0, 0).ecx &
		(1u << 7 | 1u << 16 | 1u << 31))); /* CET LA57 PKS */
	CHECK(!(cpuid_table_lookup(&t, 7, 0, 0).edx &
		(1u << 5 | 1u << 20 | 1u << 24)));			       /* UINTR IBT AMX */
	CHECK(!(cpuid_table_lookup(&t, 7, 1, 0).eax & (1u << 17 | 1u << 26))); /* FRED LAM */
	CHECK_EQ(cpuid_table_lookup(&t, 0xd, 0, 0).eax, 0x2e7);
	CHECK_EQ(cpuid_table_lookup(&t, 0xd, 1, 0).ecx, 0);
	CHECK_EQ(cpuid_table_lookup(&t, 0xd, 3, 0).eax, 0); /* MPX's component */
	CHECK(cpuid_table_lookup(&t, 0xd, 9, 0).eax != 0);
	for (uint32_t leaf = 0x12; leaf <= 0x1e; leaf++)
		if (leaf == 0x12 || leaf == 0x14 || leaf == 0x19 || leaf == 0x1b || leaf >= 0x1c)
			CHECK_EQ(cpuid_table_lookup(&t, leaf, 0, 0).eax, 0);
}

TEST(controls_that_the_processor_lacks_hide_their_instructions)
{
	build(false);
	CHECK(!(cpuid_table_lookup(&t, 7, 0, 0).ebx & 1u << 10));	   /* INVPCID */
	CHECK(!(cpuid_table_lookup(&t, 7, 0, 0).ecx & 1u << 5));	   /* WAITPKG */
	CHECK(!(cpuid_table_lookup(&t, 0x80000001, 0, 0).edx & 1u << 27)); /* RDTSCP */
	CHECK(!(cpuid_table_lookup(&t, 0xd, 1, 0).eax & 1u << 3));	   /* XSAVES */
	build(true);
	CHECK(cpuid_table_lookup(&t, 0x80000001, 0, 0).edx & 1u << 27);
}

TEST(cr4_shows_in_leaf_1_and_7)
{
	build(true);
	CHECK(!(cpuid_table_lookup(&t, 1, 0, 0).ecx & 1u << 27));
	CHECK(cpuid_table_lookup(&t, 1, 0, BIT64(18)).ecx & 1u << 27);
	CHECK(!(cpuid_table_lookup(&t, 7, 0, BIT64(18)).ecx & 1u << 4));
	CHECK(cpuid_table_lookup(&t, 7, 0, BIT64(22)).ecx & 1u << 4);
	CHECK(cpuid_needs_cr4(1) && cpuid_needs_cr4(7) && !cpuid_needs_cr4(4));
}

TEST(leaves_out_of_range)
{
	struct cpuid_entry top, beyond;

	build(true);
	CHECK_EQ(cpuid_table_lookup(&t, 0, 0, 0).eax, 0x1f);
	top = cpuid_table_lookup(&t, 0x1f, 1, 0);
	beyond = cpuid_table_lookup(&t, 0x12345, 1, 0);
	CHECK(!memcmp(&top, &beyond, sizeof(top)));
	CHECK_EQ(cpuid_table_lookup(&t, 0xb, 99, 0).ecx, 99);
	CHECK_EQ(cpuid_table_lookup(&t, 0xb, 99, 0).edx, 0x42);
	CHECK_EQ(cpuid_table_lookup(&t, 4, 99, 0).eax, 0);
	CHECK_EQ(cpuid_table_lookup(&t, 7, 3, 0).ebx, 0);
}

TEST(the_driver_finds_us)
{
	build(true);
	CHECK_EQ(cpuid_table_lookup(&t, HV_CPUID_SIGNATURE, 0, 0).ebx, HV_SIGNATURE_EBX);
	CHECK_EQ(cpuid_table_lookup(&t, HV_CPUID_VERSION, 0, 0).eax, HV_ABI_VERSION);
	CHECK_EQ(cpuid_table_lookup(&t, 0x40000002, 0, 0).eax, 0);
}

TEST(xsave_sizes_follow_xcr0)
{
	build(true);
	CHECK_EQ(cpuid_table_lookup(&t, 0xd, 0, 0).ebx, 576);
	xsave_bytes = 832;
	cpuid_table_refresh_xsave(&t, rich, NULL);
	CHECK_EQ(cpuid_table_lookup(&t, 0xd, 0, 0).ebx, 832);
	CHECK_EQ(cpuid_table_lookup(&t, 0xd, 1, 0).ebx, 832);
	CHECK_EQ(cpuid_table_lookup(&t, 0xd, 2, 0).ebx, 2);
}
