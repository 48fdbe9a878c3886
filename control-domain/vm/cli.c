// SPDX-License-Identifier: MIT
/*
 * Options by getopt_long, from tables; the same tables write the help.
 */
#include "cli.h"

#include <ctype.h>
#include <getopt.h>
#include <string.h>

static const struct cli_option common_options[] = {
	{"help", 'h', NULL, NULL}, /* one line for both: cli_help() */
	{"json", 0, NULL, NULL},
	{0},
};

/* Short forms of the keys that everybody sets. */
static const struct {
	const char *key;
	char letter;
} key_letters[] = {{"memory", 'm'}, {"cpus", 'c'}, {"disk", 'd'}, {"net", 'n'}};

struct option_list {
	struct cli_option list[CLI_OPTIONS_MAX];
	char names[CLI_OPTIONS_MAX][24];
	int count;
};

static void add_options(struct option_list *options, const struct cli_option *more)
{
	for (; more && more->name; more++)
		options->list[options->count++] = *more;
}

const char *cli_option_name(const struct definition_key *key, char name[24])
{
	snprintf(name, 24, "%s", key->name);
	for (char *at = name; *at; at++)
		if (*at == '_')
			*at = '-';
	return name;
}

static void add_keys(struct option_list *options)
{
	for (unsigned int i = 0; i < definition_key_count; i++) {
		const struct definition_key *key = &definition_keys[i];
		char *name = options->names[options->count];
		struct cli_option *option = &options->list[options->count++];

		cli_option_name(key, name);
		*option = (struct cli_option){.name = name, .value = key->value, .help = key->help};
		for (unsigned int l = 0; l < sizeof(key_letters) / sizeof(key_letters[0]); l++)
			if (!strcmp(key_letters[l].key, key->name))
				option->letter = key_letters[l].letter;
	}
}

static void collect(struct option_list *options, const struct cli_command *command)
{
	options->count = 0;
	if (command->takes_keys)
		add_keys(options);
	add_options(options, command->options);
	add_options(options, common_options);
}

const struct definition_key *cli_key(const char *name)
{
	char key[24];

	snprintf(key, sizeof(key), "%s", name);
	for (char *at = key; *at; at++)
		if (*at == '-')
			*at = '_';
	return definition_find_key(key);
}

bool cli_has(const struct cli_call *call, const char *name)
{
	for (int i = 0; i < call->givens; i++)
		if (!strcmp(call->given[i].name, name))
			return true;
	return false;
}

const char *cli_value(const struct cli_call *call, const char *name)
{
	for (int i = call->givens - 1; i >= 0; i--)
		if (!strcmp(call->given[i].name, name))
			return call->given[i].value;
	return NULL;
}

bool cli_has_keys(const struct cli_call *call)
{
	for (int i = 0; i < call->givens; i++)
		if (call->command->takes_keys && cli_key(call->given[i].name))
			return true;
	return false;
}

static void print_option(FILE *out, const struct cli_option *option)
{
	char left[48];

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
		 option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
		 option->value ? " " : "", option->value ? option->value : "");
	fprintf(out, "  %-27s %s\n", left, option->help);
}

void cli_help(FILE *out, const struct cli_command *command)
{
	struct option_list options;

	collect(&options, command);
	fprintf(out, "Usage: vm %s%s%s [OPTION]...\n\n%c%s.\n", command->name,
		*command->arguments ? " " : "", command->arguments, toupper(*command->help),
		command->help + 1);
	if (command->more)
		fprintf(out, "%s\n", command->more);
	for (int i = 0; i < options.count && options.list[i].help; i++)
		print_option(out, &options.list[i]);
	fprintf(out, "  -h, --help, --json          this text; answer in JSON\n");
}

static int refuse_option(const struct cli_command *command, const struct option_list *options,
			 const char *given)
{
	const char *names[CLI_OPTIONS_MAX + 1] = {NULL};
	char word[64];

	snprintf(word, sizeof(word), "%s", given + strspn(given, "-"));
	word[strcspn(word, "=")] = '\0';
	for (int i = 0; i < options->count; i++)
		names[i] = options->list[i].name;
	const char *near = units_nearest(word, names);

	if (near)
		return fail(EXIT_USAGE, "%s: %s is not an option; did you mean --%s?",
			    command->name, given, near);
	return fail(EXIT_USAGE, "%s: %s is not an option; 'vm %s --help' lists them", command->name,
		    given, command->name);
}

static int check_arguments(const struct cli_call *call)
{
	const struct cli_command *command = call->command;

	if (call->args < command->least)
		return fail(EXIT_USAGE, "%s: write 'vm %s %s'", command->name, command->name,
			    command->arguments);
	if (command->most >= 0 && call->args > command->most)
		return fail(EXIT_USAGE, "%s: '%s' is too much; write 'vm %s%s%s'", command->name,
			    call->arg[command->most], command->name, *command->arguments ? " " : "",
			    command->arguments);
	return EXIT_OK;
}

/* getopt_long's two forms of our list. */
static void prepare(const struct cli_command *command, const struct option_list *options,
		    struct option *longs, char *shorts)
{
	if (command->passes_rest)
		*shorts++ = '+';
	*shorts++ = ':';
	for (int i = 0; i < options->count; i++) {
		const struct cli_option *option = &options->list[i];

		longs[i] = (struct option){option->name, option->value ? required_argument : 0,
					   NULL, 256 + i};
		if (!option->letter)
			continue;
		*shorts++ = option->letter;
		if (option->value)
			*shorts++ = ':';
	}
	*shorts = '\0';
	longs[options->count] = (struct option){0};
}

static const struct cli_option *option_of(const struct option_list *options, int found)
{
	if (found >= 256)
		return &options->list[found - 256];
	for (int i = 0; i < options->count; i++)
		if (options->list[i].letter == found)
			return &options->list[i];
	return NULL;
}

static int parse(struct cli_call *call, const struct option_list *options, int argc, char **argv)
{
	struct option longs[CLI_OPTIONS_MAX + 1];
	char shorts[2 * CLI_OPTIONS_MAX + 3];
	int found;

	prepare(call->command, options, longs, shorts);
	opterr = 0;
	optind = 0; /* 0 makes glibc start afresh */
	while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (found == '?') {
			char letter[3] = {'-', (char)optopt, '\0'};

			return refuse_option(call->command, options,
					     optopt && optopt < 256 ? letter : argv[optind - 1]);
		}
		if (found == ':')
			return fail(EXIT_USAGE, "%s: %s wants a value; see 'vm %s --help'",
				    call->command->name, argv[optind - 1], call->command->name);
		const struct cli_option *option = option_of(options, found);

		if (call->givens == CLI_GIVEN_MAX)
			return fail(EXIT_USAGE, "%s: too many options", call->command->name);
		call->given[call->givens].name = option->name;
		call->given[call->givens++].value = optarg ? optarg : "";
	}
	call->arg = argv + optind;
	call->args = argc - optind;
	return EXIT_OK;
}

int cli_run(const struct cli_command *command, int argc, char **argv)
{
	struct cli_call call = {.command = command};
	struct option_list options;
	int code;

	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--json")) /* known before the first mistake is told */
			say_json = true;
	collect(&options, command);
	code = parse(&call, &options, argc, argv);
	if (!code && cli_has(&call, "help")) {
		cli_help(stdout, command);
		return EXIT_OK;
	}
	if (!code)
		code = check_arguments(&call);
	return code ? code : command->run(&call);
}
