// SPDX-License-Identifier: MIT
/*
 * hornero settings: reads a settings.conf and says what it means or what is wrong with it. The
 * control domain's start-up uses it with --shell; people use it before they carry a stick to a
 * machine.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "hornero.h"
#include "settings.h"

#define FILE_MAX_BYTES (64 * 1024)

static void report(void *arg, unsigned int line, unsigned int column, const char *text)
{
	if (line)
		fprintf(stderr, "%s:%u:%u: %s\n", (const char *)arg, line, column, text);
	else
		fprintf(stderr, "%s: %s\n", (const char *)arg, text);
}

static void print_one(bool shell, const char *variable, const char *key, const char *value)
{
	if (!*value)
		return;
	if (shell)
		printf("%s='%s'\n", variable, value);
	else
		printf("%s = %s\n", key, value);
}

/* @list has SETTINGS_LIST_MAX entries of @size bytes, the used ones first. */
static void print_several(bool shell, const char *variable, const char *key, const char *list,
			  size_t size)
{
	char joined[SETTINGS_LIST_MAX * 256] = "";

	for (int i = 0; i < SETTINGS_LIST_MAX && list[i * size]; i++) {
		if (i)
			strcat(joined, " ");
		strcat(joined, &list[i * size]);
	}
	print_one(shell, variable, key, joined);
}

static void print_settings(const struct settings *s, bool shell)
{
	print_one(shell, "HOST_NAME", "host_name", s->host_name);
	print_one(shell, "ADDRESS", "address", s->address);
	if (shell && *s->address)
		puts("GATEWAY=''"); /* one from another file would not fit */
	print_one(shell, "GATEWAY", "gateway", s->gateway);
	print_several(shell, "DNS", "dns", s->dns[0], sizeof(s->dns[0]));
	print_several(shell, "NTP", "ntp", s->ntp[0], sizeof(s->ntp[0]));
	if (shell)
		print_one(true, "PASSWORD_HASH", "password_hash", s->password_hash);
	else
		print_one(false, "", "password_hash", *s->password_hash ? "(set)" : "");
	print_one(shell, "CONTROL_MEM", "control_mem", s->control_mem);
}

int settings_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"shell", no_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};
	static char text[FILE_MAX_BYTES + 1];
	struct settings settings;
	bool shell = false;
	unsigned int mistakes;
	size_t length;
	FILE *file;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			puts("Usage: hornero settings [--shell] FILE\n\n"
			     "Checks a settings.conf: says what it sets, and reports each mistake with\n"
			     "file, line and column (exit code 1). --shell prints assignments for a\n"
			     "script.");
			return EXIT_OK;
		}
		if (option != 's')
			return EXIT_USAGE;
		shell = true;
	}
	if (optind + 1 != argc)
		return fail(EXIT_USAGE, "settings wants one file");
	file = fopen(argv[optind], "re");
	if (!file)
		return fail(EXIT_FAILED, "%s: %s", argv[optind], strerror(errno));
	length = fread(text, 1, sizeof(text), file);
	if (ferror(file)) {
		fclose(file);
		return fail(EXIT_FAILED, "%s: reading: %s", argv[optind], strerror(errno));
	}
	fclose(file);
	if (length > FILE_MAX_BYTES)
		return fail(EXIT_FAILED, "%s: larger than %d bytes, that is no settings file",
			    argv[optind], FILE_MAX_BYTES);
	mistakes = settings_parse(text, length, &settings, report, argv[optind]);
	print_settings(&settings, shell);
	return mistakes ? EXIT_FAILED : EXIT_OK;
}
