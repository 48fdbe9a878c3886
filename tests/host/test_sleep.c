// SPDX-License-Identifier: MIT
// sources: vmm/sleep.c
/*
 * Sleep states in AML: found, hidden with the checksum kept, and refused at the register.
 */
#include "test.h"
#include <sleep.h>

/* Header of 36 bytes, then Name(_S0_, Package(4){0,0,0,0}), Name(\_S3_, ...{1..}), Name(_S5_,
 * ...{7..}). */
static uint8_t table[] = {
	'D',  'S',  'D',  'T',	0,    0,   0,	 0,    2,    0,	   0,	 0,    0,    0,	   0,
	0,    0,    0,	  0,	0,    0,   0,	 0,    0,    0,	   0,	 0,    0,    0,	   0,
	0,    0,    0,	  0,	0,    0,   0x08, '_',  'S',  '0',  '_',	 0x12, 0x06, 0x04, 0x00,
	0x00, 0x00, 0x00, 0x08, 0x5c, '_', 'S',	 '3',  '_',  0x12, 0x07, 0x04, 0x01, 0x01, 0x00,
	0x00, 0x08, '_',  'S',	'5',  '_', 0x12, 0x08, 0x04, 0x0a, 0x07, 0x0a, 0x07, 0x00, 0x00,
};

static uint8_t sum(void)
{
	uint8_t s = 0;

	for (size_t i = 0; i < sizeof(table); i++)
		s = (uint8_t)(s + table[i]);
	return s;
}

TEST(types_are_found)
{
	struct sleep_types t = {0};

	sleep_scan(table, sizeof(table), &t);
	CHECK(t.known[0] && t.known[3] && t.known[5]);
	CHECK(!t.known[1] && !t.known[2] && !t.known[4]);
	CHECK_EQ(t.type[3], 1);
	CHECK_EQ(t.type[5], 7);
}

TEST(suspend_is_refused_and_power_off_is_not)
{
	struct sleep_types t = {0};

	sleep_scan(table, sizeof(table), &t);
	CHECK(sleep_refused(&t, 1u << 10 | 1u << 13));
	CHECK(!sleep_refused(&t, 1u << 10)); /* without SLP_EN */
	CHECK(!sleep_refused(&t, 7u << 10 | 1u << 13));
	CHECK(!sleep_refused(&t, 0u << 10 | 1u << 13));
}

TEST(hidden_states_are_gone_and_the_sum_stays)
{
	struct sleep_types t = {0};

	table[9] = (uint8_t)(table[9] - sum());
	CHECK_EQ(sum(), 0);
	CHECK_EQ(sleep_hide(table, sizeof(table)), 1);
	CHECK_EQ(sum(), 0);
	sleep_scan(table, sizeof(table), &t);
	CHECK(!t.known[3]);
	CHECK(t.known[0] && t.known[5]);
}

TEST(cut_off_anywhere)
{
	for (size_t n = 0; n < sizeof(table); n++) {
		uint8_t *copy = malloc(n ? n : 1);
		struct sleep_types t = {0};

		memcpy(copy, table, n);
		sleep_scan(copy, n, &t);
		if (n < sizeof(table) - 6)
			CHECK(!t.known[5]);
		free(copy);
	}
}

TEST(a_package_length_of_two_bytes)
{
	static const uint8_t aml[] = {0x08, '_',  'S',	'4',  '_', 0x12, 0x48,
				      0x00, 0x04, 0x0a, 0x06, 0,   0};
	struct sleep_types t = {0};

	sleep_scan(aml, sizeof(aml), &t);
	CHECK(t.known[4]);
	CHECK_EQ(t.type[4], 6);
}
