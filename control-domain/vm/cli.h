// SPDX-License-Identifier: MIT
/*
 * Commands, their options and their help, from one table (main.c). An option that sets a key of
 * the definition is made from definition_keys: `cpu_weight` becomes --cpu-weight.
 *
 * Read next: main.c.
 */
#pragma once

#include <stdbool.h>

#include "definition.h"
#include "vm.h"

enum { CLI_OPTIONS_MAX = 48, CLI_GIVEN_MAX = 64 };

struct cli_option {
	const char *name;
	char letter;	   /* or 0 */
	const char *value; /* placeholder, NULL for a switch */
	const char *help;
};

struct cli_call;

struct cli_command {
	const char *name;
	const char *arguments; /* as help shows them */
	const char *help;
	int (*run)(struct cli_call *call);
	int least, most;		  /* number of arguments; most -1: any */
	const struct cli_option *options; /* ends with an entry without name */
	bool takes_keys;		  /* also the options made from definition_keys */
	bool passes_rest;		  /* after the first argument all is the command's */
	const char *more;		  /* paragraph for --help, or NULL */
};

/** The option that sets a key: with '-' where the key has '_'. Returns @name. */
const char *cli_option_name(const struct definition_key *key, char name[24]);

struct cli_call {
	const struct cli_command *command;
	struct {
		const char *name, *value;
	} given[CLI_GIVEN_MAX];
	int givens;
	char **arg;
	int args;
};

extern const struct cli_command cli_commands[];

/** The command of that name or alias, or NULL. */
const struct cli_command *cli_find(const char *name);

/** All aliases, "ALIAS=COMMAND", NULL-terminated. */
extern const char *const cli_aliases[];

/** Parse argv[1...] for @command (argv[0] is its name) and run it. Returns an exit code. */
int cli_run(const struct cli_command *command, int argc, char **argv);

/** Whether a switch or option was given. */
bool cli_has(const struct cli_call *call, const char *name);

/** The value given last, or NULL. */
const char *cli_value(const struct cli_call *call, const char *name);

/** True if an option that sets a definition key was given. */
bool cli_has_keys(const struct cli_call *call);

/** The key that option @name sets, or NULL. */
const struct definition_key *cli_key(const char *name);

/** Print help of one command, or the list of commands. */
void cli_help(FILE *out, const struct cli_command *command);
void cli_overview(FILE *out);
