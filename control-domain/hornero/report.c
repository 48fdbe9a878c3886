// SPDX-License-Identifier: MIT
/*
 * hornero report: everything that helps with a bug report, in one archive. What is collected is a
 * script's business (/usr/lib/hornero/report), which anybody can read before sending the result.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "hornero.h"

#define SCRIPT "/usr/lib/hornero/report"

int report_main(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option != 'h')
			return EXIT_USAGE;
		puts("Usage: hornero report [FILE]\n\n"
		     "Writes an archive (FILE.tar.gz; without FILE into /tmp) with the hypervisor's\n"
		     "information, log, crash record and statistics, and what Linux knows about the\n"
		     "machine. Keys, passwords and their hashes are left out; names, network and\n"
		     "hardware addresses are in it. Look before you send it: tar tzf FILE.");
		return EXIT_OK;
	}
	if (argc - optind > 1)
		return fail(EXIT_USAGE, "report takes one file at most");
	execl(SCRIPT, SCRIPT, argv[optind], NULL);
	return fail(EXIT_FAILED, "%s: %s", SCRIPT, strerror(errno));
}
