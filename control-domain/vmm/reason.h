// SPDX-License-Identifier: MIT
/*
 * Why something failed, as a sentence for a person: object, value, remedy.
 *
 * Functions that can fail for a reason a user can mend take a `struct reason *` and return a
 * negative number after filling it in; who called decides whether it is printed, sent over the
 * control socket or compared in a test. Not for errors of the guest: those go into its device.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>

struct reason {
	char text[512];
};

__attribute__((format(printf, 2, 3))) static inline void reason_print(struct reason *why,
								      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
}

static inline int reason_failed(void)
{
	return -1;
}

/* Sets the sentence, in printf's manner; is -1 (and the compiler knows), so that it can be
 * returned. */
#define reason_set(why, ...) (reason_print(why, __VA_ARGS__), reason_failed())
