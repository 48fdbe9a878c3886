// SPDX-License-Identifier: MIT
/*
 * The CMOS clock (MC146818) at ports 70h and 71h: wall-clock time in UTC, read only.
 *
 * Pure: the time comes in as an argument. An update is never in progress, so a reader never
 * waits. Alarms, periodic interrupts and setting the clock are not modelled: writes to the time
 * are dropped (the control domain keeps time), the rest of the memory is kept until reset.
 *
 * Source: Motorola MC146818A, "Address Map".
 */
#pragma once

#include <stdint.h>

#define CMOS_CENTURY 0x32

struct cmos {
	uint8_t index;
	uint8_t memory[128];
};

void cmos_reset(struct cmos *cmos);
uint8_t cmos_read(const struct cmos *cmos, unsigned port_offset, int64_t unix_time_s);
void cmos_write(struct cmos *cmos, unsigned port_offset, uint8_t value);
