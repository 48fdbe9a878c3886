// SPDX-License-Identifier: MIT
/*
 * Log lines. Each is put together in a buffer and written by one write(), so that lines of several
 * threads (or of several VMs in one file) never mix. On a terminal the time is left out.
 */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 900, LIMIT_LINES = 5, LIMIT_WINDOW_S = 60 };

static const char *vm_name = "vmm";
static bool plain;

void say_begin(const char *name)
{
	vm_name = name;
	plain = isatty(STDERR_FILENO);
}

__attribute__((format(printf, 2, 0))) static void say(const char *level, const char *format,
						      va_list args)
{
	char line[LINE_MAX_BYTES];
	size_t used = 0;

	if (!plain) {
		time_t now = time(NULL);
		struct tm utc;

		gmtime_r(&now, &utc);
		used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ ", &utc);
	}
	used += (size_t)snprintf(line + used, sizeof(line) - used, "%.64s: %s", vm_name, level);
	int body = vsnprintf(line + used, sizeof(line) - used - 2, format, args);

	if (body > 0)
		used += (size_t)body;
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	/* On a terminal that a guest's console has put into raw mode, a line needs its CR. */
	if (plain)
		line[used++] = '\r';
	line[used++] = '\n';
	if (write(STDERR_FILENO, line, used) < 0)
		return; /* nowhere left to report it */
}

void say_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("", format, args);
	va_end(args);
}

void say_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("warning: ", format, args);
	va_end(args);
}

void say_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("error: ", format, args);
	va_end(args);
}

void say_limited(struct say_limit *limit, const char *format, ...)
{
	struct timespec now;
	va_list args;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!limit->said || now.tv_sec - limit->window_s >= LIMIT_WINDOW_S) {
		limit->window_s = now.tv_sec;
		limit->said = 0;
	}
	if (limit->said > LIMIT_LINES)
		return;
	if (limit->said++ == LIMIT_LINES) {
		say_warn("more of these within a minute are left out");
		return;
	}
	va_start(args, format);
	say("warning: ", format, args);
	va_end(args);
}
