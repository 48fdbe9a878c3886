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

#define OPTIONS(...) ((const struct cli_option[]){__VA_ARGS__, {0}})

#define STOP_OPTIONS                                                                               \
	{"force", 'f', NULL, "kill it at once instead"},                                           \
	{                                                                                          \
		"timeout", 't', "SECONDS", "wait so long for it to power off (default 60)"         \
	}

const struct cli_command cli_commands[] = {
	{"run", "NAME", "create (if it is new), start and attach to the console", run_main, 1, 1,
	 OPTIONS({"rm", 0, NULL, "discard the VM at its end"},
		 {"detach", 0, NULL, "do not attach to its console"}),
	 .takes_keys = true,
	 .more = "A new NAME that is also an image's name boots that image: 'vm run demo'."},
	{"create", "NAME", "define a VM", create_main, 1, 1, NULL, .takes_keys = true,
	 .more = "It needs something to boot: --image, --kernel or --disk."},
	{"start", "NAME...", "start VMs", start_main, 1, -1, NULL},
	{"stop", "[NAME...]", "press the power button, wait until it is off", stop_main, 0, -1,
	 OPTIONS(STOP_OPTIONS, {"all", 'a', NULL, "all VMs that run"})},
	{"kill", "NAME...", "end VMs at once, as if the power failed", kill_main, 1, -1, NULL},
	{"restart", "NAME...", "stop, then start", restart_main, 1, -1, OPTIONS(STOP_OPTIONS)},
	{"reset", "NAME...", "press the reset button", reset_main, 1, -1, NULL},
	{"pause", "NAME...", "stop its CPUs for a while", pause_main, 1, -1, NULL},
	{"resume", "NAME...", "let a paused VM go on", resume_main, 1, -1, NULL},
	{"list", "", "all VMs with state, memory, CPUs, uptime, address", list_main, 0, 0,
	 OPTIONS({"quiet", 'q', NULL, "names only"})},
	{"show", "NAME", "everything about a VM", show_main, 1, 1, NULL},
	{"set", "NAME [KEY=VALUE...]", "change a definition", set_main, 1, -1, NULL,
	 .takes_keys = true,
	 .more = "'KEY=' brings the default back. --publish replaces all published ports;\n"
		 "'vm disk' adds disks."},
	{"edit", "NAME", "open a definition in $EDITOR (default vi)", edit_main, 1, 1, NULL},
	{"rename", "NAME NEW", "give a stopped VM another name", rename_main, 2, 2, NULL},
	{"clone", "NAME NEW", "copy a stopped VM with its disks", clone_main, 2, 2, NULL},
	{"export", "NAME FILE", "write a stopped VM and its disks to a .tar.gz", export_main, 2, 2,
	 NULL},
	{"import", "FILE NAME", "define a VM from what export wrote", import_main, 2, 2, NULL},
	{"delete", "NAME...", "delete definitions; disks stay unless --disks", delete_main, 1, -1,
	 OPTIONS({"disks", 0, NULL, "also the disks that vm made for it"},
		 {"yes", 'y', NULL, "do not ask"})},
	{"console", "NAME", "attach to the console; Ctrl-] detaches", console_main, 1, 1,
	 OPTIONS({"dump", 0, NULL, "print what it has said so far and end"})},
	{"ssh", "NAME [COMMAND...]", "log into a guest on the NAT network", ssh_main, 1, -1,
	 OPTIONS({"user", 'u', "USER", "as that user (default root)"}), .passes_rest = true},
	{"logs", "NAME", "what device model and hypervisor said of a VM", logs_main, 1, 1,
	 OPTIONS({"follow", 'f', NULL, "go on until the VM ends"},
		 {"since", 0, "TIME", "10m, 2h, 1d or 2026-01-31T12:00 (default: all)"})},
	{"top", "", "CPU, exits, memory, disk and network of what runs", top_main, 0, 0,
	 OPTIONS({"once", 0, NULL, "measure a second, print, end"},
		 {"sort", 0, "BY", "cpu (default), exits, memory, disk, net or name"})},
	{"wait", "NAME", "wait for its end; the exit code tells how", wait_main, 1, 1,
	 OPTIONS({"timeout", 't', "SECONDS", "not longer than that (default: as it takes)"})},
	{"disk", "NAME [add|remove|resize ...]", "a VM's disks", disk_main, 1, 4, NULL,
	 .more = "  vm disk NAME                     list them\n"
		 "  vm disk NAME add SIZE|FILE       a new sparse file; a file or block device\n"
		 "  vm disk NAME remove NUMBER       take it off; the file is kept\n"
		 "  vm disk NAME resize NUMBER SIZE  make it larger"},
	{"image", "[import FILE|delete NAME]", "what new VMs can be made of", image_main, 0, 2,
	 OPTIONS({"name", 0, "NAME", "import: its name (default: the file's)"},
		 {"sha256", 0, "SUM", "import: which it must have (default: any)"},
		 {"yes", 'y', NULL, "delete: do not ask"})},
	{"net", "[create NAME|confirm|delete NAME]", "networks that VMs can be on", net_main, 0, 2,
	 OPTIONS({"uplink", 0, "CARD", "create: on that card's network (default: none)"}),
	 .more = "  none    no network card\n"
		 "  nat     an address by DHCP, names, the outside through the control domain\n"
		 "  NAME    made by 'vm net create': among VMs only, or with --uplink on the\n"
		 "          network of a card, whose address moves to it; after 60 s it goes back\n"
		 "          unless confirmed"},
	{"autostart", "[NAME [ORDER|no]]", "what starts at boot, and in which order",
	 autostart_main, 0, 2, OPTIONS({"start", 0, NULL, "start it all now"})},
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

/* Short enough for a screen of 24 lines; tests/vm/test_schema.py looks that no command is missing.
 */
static const char *const overview[][2] = {
	{"run", "create if new, start and attach to the console"},
	{"create, clone, import", "define a VM: a new one, a copy, one that was exported"},
	{"show, set, edit, rename", "look at a definition, change it"},
	{"delete, export", "delete a definition; write VM and disks to a file"},
	{"start, stop, restart", "start, press the power button and wait, both"},
	{"kill, reset", "end at once, press the reset button"},
	{"pause, resume", "stop its CPUs for a while"},
	{"list, top", "what there is; what it uses, live"},
	{"console, ssh", "attach to the console (Ctrl-] detaches); log in"},
	{"logs, wait", "what was said of a VM; wait for its end"},
	{"disk, image, net", "a VM's disks, what VMs are made of, networks"},
	{"autostart", "what starts at boot, and in which order"},
};

void cli_overview(FILE *out)
{
	fputs("Usage: vm COMMAND [NAME] [OPTION]...\n\n", out);
	for (unsigned int i = 0; i < sizeof(overview) / sizeof(overview[0]); i++)
		fprintf(out, "  %-24s %s\n", overview[i][0], overview[i][1]);
	fputs("\n'vm COMMAND --help' tells options and defaults; every command takes --json.\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such VM, 4 wrong\n"
	      "state or name taken, 5 not in time, 6 the guest crashed, 7 it was killed\n"
	      "(6 and 7: run, wait). 'man vm' has more.\n",
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
	if (store_exists(name))
		return fail(EXIT_USAGE,
			    "there is no command '%s', but a VM: did you mean 'vm run %s'?", name,
			    name);
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
