// SPDX-License-Identifier: MIT
// sources: control-domain/hornero/crash.c
// flags: -D_GNU_SOURCE
/*
 * Finding a crash record in memory that holds other things too, is refused in part, and ends early.
 */
#include <string.h>

#include "../../control-domain/hornero/crash.h"
#include "test.h"

#define BASE  0x30000000ull
#define BYTES (4u << 20)

static uint8_t memory[BYTES];
static uint64_t refused_from, refused_to;
static unsigned int reads;

static bool fake_read(void *arg, uint64_t address, void *buffer, size_t bytes)
{
	(void)arg;
	reads++;
	if (address < BASE || address + bytes > BASE + BYTES ||
	    (address < refused_to && address + bytes > refused_from))
		return false;
	memcpy(buffer, memory + (address - BASE), bytes);
	return true;
}

static struct crash_record *put(uint32_t offset, const char *text)
{
	struct crash_record *r = (struct crash_record *)(memory + offset);

	memset(r, 0xff, sizeof(*r));
	r->magic = CRASH_RECORD_MAGIC;
	r->bytes = (uint32_t)strlen(text);
	memcpy(r->text, text, r->bytes + 1);
	r->sum = crash_record_sum(r->text, r->bytes);
	return r;
}

static const struct crash_record *find(void)
{
	return crash_find(fake_read, NULL, BASE, BASE + BYTES);
}

static void fresh(void)
{
	memset(memory, 0, sizeof(memory));
	refused_from = refused_to = 0;
	reads = 0;
}

TEST(nothing_is_found_in_empty_memory)
{
	fresh();
	CHECK(!find());
}

TEST(a_record_is_found_where_it_lies)
{
	fresh();
	put(0x1f5000, "it crashed");
	CHECK(!strcmp(find()->text, "it crashed"));
	put(BYTES - CRASH_BYTES, "the last place");
	CHECK(!strcmp(find()->text, "it crashed"));
	memset(memory + 0x1f5000, 0, CRASH_BYTES);
	CHECK(!strcmp(find()->text, "the last place"));
}

TEST(a_damaged_record_is_passed_over)
{
	fresh();
	put(0x3000, "was overwritten")->text[3] ^= 1;
	put(0x8000, "too long")->bytes = CRASH_BYTES;
	CHECK(!find());
	put(0x10000, "whole");
	CHECK(!strcmp(find()->text, "whole"));
}

TEST(refused_memory_is_skipped_in_large_steps)
{
	fresh();
	refused_from = BASE;
	refused_to = BASE + 0x200000;
	put(0x100000, "of this kernel");
	put(0x200000, "behind it");
	CHECK(!strcmp(find()->text, "behind it"));
	CHECK(reads < 10);
}
