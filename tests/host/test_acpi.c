// SPDX-License-Identifier: MIT
// sources: drivers/acpi.c
/*
 * The ACPI walk over a small physical memory made of tables; reads outside of it fail as they would
 * on a machine.
 */
#include "test.h"
#include <stdarg.h>
#include <acpi.h>
#include <log.h>

#define RSDP_AT	    0x100
#define ROOT_AT	    0x200
#define FADT_AT	    0x400
#define MADT_AT	    0x1000
#define MADT_LAPIC  0
#define MADT_X2APIC 9

static uint8_t memory[0x5000];
static struct acpi_info info;
static char why[100]; /* the last warning */
static unsigned int warnings;

static bool read_memory(hpa_t pa, void *to, size_t n)
{
	if (pa.v >= sizeof(memory) || n > sizeof(memory) - pa.v)
		return false;
	memcpy(to, memory + pa.v, n);
	return true;
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	va_list ap;

	CHECK_EQ(level, LOG_WARN);
	CHECK(!strcmp(tag, "acpi"));
	warnings++;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
}

static void put(unsigned int at, uint64_t v, unsigned int bytes)
{
	memcpy(memory + at, &v, bytes);
}

static void fix_sum(unsigned int at, unsigned int n, unsigned int sum_at)
{
	uint8_t sum = 0;

	memory[sum_at] = 0;
	for (unsigned int i = 0; i < n; i++)
		sum = (uint8_t)(sum + memory[at + i]);
	memory[sum_at] = (uint8_t)-sum;
}

static void table(unsigned int at, const char *signature, unsigned int bytes)
{
	memcpy(memory + at, signature, 4);
	put(at + 4, bytes, 4);
	fix_sum(at, bytes, at + 9);
}

static void rsdp(bool revision2)
{
	memcpy(memory + RSDP_AT, "RSD PTR ", 8);
	put(RSDP_AT + 16, ROOT_AT, 4);
	if (revision2) {
		memory[RSDP_AT + 15] = 2;
		put(RSDP_AT + 20, 36, 4);
		put(RSDP_AT + 24, ROOT_AT, 8);
	}
	fix_sum(RSDP_AT, 20, RSDP_AT + 8);
	if (revision2)
		fix_sum(RSDP_AT, 36, RSDP_AT + 32);
}

/* A machine with four MADT entries, of which three name a usable CPU, and a FADT. */
static void machine(bool revision2)
{
	unsigned int p = revision2 ? 8 : 4;

	memset(memory, 0, sizeof(memory));
	rsdp(revision2);
	put(ROOT_AT + 36, MADT_AT, p);
	put(ROOT_AT + 36 + p, FADT_AT, p);
	table(ROOT_AT, revision2 ? "XSDT" : "RSDT", 36 + 2 * p);
	memcpy(memory + MADT_AT + 44, (uint8_t[]){0, 8, 0, 5, 1, 0, 0, 0}, 8);
	memcpy(memory + MADT_AT + 52, (uint8_t[]){0, 8, 1, 6, 2, 0, 0, 0}, 8); /* only capable */
	memcpy(memory + MADT_AT + 60, (uint8_t[]){0, 8, 2, 7, 1, 0, 0, 0}, 8);
	memcpy(memory + MADT_AT + 68, (uint8_t[]){9, 16, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0},
	       16);
	table(MADT_AT, "APIC", 84);
	put(FADT_AT + 64, 0x604, 4);
	memory[FADT_AT + 89] = 2;
	put(FADT_AT + 112, 1 << 10, 4);
	memory[FADT_AT + 116] = 1;
	put(FADT_AT + 120, 0xcf9, 8);
	memory[FADT_AT + 128] = 6;
	table(FADT_AT, "FACP", 244);
}

static bool parse(void)
{
	warnings = 0;
	why[0] = 0;
	return acpi_parse(read_memory, HPA(RSDP_AT), &info);
}

TEST(both_root_tables)
{
	for (int revision2 = 0; revision2 < 2; revision2++) {
		machine(revision2);
		CHECK(parse());
		CHECK_EQ(warnings, 0);
		CHECK_EQ(info.tables, 2);
		CHECK_EQ(info.cpus, 3);
		CHECK_EQ(info.apic_ids[0], 5);
		CHECK_EQ(info.apic_ids[1], 7);
		CHECK_EQ(info.apic_ids[2], 0x200);
		CHECK_EQ(info.pm1a_cnt.space, 1);
		CHECK_EQ(info.pm1a_cnt.address, 0x604);
		CHECK_EQ(info.pm1a_cnt.bits, 16);
		CHECK_EQ(info.pm1b_cnt.address, 0);
		CHECK_EQ(info.reset.address, 0xcf9);
		CHECK_EQ(info.reset_value, 6);
	}
}

TEST(extended_registers_win)
{
	machine(true);
	memory[FADT_AT + 172] = 0;
	memory[FADT_AT + 173] = 32;
	put(FADT_AT + 176, 0xfed40000, 8);
	table(FADT_AT, "FACP", 244);
	CHECK(parse());
	CHECK_EQ(info.pm1a_cnt.space, 0);
	CHECK_EQ(info.pm1a_cnt.address, 0xfed40000);
}

TEST(no_root)
{
	machine(true);
	CHECK(!acpi_parse(read_memory, HPA(0), &info));
	CHECK(strstr(why, "no root pointer"));
	memory[RSDP_AT + 33]++; /* revision 2's own checksum */
	CHECK(!parse());
	CHECK(strstr(why, "0x100 is broken"));
	machine(true);
	memory[ROOT_AT + 20]++;
	CHECK(!parse());
	CHECK(strstr(why, "XSDT"));
}

TEST(broken_tables_are_named_and_skipped)
{
	machine(true);
	memory[MADT_AT + 47]++;
	CHECK(parse());
	CHECK_EQ(warnings, 1);
	CHECK_EQ(info.cpus, 0);
	CHECK(info.fadt.v != 0);
	machine(true);
	put(FADT_AT + 4, 0x7fffffff, 4);
	CHECK(parse());
	CHECK_EQ(warnings, 1);
	CHECK_EQ(info.fadt.v, 0);
	CHECK(strstr(why, "0x400"));
	machine(true);
	table(FADT_AT, "FACP", 100);
	CHECK(parse());
	CHECK_EQ(warnings, 1);
}

TEST(madt_entries_that_lie)
{
	static const uint8_t lengths[] = {0, 1, 200};

	for (unsigned int i = 0; i < sizeof(lengths); i++) {
		machine(true);
		memory[MADT_AT + 53] = lengths[i];
		table(MADT_AT, "APIC", 84);
		CHECK(parse());
		CHECK_EQ(info.cpus, 1);
	}
	machine(true);
	table(MADT_AT, "APIC", 36); /* ends before its first entry */
	CHECK(parse());
	CHECK_EQ(info.cpus, 0);
	table(MADT_AT, "APIC", 69); /* one byte into the last entry */
	CHECK(parse());
	CHECK_EQ(info.cpus, 2);
}

/* Xeons: ids up to 254 in the old form, those above in the new one. What is too much is named. */
TEST(many_processors)
{
	enum { TOO_MANY = ACPI_MAX_CPUS + 1 };
	unsigned int at = MADT_AT + 44;

	machine(true);
	for (uint32_t id = 0; id < TOO_MANY; id++) {
		bool old = id < 255;

		memset(memory + at, 0, 16);
		put(at, old ? MADT_LAPIC | 8 << 8 : MADT_X2APIC | 16 << 8, 2);
		put(at + (old ? 3 : 4), id, old ? 1 : 4);
		put(at + (old ? 4 : 8), 1, 4);
		at += old ? 8 : 16;
	}
	table(MADT_AT, "APIC", at - MADT_AT);
	CHECK(parse());
	CHECK(info.cpus == ACPI_MAX_CPUS && ACPI_MAX_CPUS >= 256 && info.more);
	for (uint32_t id = 0; id < info.cpus; id++)
		CHECK_EQ(info.apic_ids[id], id);
	CHECK_EQ(warnings, 1);
	CHECK(strstr(why, "APIC id 1024 is one too many"));
}

/* In the old form and in the new one: the same processor. */
TEST(processor_named_twice)
{
	machine(true);
	put(MADT_AT + 84, MADT_X2APIC | 16 << 8, 2);
	put(MADT_AT + 84 + 4, 7, 4);
	put(MADT_AT + 84 + 8, 1, 4);
	table(MADT_AT, "APIC", 100);
	CHECK(parse());
	CHECK(info.cpus == 3 && !info.more);
}

TEST(root_that_points_nowhere)
{
	machine(true);
	put(ROOT_AT + 36, UINT64_MAX - 8, 8);
	put(ROOT_AT + 44, 0, 8);
	table(ROOT_AT, "XSDT", 52);
	CHECK(parse());
	CHECK_EQ(warnings, 1);
	CHECK_EQ(info.tables, 0);
}

static uint8_t low[0x100000];

static bool read_low(hpa_t pa, void *to, size_t n)
{
	if (pa.v >= sizeof(low) || n > sizeof(low) - pa.v)
		return false;
	memcpy(to, low + pa.v, n);
	return true;
}

TEST(scan_of_the_places_of_a_bios)
{
	uint16_t ebda = 0x9fc0;

	machine(false);
	CHECK_EQ(acpi_scan_rsdp(read_low).v, 0);
	memcpy(low + 0xffff0 - 16, memory + RSDP_AT, 20);
	CHECK_EQ(acpi_scan_rsdp(read_low).v, 0xfffe0);
	memcpy(low + 0x40e, &ebda, 2);
	memcpy(low + 0x9fc30, memory + RSDP_AT, 20);
	CHECK_EQ(acpi_scan_rsdp(read_low).v, 0x9fc30);
	low[0x9fc33]++;
	CHECK_EQ(acpi_scan_rsdp(read_low).v, 0xfffe0);
}
