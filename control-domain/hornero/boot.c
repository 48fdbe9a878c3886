// SPDX-License-Identifier: MIT
/*
 * hornero boot: what an installed Debian starts next. The boot loader's files are a script's
 * business (control-domain/package/bootloader); the control domain's own image has none, as its
 * menu has but one system.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hornero.h"

#define SCRIPT "/usr/lib/hornero/bootloader"

int boot_main(int argc, char **argv)
{
	(void)argc;
	argv[0] = SCRIPT;
	execv(SCRIPT, argv);
	if (errno == ENOENT)
		return fail(
			EXIT_FAILED,
			"boot is for an installed Debian: %s is missing (package hornero-tools)",
			SCRIPT);
	return fail(EXIT_FAILED, "%s: %s", SCRIPT, strerror(errno));
}
