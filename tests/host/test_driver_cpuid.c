// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/cpuid_policy.c
/* What guests may see of a machine that claims to have everything, and of one that has nothing. */
#include "../../control-domain/driver/cpuid_policy.h"
#include "test.h"

#define ROOM 64

static struct kvm_cpuid_entry2 table[ROOM];
static uint32_t count;

static void everything(uint32_t leaf, uint32_t subleaf, struct cpuid_regs_out *out)
{
	*out = (struct cpuid_regs_out){~0u, ~0u, ~0u, ~0u};
	if (leaf == 4 && subleaf >= 3)
		out->eax = 0;
	if (leaf == 0xd && subleaf >= 2)
		*out = (struct cpuid_regs_out){.eax = 64, .ebx = 576 + 64 * (subleaf - 2)};
}

static void nothing(uint32_t leaf, uint32_t subleaf, struct cpuid_regs_out *out)
{
	(void)leaf, (void)subleaf;
	memset(out, 0, sizeof(*out));
}

static void make_table(void (*cpuid)(uint32_t, uint32_t, struct cpuid_regs_out *), bool xsaves)
{
	struct cpuid_machine machine = {.cpuid = cpuid, .tsc_khz = 2904007, .xsaves = xsaves};

	count = cpuid_policy(&machine, table, ROOM);
	CHECK(count <= ROOM);
}

static const struct kvm_cpuid_entry2 *find(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < count; i++)
		if (table[i].function == function &&
		    (table[i].index == index || !(table[i].flags & 1)))
			return &table[i];
	test_fail(__FILE__, __LINE__, "no entry %x.%x", function, index);
}

TEST(dangerous_features_stay_away)
{
	const struct kvm_cpuid_entry2 *entry;

	make_table(everything, false);
	entry = find(1, 0);
	CHECK(!(entry->ecx & (1 << 3)));  /* MONITOR */
	CHECK(!(entry->ecx & (1 << 5)));  /* VMX */
	CHECK(!(entry->ecx & (1 << 15))); /* PDCM */
	CHECK(!(entry->ecx & (1 << 27))); /* OSXSAVE is the guest's */
	CHECK(!(entry->edx & (1 << 21))); /* DS */
	CHECK(!(entry->edx & (1 << 22))); /* ACPI thermal MSRs */
	CHECK(!(entry->ebx >> 16));	  /* processor count, APIC id */
	entry = find(7, 0);
	CHECK(!(entry->ebx & (1 << 2)));    /* SGX */
	CHECK(!(entry->ebx & (1 << 4)));    /* HLE */
	CHECK(!(entry->ebx & (1 << 11)));   /* RTM */
	CHECK(!(entry->ebx & (1 << 25)));   /* Processor Trace */
	CHECK(!(entry->ecx & (1 << 5)));    /* WAITPKG */
	CHECK(!(entry->edx & (1 << 5)));    /* UINTR */
	CHECK(!(entry->edx & (1 << 24)));   /* AMX */
	CHECK_EQ(find(6, 0)->eax, 1 << 2);  /* ARAT alone */
	CHECK_EQ(find(0xd, 0)->eax, 0x2e7); /* no MPX, PT, AMX */
	CHECK_EQ(find(0xd, 0)->edx, 0);
	CHECK(!(find(0xd, 1)->eax & (1 << 3)));	       /* XSAVES */
	CHECK(!(find(0x80000001, 0)->ecx & (1 << 2))); /* SVM */
	CHECK_EQ(find(0, 0)->eax, 0x16);
}

TEST(what_the_hypervisor_adds)
{
	const struct kvm_cpuid_entry2 *entry;

	make_table(nothing, false);
	CHECK_EQ(find(1, 0)->ecx, 1u << 21 | 1u << 24 | 1u << 31);
	CHECK_EQ(find(1, 0)->edx, 0);
	entry = find(0x40000000, 0);
	CHECK_EQ(entry->eax, 0x40000001);
	CHECK(!memcmp(&entry->ebx, "KVMKVMKVM\0\0\0", 12));
	CHECK_EQ(find(0x40000001, 0)->eax, 0);
	for (uint32_t i = 0; i < count; i++)
		CHECK(table[i].function != 0xd);
}

/* The guest's arithmetic: crystal in Hz times ratio, in whole kHz. */
static void check_frequency(uint32_t tsc_khz)
{
	struct cpuid_machine machine = {.cpuid = nothing, .tsc_khz = tsc_khz};
	const struct kvm_cpuid_entry2 *entry;

	count = cpuid_policy(&machine, table, ROOM);
	entry = find(0x15, 0);
	CHECK_EQ((uint64_t)entry->ecx * entry->ebx / entry->eax, tsc_khz * 1000ull);
	CHECK_EQ(find(0x16, 0)->eax, (tsc_khz + 500) / 1000);
}

TEST(time_leaves_give_the_exact_frequency)
{
	check_frequency(1000);
	check_frequency(2904007);
	check_frequency(4294967);
	check_frequency(4294968); /* 2^32 Hz and a little: the crystal is half of it */
	check_frequency(5800000);
}

TEST(xsave_area)
{
	make_table(everything, true);
	/* the last component shown is PKRU, number 9 */
	CHECK_EQ(find(0xd, 0)->ebx, 576 + 64 * 7 + 64);
	CHECK_EQ(find(0xd, 0)->ecx, 576 + 64 * 7 + 64);
	CHECK(find(0xd, 1)->eax & (1 << 3));
	CHECK_EQ(find(0xd, 9)->ebx, 576 + 64 * 7);
	for (uint32_t i = 0; i < count; i++)
		CHECK(table[i].function != 0xd || table[i].index != 8);
}

TEST(order_and_length)
{
	struct cpuid_machine machine = {.cpuid = everything, .tsc_khz = 1000000};
	struct kvm_cpuid_entry2 small[3] = {0};
	uint32_t needed = cpuid_policy(&machine, small, 2);

	CHECK_EQ(small[2].function | small[2].eax, 0);
	make_table(everything, false);
	CHECK_EQ(needed, count);
	for (uint32_t i = 1; i < count; i++)
		CHECK(table[i - 1].function < table[i].function ||
		      (table[i - 1].function == table[i].function &&
		       table[i - 1].index < table[i].index));
	CHECK(find(4, 2)->eax);
	CHECK_EQ(find(4, 3)->eax, 0);
	CHECK_EQ(find(4, 0)->eax, 0x3ff);
}

TEST(control_bits_come_with_features)
{
	struct cpuid_machine machine = {.cpuid = everything};

	CHECK_EQ(cpuid_policy_cr4(&machine), 0x770fff); /* no LA57, VMXE, SMXE */
	machine.cpuid = nothing;
	CHECK_EQ(cpuid_policy_cr4(&machine), 0x7ff);
}

static struct kvm_cpuid_entry2 *followed(uint32_t function, uint32_t index, uint64_t xcr0,
					 uint64_t cr4)
{
	cpuid_follow(table, count, xcr0, cr4);
	return (struct kvm_cpuid_entry2 *)find(function, index);
}

TEST(what_follows_the_guest)
{
	make_table(everything, false);
	CHECK(!(followed(1, 0, 1, 0)->ecx & 1 << 27));
	CHECK(followed(1, 0, 1, 1 << 18)->ecx & 1 << 27);
	CHECK(followed(7, 0, 1, 1 << 22)->ecx & 1 << 4);
	CHECK(!(followed(7, 0, 1, 0)->ecx & 1 << 4));
	/* Components 2 and 7: at 576 and 896, 64 bytes each; without the gap when packed. */
	CHECK_EQ(followed(0xd, 0, 3, 0)->ebx, 576);
	CHECK_EQ(followed(0xd, 0, 0x87, 0)->ebx, 960);
	CHECK_EQ(followed(0xd, 1, 0x87, 0)->ebx, 704);
	((struct kvm_cpuid_entry2 *)find(0xd, 2))->eax = 20;
	CHECK_EQ(followed(0xd, 1, 0x87, 0)->ebx, 576 + 20 + 64);
	((struct kvm_cpuid_entry2 *)find(0xd, 7))->ecx = 2; /* aligned */
	CHECK_EQ(followed(0xd, 1, 0x87, 0)->ebx, 576 + 64 + 64);
	((struct kvm_cpuid_entry2 *)find(0xd, 1))->eax = 1;
	((struct kvm_cpuid_entry2 *)find(0xd, 1))->ebx = 0;
	CHECK_EQ(followed(0xd, 1, 0x87, 0)->ebx, 0); /* no compacted images */
}
