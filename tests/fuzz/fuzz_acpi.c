// SPDX-License-Identifier: MIT
// sources: drivers/acpi.c
/*
 * ACPI tables of random bytes: a root pointer, behind it the root table, behind that the rest.
 * Their checksums are put right first, or nothing would get past them. What lies outside of the
 * input cannot be read; what is not taken is named in the log.
 */
#include <stdlib.h>
#include <string.h>

#include <acpi.h>
#include <log.h>

#define AT	  0x1000
#define RSDP1	  20
#define RSDP2	  36
#define HEADER	  36
#define LENGTH_AT 4
#define SUM_AT	  9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t *memory;
static size_t memory_bytes;

static bool read_memory(hpa_t pa, void *to, size_t n)
{
	if (pa.v < AT || pa.v - AT > memory_bytes || n > memory_bytes - (pa.v - AT))
		return false;
	memcpy(to, memory + (pa.v - AT), n);
	return true;
}

static unsigned int warnings;

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	if (level != LOG_WARN || !*tag || !*fmt)
		abort();
	warnings++;
}

static void fix_sum(size_t at, size_t bytes, size_t sum_at)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + memory[at + i]);
	memory[at + sum_at] = (uint8_t)(memory[at + sum_at] - sum);
}

/* The length of the table at @at if it lies in the memory. */
static uint32_t fix_table(size_t at)
{
	uint32_t length;

	if (at > memory_bytes || memory_bytes - at < HEADER)
		return 0;
	memcpy(&length, memory + at + LENGTH_AT, sizeof(length));
	if (length < HEADER || length > memory_bytes - at)
		return 0;
	fix_sum(at, length, SUM_AT);
	return length;
}

static void fix_sums(void)
{
	unsigned int pointer = memory[15] >= 2 ? 8 : 4;
	uint32_t root = fix_table(RSDP2);

	for (uint32_t i = HEADER; i + pointer <= root; i += pointer) {
		uint64_t table = 0;

		memcpy(&table, memory + RSDP2 + i, pointer);
		fix_table(table - AT);
	}
	fix_table(RSDP2);
	fix_sum(0, RSDP1, 8);
	fix_sum(0, RSDP2, 32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct acpi_info info;

	if (bytes < RSDP2 + HEADER)
		return 0;
	memory = malloc(bytes);
	memory_bytes = bytes;
	memcpy(memory, data, bytes);
	fix_sums();
	warnings = 0;
	if (acpi_parse(read_memory, HPA(AT), &info)) {
		if (info.cpus > ACPI_MAX_CPUS || info.madt.v > AT + bytes ||
		    info.fadt.v > AT + bytes)
			abort();
	} else if (!warnings) {
		abort();
	}
	free(memory);
	return 0;
}
