// SPDX-License-Identifier: MIT
// sources: arch/x86/vmx/caps.c
/*
 * Features of several CPUs: what is missing is named, what differs is dropped, what the command
 * line takes away is gone.
 */
#include "test.h"
#include <x86/vmx/caps.h>
#include <x86/vmx/vmx_bits.h>

static struct vmx_caps full(void)
{
	struct vmx_caps c = {.vmx = true, .ept_vpid = ~UINT64_C(0), .misc = ~UINT64_C(0)};

	c.pin.may = c.cpu.may = c.cpu2.may = c.exit.may = c.entry.may = ~0u;
	c.cr0_fixed1 = c.cr4_fixed1 = ~UINT64_C(0);
	return c;
}

TEST(each_option_can_be_taken_away_alone)
{
	for (unsigned int i = 0; i < VMX_OPTIONS; i++) {
		struct vmx_caps c = full();
		char list[64];
		size_t length;

		snprintf(list, sizeof(list), "-%s", vmx_options[i].name);
		CHECK(vmx_caps_has(&c, (enum vmx_option)i));
		CHECK(!vmx_caps_apply(&c, list, &length));
		CHECK(!vmx_caps_has(&c, (enum vmx_option)i));
		for (unsigned int j = 0; j < VMX_OPTIONS; j++) {
			/* The TPR shadow is part of APIC virtualization. */
			bool dependent =
				i == VMX_OPT_TPR_SHADOW &&
				(j == VMX_OPT_APIC_REGISTERS || j == VMX_OPT_VIRTUAL_INTERRUPTS ||
				 j == VMX_OPT_X2APIC_MODE);

			if (j != i && !dependent && !vmx_caps_has(&c, (enum vmx_option)j))
				test_fail(__FILE__, __LINE__, "-%s takes %s away too",
					  vmx_options[i].name, vmx_options[j].name);
		}
		CHECK_EQ(vmx_caps_missing(&c), vmx_options[i].required ? i : VMX_OPTIONS);
	}
}

TEST(a_wrong_word_is_returned)
{
	struct vmx_caps c = full();
	const char *list = "-vpid,-nonsense,-ept", *wrong;
	size_t length;

	wrong = vmx_caps_apply(&c, list, &length);
	CHECK(wrong == list + 6);
	CHECK_EQ(length, 9);
	CHECK(!vmx_caps_has(&c, VMX_OPT_VPID));
	CHECK(vmx_caps_has(&c, VMX_OPT_EPT));
	CHECK(vmx_caps_apply(&c, "vpid", &length) != NULL);
}

TEST(the_intersection_counts_differences)
{
	struct vmx_caps a = full(), b = full();

	vmx_caps_remove(&b, VMX_OPT_EPT_1G);
	vmx_caps_remove(&b, VMX_OPT_WAIT_FOR_SIPI);
	b.pin.must = 0x16;
	CHECK_EQ(vmx_caps_intersect(&a, &b), 2);
	CHECK(!vmx_caps_has(&a, VMX_OPT_EPT_1G));
	CHECK(!vmx_caps_has(&a, VMX_OPT_WAIT_FOR_SIPI));
	CHECK(vmx_caps_has(&a, VMX_OPT_VPID));
	CHECK_EQ(a.pin.must, 0x16);
	CHECK_EQ(vmx_caps_intersect(&a, &b), 0);
}

static uint64_t made_up_msr(void *ctx, uint32_t msr)
{
	CHECK(msr >= MSR_IA32_VMX_BASIC && msr <= MSR_IA32_VMX_LAST);
	if (msr == MSR_IA32_VMX_BASIC)
		return *(uint64_t *)ctx;
	return (uint64_t)(msr | 0xff000000) << 32 | msr;
}

TEST(control_words_come_from_the_true_registers_where_there_are_any)
{
	uint64_t basic = 1;
	struct vmx_caps c = {0};

	vmx_caps_read(&c, made_up_msr, &basic);
	CHECK_EQ(c.pin.must, 0x481);
	CHECK_EQ(c.pin.may, 0xff000481);
	CHECK_EQ(c.cpu.must, 0x482);
	CHECK_EQ(c.exit.must, 0x483);
	CHECK_EQ(c.entry.must, 0x484);
	CHECK_EQ(c.cpu2.must, 0x48b);
	basic = VMX_BASIC_TRUE_CONTROLS;
	vmx_caps_read(&c, made_up_msr, &basic);
	CHECK_EQ(c.pin.must, 0x48d);
	CHECK_EQ(c.cpu.must, 0x48e);
	CHECK_EQ(c.exit.must, 0x48f);
	CHECK_EQ(c.entry.must, 0x490);
	CHECK_EQ(c.cpu2.must, 0x48b);
	CHECK_EQ((uint32_t)c.misc, 0x485);
	CHECK_EQ((uint32_t)c.cr4_fixed1, 0x489);
	CHECK_EQ((uint32_t)c.ept_vpid, 0x48c);
}
