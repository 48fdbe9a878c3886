// SPDX-License-Identifier: MIT
/*
 * list and show. Text and --json are made of the same rows, so the two cannot differ.
 */
#include <stdlib.h>
#include <string.h>

#include "machines.h"

static const char *string_of(struct json_object *row, const char *key, const char *none)
{
	struct json_object *value;

	return json_object_object_get_ex(row, key, &value) && value ? json_object_get_string(value)
								    : none;
}

static uint64_t number_of(struct json_object *row, const char *key, bool *known)
{
	struct json_object *value;

	*known = json_object_object_get_ex(row, key, &value) && value;
	return *known ? json_object_get_uint64(value) : 0;
}

static void print_row(const struct machine_row *row, int width)
{
	char memory[32] = "-", uptime[32] = "-", cpus[8] = "-";

	if (row->memory_bytes)
		units_print_size(row->memory_bytes, memory, sizeof(memory));
	if (row->cpus)
		snprintf(cpus, sizeof(cpus), "%u", (unsigned int)row->cpus);
	if (row->up)
		units_print_time(row->uptime_s, uptime, sizeof(uptime));
	printf("%-*s  %-8s %7s %5s  %-8s  %s\n", width, row->name, row->state, memory, cpus, uptime,
	       *row->address ? row->address : "-");
	if (row->is_broken)
		printf("    %s\n", row->why);
}

static void print_table(char **names)
{
	struct machine_row row;
	int width = 4;

	if (!*names) {
		puts("There is no VM yet. 'vm run demo' starts a small one, 'vm create --help' tells "
		     "how to define one.");
		return;
	}
	for (char **name = names; *name; name++)
		width = (int)strlen(*name) > width ? (int)strlen(*name) : width;
	printf("%-*s  %-8s %7s %5s  %-8s  %s\n", width, "NAME", "STATE", "MEMORY", "CPUS", "UPTIME",
	       "ADDRESS");
	for (char **name = names; *name; name++) {
		machine_read_row(*name, &row);
		print_row(&row, width);
	}
}

static struct json_object *list_json(char **names, bool quiet)
{
	struct json_object *rows = json_object_new_array();

	for (char **name = names; *name; name++)
		json_object_array_add(rows,
				      quiet ? json_object_new_string(*name) : machine_json(*name));
	return rows;
}

int list_main(struct cli_call *call)
{
	char **names = store_names();

	if (say_json)
		print_json(list_json(names, cli_has(call, "quiet")));
	else if (cli_has(call, "quiet"))
		for (char **name = names; *name; name++)
			puts(*name);
	else
		print_table(names);
	store_free_names(names);
	return EXIT_OK;
}

/* Values of a key: a string, an array where the key repeats, null where it is not set. */
static struct json_object *key_json(const struct definition *definition,
				    const struct definition_key *key)
{
	char buffer[DEFINITION_VALUE_BYTES];
	struct json_object *list = key->repeats ? json_object_new_array() : NULL;
	const char *value;

	for (unsigned int i = 0; (value = key->get(definition, i, buffer, sizeof(buffer))); i++) {
		if (!list)
			return json_object_new_string(value);
		json_object_array_add(list, json_object_new_string(value));
	}
	return list;
}

static struct json_object *show_json(const char *name, const struct definition *definition)
{
	struct json_object *row = machine_json(name), *keys = json_object_new_object();
	char path[FILE_NAME_BYTES], mac[18];

	for (unsigned int i = 0; i < definition_key_count; i++)
		json_object_object_add(keys, definition_keys[i].name,
				       key_json(definition, &definition_keys[i]));
	json_object_object_add(row, "effective_mac",
			       json_object_new_string(machine_mac(name, definition, mac)));
	json_object_object_add(row, "file", json_object_new_string(store_path(path, name)));
	json_object_object_add(row, "log", json_object_new_string(runtime_path(path, name, "log")));
	json_object_object_add(row, "definition", keys);
	return row;
}

static void print_show(struct json_object *row, const struct definition *definition)
{
	char buffer[DEFINITION_VALUE_BYTES], uptime[32];
	bool up;
	uint64_t seconds = number_of(row, "uptime_s", &up);
	const char *value, *why = string_of(row, "why", "");

	printf("%-12s %s\n%-12s %s", "name", string_of(row, "name", ""), "state",
	       string_of(row, "state", ""));
	if (up)
		printf(" for %s, process %s", units_print_time(seconds, uptime, sizeof(uptime)),
		       string_of(row, "pid", ""));
	else if (*why)
		printf("; it ended: %s", why);
	if (up && *why)
		printf(" (%s)", why);
	printf("\n%-12s %s\n", "address", string_of(row, "address", "-"));
	for (unsigned int i = 0; i < definition_key_count; i++)
		for (unsigned int n = 0;
		     (value = definition_keys[i].get(definition, n, buffer, sizeof(buffer))); n++)
			printf("%-12s %s\n", definition_keys[i].name, value);
	if (!*definition->mac && strcmp(definition->net, "none"))
		printf("%-12s %s\n", "mac", string_of(row, "effective_mac", ""));
	printf("%-12s %s\n%-12s %s\n", "file", string_of(row, "file", ""), "log",
	       string_of(row, "log", ""));
}

int show_main(struct cli_call *call)
{
	const char *name = call->arg[0];
	struct definition definition;
	struct json_object *row;
	int code = store_load(name, &definition);

	if (code)
		return code;
	row = show_json(name, &definition);
	if (say_json) {
		print_json(row);
		return EXIT_OK;
	}
	print_show(row, &definition);
	json_object_put(row);
	return EXIT_OK;
}
