// SPDX-License-Identifier: MIT
/*
 * settings.conf: what a person may set before the first boot, in a file that any computer can edit.
 * Lines are `key = value`, `#` starts a comment line, each key at most once, lists are separated by
 * blanks. What a line gets wrong is reported with file, line and column; the other lines still
 * count, so one mistyped address does not lock its owner out.
 */
#pragma once

#include <stddef.h>

#define SETTINGS_LIST_MAX 4

struct settings {
	char host_name[64];
	char address[64]; /* ADDRESS/PREFIX or "dhcp"; empty: not said, which means DHCP */
	char gateway[64];
	char dns[SETTINGS_LIST_MAX][64];
	char ntp[SETTINGS_LIST_MAX][256];
	char password_hash[192]; /* crypt(5) */
	char control_mem[16];	 /* read by the boot loader, only checked here */
};

/** Called once per mistake; @line and @column (bytes) count from 1, 0 = the file as a whole. */
typedef void settings_error_fn(void *arg, unsigned int line, unsigned int column, const char *text);

/**
 * Read @length bytes of @text (Unix or DOS line ends, a UTF-8 mark is fine) into @out.
 * Returns the number of mistakes, each told to @report with @arg.
 */
unsigned int settings_parse(const char *text, size_t length, struct settings *out,
			    settings_error_fn *report, void *arg);
