// SPDX-License-Identifier: MIT
/*
 * The crash record as vmm/panic.c leaves it in memory, page-aligned, over a warm reset: for
 * `hornero log --crash` where Linux was started without the hypervisor. Keep the two alike.
 */
#pragma once

#include <stdint.h>

#define CRASH_BYTES	   12288u
#define CRASH_RECORD_MAGIC UINT64_C(0x31435248534f5248) /* HROSHRC1 */

struct crash_record {
	uint64_t magic;
	uint32_t bytes; /* of text */
	uint32_t sum;
	char text[CRASH_BYTES - 16];
};

/** The checksum of @n bytes: as Adler-32. */
static inline uint32_t crash_record_sum(const char *s, uint32_t n)
{
	uint32_t a = 1, b = 0;

	for (uint32_t i = 0; i < n; i++) {
		a = (a + (uint8_t)s[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

/** Whether @r holds a record that was closed and not changed since. */
static inline _Bool crash_record_whole(const struct crash_record *r)
{
	return r->magic == CRASH_RECORD_MAGIC && r->bytes < sizeof(r->text) &&
	       r->text[r->bytes] == 0 && r->sum == crash_record_sum(r->text, r->bytes);
}
