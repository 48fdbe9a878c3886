// SPDX-License-Identifier: MIT
/*
 * ACPI sleep states, as far as a hypervisor must refuse them. Pure.
 *
 * Suspend to RAM would resume without us. Firmware says in its AML which value of SLP_TYP means
 * which state: packages named _S3_, _S4_. We look for those names without interpreting AML, rename
 * them so that the control domain does not offer the states, and refuse the register writes all the
 * same.
 */
#pragma once

#include <types.h>

struct sleep_types {
	bool known[6];	 /* of _S0_ to _S5_ */
	uint8_t type[6]; /* SLP_TYPa */
};

/** Find the sleep packages in @bytes of AML (a whole table, header included). */
void sleep_scan(const uint8_t *table, size_t bytes, struct sleep_types *out);

/** Rename _S1_ to _S4_ in the table and put its checksum right. Returns how many were renamed. */
unsigned int sleep_hide(uint8_t *table, size_t bytes);

/** True if writing @value to a PM1 control register would enter a state that is refused. */
static inline bool sleep_refused(const struct sleep_types *s, uint32_t value)
{
	uint8_t type = (uint8_t)field_get(value, 12, 10);

	if (!(value & BIT64(13)) || (s->known[5] && s->type[5] == type))
		return false;
	for (unsigned int state = 1; state <= 4; state++)
		if (s->known[state] && s->type[state] == type)
			return true;
	return false;
}
