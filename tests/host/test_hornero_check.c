// SPDX-License-Identifier: MIT
// sources: control-domain/hornero/check_judge.c arch/x86/vmx/caps.c vmm/split.c
/*
 * What `hornero check` makes of made-up machines: a complete one, and that one with one thing wrong
 * at a time. Each wrong thing must be found, named, weighed right, and come with a remedy.
 */
#include "../../control-domain/hornero/check.h"
#include "test.h"
#include "vmm/types.h"
#include "x86/vmx/vmx_bits.h"

static struct vmx_caps caps[4];
static unsigned int numbers[256];
static struct check_finding found[CHECK_MAX_FINDINGS];
static unsigned int count;

static struct check_facts complete(void)
{
	for (unsigned int i = 0; i < 256; i++)
		numbers[i] = i;
	for (unsigned int i = 0; i < 4; i++) {
		memset(&caps[i], 0xff, sizeof(caps[i]));
		caps[i].vmx = true;
		caps[i].feature_control = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX;
	}
	return (struct check_facts){
		.vendor = "GenuineIntel",
		.model = "Some Processor",
		.signature = 0x306d4,
		.cpus = 4,
		.caps = caps,
		.numbers = numbers,
		.invariant_tsc = true,
		.acpi = true,
		.efi = true,
		.memory_bytes = 8 * GIB,
	};
}

static enum check_verdict judge(const struct check_facts *facts)
{
	count = check_judge(facts, found);
	return check_sum_up(found, count);
}

static const struct check_finding *finding(const char *what)
{
	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(found[i].what, what))
			return &found[i];
	test_fail(__FILE__, __LINE__, "nothing is said about '%s'", what);
}

/* Exactly one finding is bad: this one, and it has a remedy. */
static bool only_bad(const char *what, const char *text)
{
	const struct check_finding *f = finding(what);

	for (unsigned int i = 0; i < count; i++)
		if (!found[i].good && &found[i] != f)
			return false;
	return !f->good && f->remedy && *f->remedy && strstr(f->found, text);
}

TEST(complete_machine_is_usable)
{
	struct check_facts f = complete();

	CHECK_EQ(judge(&f), CHECK_USABLE);
	CHECK(count > VMX_OPTIONS);
	for (unsigned int i = 0; i < count; i++)
		CHECK(found[i].good && !found[i].remedy);
}

TEST(other_vendor_is_told_at_once)
{
	struct check_facts f = complete();

	strcpy(f.vendor, "AuthenticAMD");
	CHECK_EQ(judge(&f), CHECK_UNUSABLE);
	CHECK(only_bad("Intel processor", "AuthenticAMD"));
}

TEST(guest_of_another_hypervisor_hears_of_nesting_where_that_would_help)
{
	struct check_facts f = complete();

	strcpy(f.outer, "KVMKVMKVM");
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(strstr(found[1].remedy, "nested=1"));
	strcpy(f.vendor, "AuthenticAMD");
	CHECK_EQ(judge(&f), CHECK_UNUSABLE);
	CHECK(!strcmp(found[1].what, "real machine") && !strstr(found[1].remedy, "nested"));
}

TEST(one_processor_without_vtx)
{
	struct check_facts f = complete();

	memset(&caps[2], 0, sizeof(caps[2]));
	CHECK_EQ(judge(&f), CHECK_UNUSABLE);
	CHECK(only_bad("VT-x", "missing on CPU 2"));
}

TEST(locked_off_and_left_open)
{
	struct check_facts f = complete();

	caps[1].feature_control = FEATURE_CONTROL_LOCKED;
	caps[3].feature_control = FEATURE_CONTROL_LOCKED;
	CHECK_EQ(judge(&f), CHECK_UNUSABLE);
	CHECK(only_bad("VT-x not locked off by the firmware", "CPU 1, 3"));
	for (unsigned int i = 0; i < 4; i++)
		caps[i].feature_control = 0;
	CHECK_EQ(judge(&f), CHECK_USABLE);
	CHECK(strstr(finding("VT-x not locked off by the firmware")->found, "left open"));
}

TEST(every_vtx_feature_counts_as_the_hypervisor_counts_it)
{
	for (int option = 0; option < VMX_OPTIONS; option++) {
		struct check_facts f = complete();
		bool required = false;

		for (unsigned int i = 0; i < 4; i++)
			vmx_caps_remove(&caps[i], (enum vmx_option)option);
		for (int other = 0; other < VMX_OPTIONS; other++)
			required |= !vmx_caps_has(&caps[0], (enum vmx_option)other) &&
				    vmx_options[other].required;
		CHECK_EQ(judge(&f), required ? CHECK_UNUSABLE : CHECK_LIMITS);
		CHECK(!finding(vmx_options[option].title)->good);
		CHECK(!strcmp(finding(vmx_options[option].title)->found, "no"));
	}
}

TEST(processors_that_differ)
{
	struct check_facts f = complete();

	vmx_caps_remove(&caps[3], VMX_OPT_EPT_1G);
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(!finding("processors alike")->good);
	CHECK(strstr(finding("processors alike")->found, "1 of 4"));
	CHECK(strstr(finding("1 GiB EPT pages")->found, "missing on CPU 3"));
	f.cpus = 1;
	CHECK_EQ(judge(&f), CHECK_USABLE);
}

TEST(memory)
{
	struct check_facts f = complete();

	f.memory_bytes = 256 * MIB;
	CHECK_EQ(judge(&f), CHECK_UNUSABLE);
	CHECK(only_bad("memory", "256 MiB"));
	f.memory_bytes = 1 * GIB;
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(only_bad("memory for guests", "512 MiB"));
}

TEST(secure_boot_matters_under_uefi_only)
{
	struct check_facts f = complete();

	f.secure_boot = true;
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(only_bad("Secure Boot off", "on"));
	CHECK(strstr(finding("Secure Boot off")->remedy, "make sign"));
	CHECK(!strcmp(finding("firmware")->found, "UEFI"));
	f.efi = false;
	CHECK_EQ(judge(&f), CHECK_USABLE);
	CHECK(!strcmp(finding("firmware")->found, "BIOS"));
}

TEST(limits)
{
	struct check_facts f = complete();

	strcpy(f.vulnerable, "mds l1tf");
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(only_bad("speculation", "mds l1tf"));
	f = complete();
	f.signature = 0x106a5;
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(only_bad("known errata", "0x106a5"));
	f = complete();
	f.invariant_tsc = false;
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	f = complete();
	strcpy(f.outer, "KVMKVMKVM");
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(only_bad("real machine", "KVMKVMKVM"));
}

/* Each thing that a user is promised to be told has a line, good or bad. */
TEST(every_fact_has_a_line)
{
	static const char *const lines[] = {
		"Intel processor",
		"VT-x",
		"VT-x not locked off by the firmware",
		"extended page tables (4 levels, write-back, 2 MiB pages, INVEPT)",
		"unrestricted guest",
		"VPID",
		"APIC-register virtualization",
		"virtual-interrupt delivery",
		"VMX preemption timer",
		"processors alike",
		"known errata",
		"memory",
		"IOMMU (VT-d)",
		"firmware",
		"Secure Boot off",
		"speculation",
		"SMT (hyper-threading)",
	};
	struct check_facts f = complete();

	judge(&f);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CHECK(*finding(lines[i])->found);
	f.iommu = true;
	f.smt = true;
	CHECK_EQ(judge(&f), CHECK_USABLE);
	CHECK(strstr(finding("IOMMU (VT-d)")->found, "yes"));
	CHECK(strstr(finding("SMT (hyper-threading)")->found, "on"));
}

TEST(processors_have_linux_numbers)
{
	struct check_facts f = complete();

	/* CPU 1 is offline */
	for (unsigned int i = 1; i < 4; i++)
		numbers[i] = i + 1;
	f.offline = 1;
	CHECK_EQ(judge(&f), CHECK_LIMITS);
	CHECK(only_bad("all processors looked at", "1 are offline"));
	memset(&caps[3], 0, sizeof(caps[3]));
	judge(&f);
	CHECK(strstr(finding("VT-x")->found, "missing on CPU 4"));
}

TEST(many_processors_do_not_overflow_the_text)
{
	static struct vmx_caps many[256];
	struct check_facts f = complete();

	for (unsigned int i = 0; i < 256; i++)
		many[i] = caps[0];
	for (unsigned int i = 1; i < 256; i++)
		many[i].feature_control = FEATURE_CONTROL_LOCKED;
	f.caps = many;
	f.cpus = 256;
	CHECK_EQ(judge(&f), CHECK_UNUSABLE);
	CHECK(strstr(finding("VT-x not locked off by the firmware")->found, "CPU 1, 2, 3"));
}
