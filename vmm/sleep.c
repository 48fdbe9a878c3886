// SPDX-License-Identifier: MIT
/*
 * Looking for sleep packages in AML; see sleep.h.
 * Source: ACPI Specification 6.5, "Sleeping States" (7.4.2), "AML Encoding" (20.2); "PM1 Control
 * Registers" (4.8.3.2).
 */
#include <string.h>

#include <sleep.h>

#define NAME_OP		0x08
#define ROOT_CHAR	0x5c
#define PACKAGE_OP	0x12
#define BYTE_PREFIX	0x0a
#define CHECKSUM_OFFSET 9
#define NAME_BYTES	4

/* The state whose name (NameOp or root prefix in front, a package behind) stands at @at, or -1. */
static int state_at(const uint8_t *t, size_t bytes, size_t at)
{
	if (at < 1 || at + NAME_BYTES + 1 > bytes || t[at] != '_' || t[at + 1] != 'S' ||
	    t[at + 2] < '0' || t[at + 2] > '5' || t[at + 3] != '_' || t[at + 4] != PACKAGE_OP)
		return -1;
	if (t[at - 1] != NAME_OP && !(at >= 2 && t[at - 1] == ROOT_CHAR && t[at - 2] == NAME_OP))
		return -1;
	return t[at + 2] - '0';
}

void sleep_scan(const uint8_t *t, size_t bytes, struct sleep_types *out)
{
	for (size_t i = 0; i < bytes; i++) {
		int state = state_at(t, bytes, i);
		size_t p = i + NAME_BYTES + 1;

		if (state < 0 || p >= bytes)
			continue;
		p += 1u + (t[p] >> 6); /* PkgLength says in its first byte how many follow */
		p += 1;		       /* NumElements */
		if (p < bytes && t[p] == BYTE_PREFIX)
			p++;
		if (p >= bytes)
			continue;
		out->known[state] = true;
		out->type[state] = t[p] & 7;
	}
}

unsigned int sleep_hide(uint8_t *t, size_t bytes)
{
	unsigned int renamed = 0;

	for (size_t i = 0; i < bytes; i++) {
		int state = state_at(t, bytes, i);

		if (state < 1 || state > 4)
			continue;
		/* The sum over the table stays zero. */
		t[CHECKSUM_OFFSET] = (uint8_t)(t[CHECKSUM_OFFSET] + '_' - 'H');
		t[i] = 'H';
		renamed++;
	}
	return renamed;
}
