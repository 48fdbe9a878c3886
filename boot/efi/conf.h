// SPDX-License-Identifier: MIT
/*
 * hornero.conf, the file from which hornero.efi learns what it may boot. Pure.
 *
 *	default = hornero            # which entry starts by itself; else the first
 *	timeout = 5                  # seconds that the menu is shown; 0: no menu
 *	[hornero]                    # an entry and its name
 *	title = Hornero
 *	hypervisor = hornero.elf     # a file beside hornero.efi, or \from\the\root
 *	cmdline = loglevel=info
 *	kernel = vmlinuz
 *	kernel_cmdline = console=ttyS0 quiet
 *	initramfs = initramfs
 *	microcode = microcode
 *
 * A # starts a comment at the start of a line or after a blank. hypervisor and kernel are needed.
 * A file name that starts with a dot names a section of the one-file image (pe.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CONF_MAX_ENTRIES     9	  /* one key each in the menu */
#define CONF_MAX_TIMEOUT     3600 /* seconds */
#define CONF_DEFAULT_TIMEOUT 3
#define CONF_MAX_CMDLINE     1023 /* boot_info.h's room */
#define CONF_MAX_KERNEL_LINE 2040 /* the same, less the role word */

struct conf_entry {
	const char *name, *title; /* the title is the name if there is none */
	const char *hypervisor, *cmdline;
	const char *kernel, *kernel_cmdline;
	const char *initramfs, *microcode; /* NULL: none */
	unsigned int line;		   /* where it begins */
};

struct conf {
	struct conf_entry entries[CONF_MAX_ENTRIES];
	unsigned int n_entries, chosen; /* chosen: index of the default */
	unsigned int timeout;		/* seconds */
};

struct conf_error {
	unsigned int line, column; /* from 1 */
	const char *what;
};

/**
 * Digest @text of @bytes bytes, which must be followed by one more that may be written. Strings in
 * @out point into @text, which is changed. False: @error says where and what.
 */
bool conf_parse(char *text, size_t bytes, struct conf *out, struct conf_error *error);
