// SPDX-License-Identifier: MIT
/*
 * hornero: asks the hypervisor how it is. Information, log and statistics; machines are managed by
 * `vm`, not here. This file only picks the sub-command.
 */
#include <string.h>

#include "hornero.h"

/* For scripts: no device, no driver, only CPUID. */
static int present_main(int argc, char **argv)
{
	if (argc > 1)
		return fail(EXIT_USAGE, "present takes no argument '%s'", argv[1]);
	return hypervisor_present() ? EXIT_OK : EXIT_NO_HYPERVISOR;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *text;
} commands[] = {
	{"info", info_main, "version, processors, memory; what is protected and what is trusted"},
	{"log", log_main, "the hypervisor's log; with --crash that of the last crash"},
	{"stats", stats_main, "VM exits, by reason and processor"},
	{"vms", vms_main, "all VMs and their memory, those kept without a process too"},
	{"check", check_main, "will this machine do? (before it runs the hypervisor)"},
	{"report", report_main, "one archive for a bug report"},
	{"present", present_main, "says by its exit code whether there is a hypervisor (0 or 3)"},
	{"settings", settings_main, "check a settings.conf"},
	{"boot", boot_main, "what an installed Debian starts next: with the hypervisor or without"},
};

static int usage(FILE *out, int code)
{
	fputs("Usage: hornero COMMAND [OPTION]...\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].text);
	fputs("\n'hornero COMMAND --help' tells the options. Exit codes: 0 done, 1 failed, 2 wrong usage,\n"
	      "3 not under the hypervisor, or its driver is not loaded.\n",
	      out);
	return code;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr, EXIT_USAGE);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return usage(stdout, EXIT_OK);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fail(EXIT_USAGE, "there is no command '%s'", argv[1]);
	return usage(stderr, EXIT_USAGE);
}
