// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/config.c control-domain/vmm/cpuid.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE
/* What the command line means, what it refuses and with which words; the guest's CPUID. */
#include "test.h"

#include "config.h"
#include "cpuid.h"

static struct config config;
static struct reason why;

static int parse(const char *line)
{
	static char copy[1024];
	static char *argv[32];
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	argv[0] = "vmm";
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	return config_parse(&config, argc, argv, &why);
}

TEST(config_whole)
{
	CHECK_EQ(parse("--name web --memory 2G --cpus 4 --kernel k --initrd i --cmdline quiet "
		       "--disk path=a.img --disk ro,path=b.img --net tap=tap0 "
		       "--net tap=tap1,mac=52:54:00:AB:cd:01 --control s --console stdio "
		       "--no-reboot --user 5000 --sandbox off"),
		 0);
	CHECK_EQ(config.memory_bytes, 2ull << 30);
	CHECK_EQ(config.cpus, 4);
	CHECK_STREQ(config.disk[0].path, "a.img");
	CHECK(!config.disk[0].read_only);
	CHECK_STREQ(config.disk[1].path, "b.img");
	CHECK(config.disk[1].read_only);
	CHECK_EQ(config.net[1].mac[3], 0xab);
	CHECK_EQ(config.console, CONSOLE_ON_STDIO);
	CHECK(config.reset_ends && !config.sandbox);
	CHECK_EQ(config.uid, 5000);
}

TEST(config_defaults)
{
	uint8_t mac[6];

	CHECK_EQ(parse("--name web --kernel k --control s --net tap=t"), 0);
	CHECK_EQ(config.memory_bytes, 512ull << 20);
	CHECK_EQ(config.cpus, 1);
	CHECK(config.sandbox && !config.check);
	/* The derived address is stable, local, unicast, and another one for another VM. */
	memcpy(mac, config.net[0].mac, sizeof(mac));
	CHECK_EQ(mac[0] & 3, 2);
	CHECK_EQ(parse("--name web --kernel k --control s --net tap=t"), 0);
	CHECK_MEMEQ(mac, config.net[0].mac, sizeof(mac));
	CHECK_EQ(parse("--name other --kernel k --control s --net tap=t"), 0);
	CHECK(memcmp(mac, config.net[0].mac, sizeof(mac)));
}

TEST(config_refusals)
{
	static const struct {
		const char *line, *text;
	} bad[] = {
		{"", "--name is missing"},
		{"--name web", "--kernel is missing"},
		{"--name web --kernel k", "nobody could reach the VM"},
		{"--name -x", "--name -x: use 1 to 63"},
		{"--name a/b", "--name a/b: use"},
		{"--memory 512", "is that 512M or 512G?"},
		{"--memory 512X", "unit X is not"},
		{"--memory M", "write a number and a unit"},
		{"--memory 3M", "multiple of 2M from 16M"},
		{"--memory 2T", "multiple of 2M from 16M to 1T"},
		{"--memory 99999999999999999999G", "write a number"},
		{"--cpus 0", "--cpus 0: write a number from 1 to 16"},
		{"--cpus 17", "--cpus 17"},
		{"--cpus 2x", "--cpus 2x"},
		{"--disk a.img", "write path=FILE"},
		{"--disk ro", "path=FILE is missing"},
		{"--disk path=a,rw", "write path=FILE or path=FILE,ro"},
		{"--net mac=52:54:00:12:34:56", "tap=NAME"},
		{"--net tap=sixteen_letters_", "tap=NAME (1 to 15"},
		{"--net tap=t,mac=1:2", "write six pairs"},
		{"--net tap=t,mac=53:54:00:12:34:56", "multicast"},
		{"--net tap=t,mac=52:54:00:12:34:56:78", "write six pairs"},
		{"--console tty", "write socket or stdio"},
		{"--sandbox maybe", "write off or on"},
		{"--user 0", "--user 0: write a number from 1000"},
		{"--frobnicate", "--frobnicate is not an option"},
		{"--memory", "--memory wants a value"},
		{"--name web --kernel k --control s stray", "stray: options start with --"},
		{"--name web --kernel k --control s --disk path=a --disk path=a,ro", "given twice"},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why.text[0] = 0;
		CHECK_EQ(parse(bad[i].line), -1);
		if (!strstr(why.text, bad[i].text))
			test_fail(__FILE__, __LINE__, "\"%s\": \"%s\", not \"...%s...\"",
				  bad[i].line, why.text, bad[i].text);
	}
}

/* ---- CPUID */

static struct cpuid_table table;

static void make_table(void)
{
	static const struct kvm_cpuid_entry2 supported[] = {
		{.function = 0, .eax = 0xd, .ebx = 0x756e6547},
		{.function = 1, .ebx = 0xff000800, .ecx = 0xffffffff, .edx = 0xffffffff},
		{.function = 4,
		 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		 .index = 0,
		 .eax = 0x1c03c121},
		{.function = 4,
		 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		 .index = 3,
		 .eax = 0x1c03c163},
		{.function = 0xa, .eax = 0x7300403},
		{.function = 0x40000001, .eax = 0x1007efb},
		{.function = 0x80000000, .eax = 0x80000008},
		{.function = 0x80000001, .ecx = 0xffffffff},
		{.function = 0x80000008},
	};

	table.head.nent = sizeof(supported) / sizeof(supported[0]);
	memcpy(table.entry, supported, sizeof(supported));
}

TEST(cpuid_of_two)
{
	const struct cpuid_guest guest = {.cpus = 2, .tsc_khz = 2596123, .deadline_timer = true};
	char signature[13] = "";

	make_table();
	CHECK(cpuid_tells_frequency(&table));
	cpuid_adjust(&table, &guest, 1);

	const struct kvm_cpuid_entry2 *leaf = cpuid_find(&table, 1, 0);

	CHECK_EQ(leaf->ebx, 0x01020800);
	CHECK_EQ(leaf->ecx & (1u << 31 | 1u << 24 | 1u << 21), 1u << 31 | 1u << 24 | 1u << 21);
	CHECK_EQ(leaf->ecx & (1u << 3 | 1u << 5 | 1u << 27), 0); /* MONITOR, VMX, OSXSAVE */
	CHECK(leaf->edx & 1u << 28);
	CHECK_EQ(cpuid_find(&table, 4, 0)->eax >> 14 & 0xfff, 0); /* own level 1 */
	CHECK_EQ(cpuid_find(&table, 4, 3)->eax >> 14 & 0xfff, 1); /* shared level 3 */
	CHECK_EQ(cpuid_find(&table, 4, 3)->eax >> 26, 1);
	CHECK_EQ(cpuid_find(&table, 0xa, 0)->eax, 0);
	CHECK_EQ(cpuid_find(&table, 0xb, 0)->ebx, 1);
	CHECK_EQ(cpuid_find(&table, 0xb, 1)->eax, 1);
	CHECK_EQ(cpuid_find(&table, 0xb, 1)->ebx, 2);
	CHECK_EQ(cpuid_find(&table, 0xb, 1)->edx, 1);
	CHECK_EQ(cpuid_find(&table, 0, 0)->eax, 0x16);
	CHECK_EQ(cpuid_find(&table, 0x80000001, 0)->ecx & 4, 0); /* SVM */
	CHECK(cpuid_find(&table, 0x80000007, 0)->edx & 0x100);
	leaf = cpuid_find(&table, 0x40000000, 0);
	memcpy(signature, &leaf->ebx, 12);
	CHECK_STREQ(signature, "KVMKVMKVM");
	CHECK_EQ(cpuid_find(&table, 0x40000001, 0)->eax, 0);
}

/* Crystal * numerator / denominator, as Linux works it out: in kHz and 32 bits. The crystal is
 * KVM's local APIC timer. */
TEST(cpuid_clock_as_linux_reads_it)
{
	static const uint32_t some[] = {1,	 100000,  999999,  1000000, 1000001, 2100000,
					2596123, 2893202, 2999800, 3000003, 3600000, 4999999};

	for (unsigned i = 0; i < 2000; i++) {
		const unsigned count = sizeof(some) / sizeof(*some);
		const struct cpuid_guest guest = {
			.cpus = 1, .tsc_khz = i < count ? some[i] : 800000 + i * 2311};

		make_table();
		cpuid_adjust(&table, &guest, 0);

		const struct kvm_cpuid_entry2 *leaf = cpuid_find(&table, 0x15, 0);
		uint32_t khz = leaf->ecx / 1000 * leaf->ebx / leaf->eax;

		if (guest.tsc_khz < 1000)
			continue; /* nothing to be told; it must not fail */
		CHECK(khz <= guest.tsc_khz && khz + 1 + guest.tsc_khz / 900000 >= guest.tsc_khz);
		CHECK(leaf->ecx > 999700000 && leaf->ecx < 1000300000);
		CHECK((uint64_t)leaf->ecx * leaf->ebx / leaf->eax <= guest.tsc_khz * 1000);
	}
}

/* Hornero's timer runs at the crystal that its driver names, TSC / 2^n: that has to stay. */
TEST(cpuid_clock_of_the_driver)
{
	const struct cpuid_guest guest = {.cpus = 1, .tsc_khz = 4800001};

	make_table();
	table.entry[table.head.nent++] =
		(struct kvm_cpuid_entry2){.function = 0x15, .eax = 1, .ebx = 2, .ecx = 2400000500u};
	table.entry[table.head.nent++] = (struct kvm_cpuid_entry2){.function = 0x16, .eax = 4800};
	cpuid_adjust(&table, &guest, 0);
	CHECK_EQ(cpuid_find(&table, 0x15, 0)->ecx, 2400000500u);
	CHECK_EQ(cpuid_find(&table, 0x15, 0)->ebx, 2);
	CHECK_EQ(cpuid_find(&table, 0x16, 0)->eax, 4800);
}

TEST(cpuid_of_one)
{
	const struct cpuid_guest guest = {.cpus = 1, .tsc_khz = 1000000};

	make_table();
	table.entry[0].ebx = 0x68747541; /* "Auth" */
	CHECK(!cpuid_tells_frequency(&table));
	cpuid_adjust(&table, &guest, 0);
	CHECK_EQ(cpuid_find(&table, 1, 0)->ecx & 1u << 24, 0);
	CHECK_EQ(cpuid_find(&table, 1, 0)->edx & 1u << 28, 0);
	CHECK_EQ(cpuid_find(&table, 0xb, 1)->eax, 0);
}

TEST(cpuid_full_table)
{
	const struct cpuid_guest guest = {.cpus = 1, .tsc_khz = 1000000};

	make_table();
	while (table.head.nent < CPUID_ENTRIES_MAX)
		table.entry[table.head.nent++] = (struct kvm_cpuid_entry2){.function = 0x20000000};
	cpuid_adjust(&table, &guest, 0);
	CHECK_EQ(table.head.nent, CPUID_ENTRIES_MAX);
}
