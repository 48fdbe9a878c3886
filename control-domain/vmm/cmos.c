// SPDX-License-Identifier: MIT
/*
 * Time is computed at every read of a register. A reader that straddles a second reads again, as
 * the data sheet tells it to: Linux compares, and there is no update flag to show.
 */
#include "cmos.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { SECONDS = 0, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY = 7, MONTH = 8, YEAR = 9 };
enum { STATUS_A = 10, STATUS_B = 11, STATUS_C = 12, STATUS_D = 13 };

#define STATUS_A_DIVIDER 0x26
#define STATUS_B_24H	 0x02
#define STATUS_B_BINARY	 0x04
#define STATUS_D_VALID	 0x80

void cmos_reset(struct cmos *cmos)
{
	memset(cmos, 0, sizeof(*cmos));
	cmos->memory[STATUS_A] = STATUS_A_DIVIDER;
	cmos->memory[STATUS_B] = STATUS_B_24H;
}

static int time_register(const struct tm *utc, uint8_t index)
{
	switch (index) {
	case SECONDS:
		return utc->tm_sec;
	case MINUTES:
		return utc->tm_min;
	case HOURS:
		return utc->tm_hour;
	case WEEKDAY:
		return utc->tm_wday + 1;
	case DAY:
		return utc->tm_mday;
	case MONTH:
		return utc->tm_mon + 1;
	case YEAR:
		return utc->tm_year % 100;
	case CMOS_CENTURY:
		return utc->tm_year / 100 + 19;
	}
	return -1;
}

uint8_t cmos_read(const struct cmos *cmos, unsigned port_offset, int64_t unix_time_s)
{
	time_t now = unix_time_s;
	struct tm utc;

	if (port_offset == 0)
		return 0xff;
	if (cmos->index == STATUS_C)
		return 0;
	if (cmos->index == STATUS_D)
		return STATUS_D_VALID;
	gmtime_r(&now, &utc);
	int value = time_register(&utc, cmos->index);

	if (value < 0)
		return cmos->memory[cmos->index];
	if (cmos->memory[STATUS_B] & STATUS_B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

void cmos_write(struct cmos *cmos, unsigned port_offset, uint8_t value)
{
	if (port_offset == 0)
		cmos->index = value & 0x7f;
	else if (cmos->index == STATUS_A)
		cmos->memory[STATUS_A] = value & 0x7f; /* "update in progress" is read-only */
	else if (cmos->index == STATUS_B)
		cmos->memory[STATUS_B] = (value & STATUS_B_BINARY) | STATUS_B_24H;
	else
		cmos->memory[cmos->index] = value;
}
