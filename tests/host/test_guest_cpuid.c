// SPDX-License-Identifier: MIT
// sources: arch/x86/vmx/guest_cpuid.c
/*
 * What CPUID says to a guest, from tables as KVM's clients set them.
 */
#include "test.h"
#include <x86/vmx/guest_cpuid.h>

static struct hv_cpuid entries[HV_MAX_CPUID];
static struct guest_cpuid t = {.entry = entries};

static const struct hv_cpuid good[] = {
	{0, 0, 0, 0xd, 11, 12, 13},
	{1, 0, 0, 0x506e3, 0, 1u << 26 | 1u << 27, 0},
	{4, 0, 1, 40, 41, 42, 43},
	{4, 1, 1, 50, 51, 52, 53},
	{7, 0, 1, 0, 1u << 7, 1u << 3 | 1u << 4, 1u << 26},
	{0xd, 0, 1, 7, 576, 832, 0},
	{0xd, 1, 1, 0xf, 0, 0, 0},
	{0xd, 2, 1, 256, 576, 0, 0},
	{0xd, 9, 1, 20, 2688, 0, 0},
	{0xd, 10, 1, 8, 0, 2, 0}, /* aligned to 64 bytes */
	{0x40000000, 0, 0, 0x40000001, 1, 2, 3},
	{0x80000000, 0, 0, 0x80000008, 0, 0, 0},
	{0x80000008, 0, 0, 0x3027, 0, 0, 0},
};

static void set_good(void)
{
	CHECK_EQ(guest_cpuid_set(&t, good, ARRAY_SIZE(good)), 0);
}

static struct cpuid_entry ask(uint32_t function, uint32_t index)
{
	return guest_cpuid_answer(&t, function, index, 0, 1);
}

TEST(every_entry_is_found)
{
	set_good();
	for (size_t i = 2; i < ARRAY_SIZE(good); i++)
		if (good[i].function != 7)
			CHECK_EQ(ask(good[i].function, good[i].index).eax, good[i].eax);
	CHECK_EQ(ask(0, 99).eax, 0xd); /* its index does not count */
	CHECK_EQ(ask(4, 1).edx, 53);
}

/* Where there is a short way to the answer, it is the same. */
TEST(constant_leaves)
{
	unsigned int constant = 0;

	set_good();
	for (uint32_t f = 0; f < 0x28; f++)
		for (uint32_t half = 0; half < 2; half++) {
			uint32_t function = f | half << 31;
			const struct hv_cpuid *e = guest_cpuid_constant(&t, function);

			constant += !!e;
			for (uint32_t index = 0; e && index < 4; index++)
				for (uint64_t cr4 = 0; cr4 <= BIT64(18); cr4 += BIT64(18)) {
					struct cpuid_entry r =
						guest_cpuid_answer(&t, function, index, cr4, index);

					CHECK_EQ(r.eax, e->eax);
					CHECK_EQ(r.ebx, e->ebx);
					CHECK_EQ(r.ecx, function == 1
								? guest_cpuid_osxsave(e->ecx, cr4)
								: e->ecx);
					CHECK_EQ(r.edx, e->edx);
				}
		}
	CHECK(constant >= 4);
	for (uint32_t i = 4; i < 0xe; i++)
		CHECK(!guest_cpuid_constant(&t, i) == (i != 8 || !guest_cpuid_constant(&t, 8)));
	CHECK(!guest_cpuid_constant(&t, 0x40000000));
}

TEST(what_is_not_there)
{
	set_good();
	CHECK_EQ(ask(4, 2).eax, 0);
	CHECK_EQ(ask(2, 0).eax, 0);
	CHECK_EQ(ask(0x40000001, 0).eax, 0);
	CHECK_EQ(ask(0x80000001, 0).eax, 0);
	CHECK_EQ(ask(0x90000000, 0).eax, 0);
	/* beyond the highest basic leaf: that leaf's data */
	CHECK_EQ(ask(0xe, 2).eax, 256);
	CHECK_EQ(ask(0x3fffffff, 0).ecx, 832);
}

TEST(no_table_answers_zero)
{
	struct guest_cpuid none = {.entry = entries};

	CHECK_EQ(guest_cpuid_answer(&none, 0, 0, 0, 1).eax, 0);
	CHECK_EQ(guest_cpuid_answer(&none, 0xffffffff, 0, 0, 1).eax, 0);
}

TEST(a_refused_table_changes_nothing)
{
	static const struct hv_cpuid bad[][2] = {
		{{7, 0, 1, 1, 1, 1, 1}, {1, 0, 0, 2, 2, 2, 2}},
		{{7, 1, 1, 1, 1, 1, 1}, {7, 0, 1, 2, 2, 2, 2}},
		{{1, 0, 0, 1, 1, 1, 1}, {1, 0, 0, 2, 2, 2, 2}},
	};

	set_good();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(guest_cpuid_set(&t, bad[i], 2), -HV_ERR_INVAL);
		CHECK_EQ(t.count, ARRAY_SIZE(good));
		CHECK(!memcmp(entries, good, sizeof(good)));
		CHECK_EQ(ask(4, 1).ebx, 51);
	}
}

TEST(a_second_table_replaces_the_first)
{
	set_good();
	CHECK_EQ(guest_cpuid_set(&t, (struct hv_cpuid[]){{0, 0, 0, 1, 0, 0, 0}}, 1), 0);
	CHECK_EQ(ask(4, 1).eax, 0);
	CHECK_EQ(ask(0x80000008, 0).eax, 0);
}

TEST(control_registers_show)
{
	set_good();
	CHECK(!(ask(1, 0).ecx & 1u << 27)); /* though the table has it */
	CHECK(guest_cpuid_answer(&t, 1, 0, BIT64(18), 1).ecx & 1u << 27);
	CHECK(!(ask(7, 0).ecx & 1u << 4));
	CHECK(guest_cpuid_answer(&t, 7, 0, BIT64(22), 1).ecx & 1u << 4);
	CHECK_EQ(guest_cpuid_answer(&t, 0xd, 0, 0, 3).ebx, 576);
	CHECK_EQ(guest_cpuid_answer(&t, 0xd, 0, 0, 7).ebx, 832);
	CHECK_EQ(guest_cpuid_answer(&t, 0xd, 1, 0, 3).ebx, 576); /* XSAVEC's */
	CHECK_EQ(guest_cpuid_answer(&t, 0xd, 1, 0, 7).ebx, 832);
	CHECK_EQ(guest_cpuid_answer(&t, 0xd, 1, 0, 0x207).ebx, 832 + 20);
	CHECK_EQ(guest_cpuid_answer(&t, 0xd, 1, 0, 0x605).ebx, 832 + 20 + 44 + 8);
}

TEST(features_allow_cr4_bits)
{
	set_good();
	CHECK_EQ(guest_cpuid_cr4(&t), 0x7ff | BIT64(18) | BIT64(20) | BIT64(22));
	CHECK(guest_cpuid_has(&t, 7, 3, 26) && !guest_cpuid_has(&t, 7, 3, 29));
}
