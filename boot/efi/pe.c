// SPDX-License-Identifier: MIT
/*
 * Walking the section table of a loaded PE image; see pe.h.
 */
#include "pe.h"
#include <string.h>

enum { DOS_PE_OFFSET = 0x3c, PE_SECTIONS = 6, PE_OPTIONAL_BYTES = 20, PE_HEADER = 24 };
enum { SECTION_SIZE = 8, SECTION_ADDRESS = 12, SECTION_HEADER = 40 };

static uint32_t get(const uint8_t *p, size_t bytes)
{
	uint32_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

bool pe_section(const void *image, size_t bytes, const char *name, const void **data, size_t *size)
{
	const uint8_t *p = image;
	char padded[8] = {0};
	size_t pe, table, n = strlen(name);
	unsigned int sections;

	if (n > sizeof(padded) || bytes < DOS_PE_OFFSET + 4 || memcmp(p, "MZ", 2) != 0)
		return false;
	memcpy(padded, name, n);
	pe = get(p + DOS_PE_OFFSET, 4);
	if (pe > bytes || bytes - pe < PE_HEADER || memcmp(p + pe, "PE\0\0", 4) != 0)
		return false;
	sections = get(p + pe + PE_SECTIONS, 2);
	table = pe + PE_HEADER + get(p + pe + PE_OPTIONAL_BYTES, 2);
	if (table > bytes || sections > (bytes - table) / SECTION_HEADER)
		return false;
	for (unsigned int i = 0; i < sections; i++) {
		const uint8_t *s = p + table + i * SECTION_HEADER;
		uint32_t at = get(s + SECTION_ADDRESS, 4);

		if (memcmp(s, padded, sizeof(padded)) != 0)
			continue;
		*size = get(s + SECTION_SIZE, 4);
		if (at > bytes || *size > bytes - at)
			return false;
		*data = p + at;
		return true;
	}
	return false;
}
