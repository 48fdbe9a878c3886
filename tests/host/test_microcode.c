// SPDX-License-Identifier: MIT
// sources: arch/x86/microcode.c
/*
 * Microcode updates: which one of a file is for a CPU, and what is no update.
 */
#include "test.h"

#include <x86/microcode.h>

#define UPDATE_BYTES 2048u
#define FOR_US	     0x306d4u
#define PLATFORM     3u
#define EXTENSION    1024u

static union {
	uint32_t words[3 * UPDATE_BYTES / 4];
	struct microcode_header header;
	uint8_t bytes[3 * UPDATE_BYTES];
} file;

static const struct microcode_cpu cpu = {FOR_US, PLATFORM, 0x10};
static uint64_t wrong;

static struct microcode_header *header(unsigned int i)
{
	return (struct microcode_header *)&file.words[i * UPDATE_BYTES / 4];
}

static void seal(unsigned int i)
{
	uint32_t *words = &file.words[i * UPDATE_BYTES / 4], sum = 0;

	header(i)->checksum = 0;
	for (unsigned int w = 0; w < UPDATE_BYTES / 4; w++)
		sum += words[w];
	header(i)->checksum = 0 - sum;
}

static void update(unsigned int i, uint32_t signature, uint32_t platforms, uint32_t revision)
{
	memset(header(i), 0xa5, UPDATE_BYTES);
	*header(i) = (struct microcode_header){.version = 1,
					       .revision = revision,
					       .signature = signature,
					       .loader = 1,
					       .platforms = platforms,
					       .data_bytes = UPDATE_BYTES - 48,
					       .total_bytes = UPDATE_BYTES};
	seal(i);
}

static void three(void)
{
	update(0, FOR_US, 1u << PLATFORM, 0x11);
	update(1, FOR_US, 0xff, 0x13);
	update(2, FOR_US, 0xf0, 0x15); /* another platform's */
}

static const struct microcode_header *find(uint64_t bytes)
{
	return microcode_find(file.words, bytes, &cpu, &wrong);
}

TEST(the_newest_that_fits)
{
	three();
	CHECK(find(sizeof(file)) == header(1));
	CHECK_EQ(wrong, sizeof(file));
	CHECK(find(UPDATE_BYTES) == header(0));
	CHECK_EQ(wrong, UPDATE_BYTES);
}

TEST(another_cpu_or_nothing_newer)
{
	update(0, FOR_US + 1, 0xff, 0x20);
	update(1, FOR_US, 0xff, 0x10);
	update(2, FOR_US, 0xff, 0x80000001); /* revisions are signed: Intel's own trials */
	CHECK(!find(sizeof(file)));
	CHECK_EQ(wrong, sizeof(file));
	CHECK(!find(0));
}

TEST(sizes_of_zero_are_the_old_ones)
{
	three();
	header(0)->data_bytes = header(0)->total_bytes = 0;
	seal(0);
	CHECK(find(sizeof(file)) == header(1));
	CHECK(find(UPDATE_BYTES) == header(0));
}

TEST(more_signatures_behind_the_data)
{
	uint32_t *table = &file.words[EXTENSION / 4];

	update(0, FOR_US + 1, 1, 0x20);
	header(0)->data_bytes = EXTENSION - 48;
	table[0] = 2;
	memset(table + 1, 0, 16);
	memcpy(table + 5, (uint32_t[]){FOR_US, 1, 0, FOR_US, 1u << PLATFORM, 0}, 24);
	seal(0);
	CHECK(find(UPDATE_BYTES) == header(0));
	table[0] = 1;
	seal(0);
	CHECK(!find(UPDATE_BYTES));
	table[0] = UINT32_MAX; /* more than there is room for */
	table[9] = 1;
	memset(table + 11, 0, UPDATE_BYTES - EXTENSION - 44);
	seal(0);
	CHECK(!find(UPDATE_BYTES));
	CHECK_EQ(wrong, UPDATE_BYTES);
}

static void is_wrong(void)
{
	CHECK(!find(sizeof(file)) && !wrong);
}

TEST(what_is_no_update)
{
	three();
	file.bytes[100]++;
	is_wrong(); /* checksum */
	three();
	header(0)->version = 2;
	seal(0);
	is_wrong();
	three();
	header(0)->total_bytes = 4 * UPDATE_BYTES;
	seal(0);
	is_wrong();
	three();
	header(0)->total_bytes = 1000;
	is_wrong();
	three();
	header(0)->data_bytes = UPDATE_BYTES - 44;
	seal(0);
	is_wrong();
	three();
	header(0)->data_bytes = UINT32_MAX - 3;
	seal(0);
	is_wrong();
	three();
	CHECK(!microcode_find(file.words, 47, &cpu, &wrong) && !wrong);
	three();
	file.bytes[UPDATE_BYTES + 100]++;
	CHECK(find(sizeof(file)) == header(0));
	CHECK_EQ(wrong, UPDATE_BYTES);
}
