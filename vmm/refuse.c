// SPDX-License-Identifier: MIT
/*
 * A refusal in plain words: this machine or boot medium will not do.
 */
#include <panic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <crash.h>
#include <log.h>
#include <x86/asm.h>

#define BOX_WIDTH 76
#define BOX_RULE                                                                                   \
	"+------------------------------------------------------------------------------+\n"

/* Paragraphs, broken at blanks to the box's width. */
static void box_text(const char *s)
{
	while (*s) {
		char line[BOX_WIDTH + 8];
		size_t n = strcspn(s, "\n");

		if (n > BOX_WIDTH)
			for (n = BOX_WIDTH; n > 1 && s[n] != ' '; n--)
				;
		if (n == 1)
			n = BOX_WIDTH;
		snprintf(line, sizeof(line), "| %-*.*s |\n", BOX_WIDTH, (int)n, s);
		log_emergency_write(line);
		for (s += n; *s == ' ' || *s == '\n'; s++)
			;
	}
}

void machine_refuse(const char *what, const char *fmt, ...)
{
	static char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	crash_stop_others();
	log_emergency_begin();
	log_emergency_write("\n" BOX_RULE);
	box_text("Hornero cannot run here:");
	box_text(what);
	box_text(text);
	box_text("The machine is halted.");
	log_emergency_write(BOX_RULE);
	cpu_halt_forever();
}
