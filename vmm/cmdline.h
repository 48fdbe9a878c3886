// SPDX-License-Identifier: MIT
/*
 * The hypervisor's own command line: `name=value` words, each one known by the table below.
 *
 * To add an option, add a row: name, form of the value, default, what it is for. An unknown word or
 * malformed value is reported by name and the default is used. Pure: compiled into host tests.
 */
#pragma once

#include <types.h>

/* Forms: SIZE is a number with K, M or G; NUMBER a decimal number; LEVEL error|warn|info|debug or
 * 0-3; SECONDS a number or `halt`; TEXT anything. */
enum cmdline_form { OPT_SIZE, OPT_NUMBER, OPT_LEVEL, OPT_SECONDS, OPT_TEXT };

#define CMDLINE_OPTIONS(X)                                                                         \
	X(control_mem, OPT_SIZE, "", "memory of the control domain")                               \
	X(console, OPT_TEXT, "com1,screen", "com1, com2, I/O port, screen, none")                  \
	X(loglevel, OPT_LEVEL, "info", "least severe lines shown on the consoles")                 \
	X(maxcpus, OPT_NUMBER, "", "use at most so many CPUs")                                     \
	X(panic, OPT_SECONDS, "10", "seconds until the reset after a crash, or halt")              \
	X(cpu_features, OPT_TEXT, "", "tests: -name switches a processor feature off")             \
	X(cpu1_features, OPT_TEXT, "", "tests: the same for the second CPU alone")

#define CMDLINE_BYTES 1024 /* what is longer is cut off */

/** Parse @text. A word that is not taken is named in the log, with the default that is used
 * instead. */
void cmdline_parse(const char *text);

/** Value of option @name as given, or its default. Never NULL for a name of the table. */
const char *cmdline_get(const char *name);

/** Value of an OPT_SIZE (bytes) or OPT_NUMBER option; @fallback if it was not given. */
uint64_t cmdline_number(const char *name, uint64_t fallback);

/** 0-3 for an OPT_LEVEL option. */
unsigned int cmdline_level(const char *name);

/** Cut the next word off *@text, which is taken apart: words lie between any of @separators. NULL:
 * no more. */
char *cut_word(char **text, const char *separators);

/** @s, decimal or 0x..., and with K, M or G behind it if @suffix, as *@v. False: it is not that. */
bool parse_number(const char *s, bool suffix, uint64_t *v);
