// SPDX-License-Identifier: MIT
/*
 * vm: manages virtual machines. This file is the table of commands, with their options and what
 * help says of them; what each does is in a file of its own (cmd_*.c, console.c).
 *
 * There is no daemon: every command reads the files named in vm.h, asks the VMs' own processes, and
 * ends. Read next: vm.h.
 */
#include <string.h>

#include "machines.h"

static const struct cli_option run_options[] = {{"rm", 0, NULL, "discard the VM at its end"},
						{"detach", 0, NULL, "do not attach to its console"},
						{0}};
static const struct cli_option stop_options[] = {
	{"force", 'f', NULL, "kill it at once instead"},
	{"timeout", 't', "SECONDS", "wait so long for it to power off (default 60)"},
	{"all", 'a', NULL, "all VMs that run"},
	{0}};
static const struct cli_option console_options[] = {
	{"dump", 0, NULL, "print what it has said so far and end"}, {0}};
static const struct cli_option delete_options[] = {
	{"disks", 0, NULL, "also the disks that vm made for it"},
	{"yes", 'y', NULL, "do not ask"},
	{0}};
static const struct cli_option list_options[] = {{"quiet", 'q', NULL, "names only"}, {0}};

const struct cli_command cli_commands[] = {
	{"run", "NAME", "create (if it is new), start and attach to the console", run_main, 1, 1,
	 run_options, .takes_keys = true,
	 .more = "A new NAME that is also an image's name boots that image: 'vm run demo'."},
	{"create", "NAME", "define a VM", create_main, 1, 1, NULL, .takes_keys = true,
	 .more = "It needs something to boot: --image, --kernel or --disk."},
	{"start", "NAME...", "start VMs", start_main, 1, -1, NULL},
	{"stop", "[NAME...]", "press the power button, wait until it is off", stop_main, 0, -1,
	 stop_options},
	{"kill", "NAME...", "end VMs at once, as if the power failed", kill_main, 1, -1, NULL},
	{"list", "", "all VMs with state, memory, CPUs, uptime, address", list_main, 0, 0,
	 list_options},
	{"show", "NAME", "everything about a VM", show_main, 1, 1, NULL},
	{"console", "NAME", "attach to the console; Ctrl-] detaches", console_main, 1, 1,
	 console_options},
	{"delete", "NAME...", "delete definitions; disks stay unless --disks", delete_main, 1, -1,
	 delete_options},
	{0}};

/* What people's fingers know from elsewhere. */
const char *const cli_aliases[] = {"ls=list",
				   "ps=list",
				   "rm=delete",
				   "remove=delete",
				   "info=show",
				   "shutdown=stop",
				   "reboot=restart",
				   "attach=console",
				   "define=create",
				   "undefine=delete",
				   NULL};

const struct cli_command *cli_find(const char *name)
{
	size_t length = strlen(name);

	for (const char *const *alias = cli_aliases; *alias; alias++)
		if (!strncmp(*alias, name, length) && (*alias)[length] == '=')
			name = *alias + length + 1;
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

void cli_overview(FILE *out)
{
	fputs("Usage: vm COMMAND [NAME] [OPTION]...\n\n", out);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		fprintf(out, "  %-10s %s\n", command->name, command->help);
	fputs("\n'vm COMMAND --help' tells options and defaults; every command takes --json.\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such VM, 4 wrong state or name taken,\n"
	      "5 not in time, 6 the guest crashed, 7 it was killed (6 and 7: run, wait).\n",
	      out);
}

static int unknown(const char *name)
{
	const char *names[64] = {NULL};
	int count = 0;

	for (const struct cli_command *command = cli_commands; command->name && count < 63;)
		names[count++] = command++->name;
	const char *near = units_nearest(name, names);

	if (near)
		return fail(EXIT_USAGE, "there is no command '%s'; did you mean 'vm %s'?", name,
			    near);
	return fail(EXIT_USAGE, "there is no command '%s'; 'vm --help' lists them", name);
}

int main(int argc, char **argv)
{
	const struct cli_command *command;

	if (argc < 2) {
		cli_overview(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") && argc > 2) {
		command = cli_find(argv[2]);
		if (command)
			cli_help(stdout, command);
		return command ? EXIT_OK : unknown(argv[2]);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		cli_overview(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "destroy")) /* virsh: end at once; docker and others: delete */
		return fail(
			EXIT_USAGE,
			"destroy means two things: 'vm kill %s' ends the VM at once and keeps it "
			"defined, 'vm delete %s' removes its definition",
			argc > 2 ? argv[2] : "NAME", argc > 2 ? argv[2] : "NAME");
	command = cli_find(argv[1]);
	if (!command)
		return unknown(argv[1]);
	machine_reap();
	return cli_run(command, argc - 1, argv + 1);
}
