// SPDX-License-Identifier: MIT
/*
 * Values as people write them. Read next: definition.c, which gives them their keys.
 */
#include "units.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS	"0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const char size_units[] = "KMGT";

int units_parse_size(const char *text, uint64_t *bytes, struct reason *why)
{
	size_t digits = strspn(text, DIGITS);
	unsigned long long value = strtoull(text, NULL, 10);
	const char *unit = text + digits;

	if (!digits || digits > 9)
		return reason_set(why, "'%s' is no size: write a number and a unit, such as 512M",
				  text);
	if (!*unit)
		return reason_set(why, "'%s' has no unit: is that %sM or %sG?", text, text, text);
	const char *at = strchr(size_units, toupper((unsigned char)*unit));

	/* Also "512MiB" and "512MB"; both mean powers of 1024, as everywhere here. */
	if (!at || (unit[1] && strcasecmp(unit + 1, "B") && strcasecmp(unit + 1, "iB")))
		return reason_set(why, "'%s': the unit '%s' is not K, M, G or T", text, unit);
	*bytes = value << (10 * (at - size_units + 1));
	return 0;
}

const char *units_print_size(uint64_t bytes, char *buffer, size_t size)
{
	int unit = 0;

	bytes /= KIB;
	while (unit < 3 && bytes && bytes % KIB == 0) {
		bytes /= KIB;
		unit++;
	}
	snprintf(buffer, size, "%llu%c", (unsigned long long)bytes, size_units[unit]);
	return buffer;
}

const char *units_print_about(double bytes, char *buffer, size_t size)
{
	static const char units[] = "BKMGT";
	int unit = 0;

	while (bytes >= 1000 && unit < 4) {
		bytes /= (double)KIB;
		unit++;
	}
	int tenths = (int)(bytes * 10 + 0.5);
	bool fine = unit && tenths < 100 && tenths % 10;

	snprintf(buffer, size, "%.*f%c", fine ? 1 : 0, bytes, units[unit]);
	if (!strcmp(buffer, "0B"))
		buffer[1] = '\0';
	return buffer;
}

int units_parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *value,
		       struct reason *why)
{
	size_t digits = strspn(text, DIGITS);

	*value = strtoull(text, NULL, 10);
	if (!digits || digits > 18 || text[digits] || *value < low || *value > high)
		return reason_set(why, "'%s' is not a number from %llu to %llu", text,
				  (unsigned long long)low, (unsigned long long)high);
	return 0;
}

int units_check_name(const char *what, const char *text, struct reason *why)
{
	size_t good = strspn(text, LETTERS DIGITS "-_.");

	if (!*text || text[good] || good > NAME_MAX_BYTES || !isalpha((unsigned char)*text))
		return reason_set(
			why,
			"'%s' cannot be a name of a %s: use 1 to %d letters, digits, '-', "
			"'_' and '.', starting with a letter",
			text, what, NAME_MAX_BYTES);
	return 0;
}

int units_parse_mac(const char *text, uint8_t mac[6], struct reason *why)
{
	unsigned int part[6];
	int used = 0;

	if (strspn(text, DIGITS "abcdefABCDEF:") != strlen(text) || strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &part[0], &part[1], &part[2], &part[3],
		   &part[4], &part[5], &used) != 6 ||
	    text[used])
		return reason_set(why, "'%s' is no MAC address: write it like 52:54:00:12:34:56",
				  text);
	if (part[0] & 1)
		return reason_set(why, "'%s' is a multicast address: make its first byte even",
				  text);
	for (unsigned int i = 0; i < 6; i++)
		mac[i] = (uint8_t)part[i];
	return 0;
}

void units_derive_mac(const char *name, unsigned int card, uint8_t mac[6])
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ull;
	hash = (hash ^ card) * 0x100000001b3ull;
	mac[0] = 0x02;
	for (unsigned int i = 1; i < 6; i++)
		mac[i] = (uint8_t)(hash >> (8 * i));
}

const char *units_print_time(uint64_t seconds, char *buffer, size_t size)
{
	unsigned long long minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

	if (days)
		snprintf(buffer, size, "%llud %lluh", days, hours % 24);
	else if (hours)
		snprintf(buffer, size, "%lluh %llum", hours, minutes % 60);
	else if (minutes)
		snprintf(buffer, size, "%llum", minutes);
	else
		snprintf(buffer, size, "%llus", (unsigned long long)seconds);
	return buffer;
}

int units_check_cpu_list(const char *text, struct reason *why)
{
	const char *rest = text;

	while (*rest) {
		char *end;
		unsigned long first, last;

		if (!isdigit((unsigned char)*rest))
			break;
		first = last = strtoul(rest, &end, 10);
		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtoul(end + 1, &end, 10);
		if (last < first || last > 8191 || (*end && *end != ','))
			break;
		rest = *end ? end + 1 : end;
		if (!*rest && end[0] != ',')
			return 0;
	}
	return reason_set(why, "'%s' is no list of CPUs: write it like 1-3 or 0,2", text);
}

/* Levenshtein's distance of words of up to 31 letters, with one row of the table kept. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[33];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > 31 || b_length > 31)
		return 99;
	for (unsigned int j = 0; j <= b_length; j++)
		row[j] = j;
	for (unsigned int i = 1; i <= a_length; i++) {
		unsigned int corner = row[0]++;

		for (unsigned int j = 1; j <= b_length; j++) {
			unsigned int best = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_length];
}

const char *units_nearest(const char *word, const char *const *list)
{
	const char *nearest = NULL;
	unsigned int least = strlen(word) < 4 ? 2 : 3;

	for (; *list; list++) {
		unsigned int d = distance(word, *list);

		if (d < least) {
			least = d;
			nearest = *list;
		}
	}
	return nearest;
}
