// SPDX-License-Identifier: MIT
/*
 * Starting at boot, in the order of the definitions' `autostart`. Called by the control domain's
 * start-up; one VM that does not start does not keep the next from starting.
 */
#include <stdlib.h>
#include <string.h>

#include "machines.h"

struct entry {
	uint64_t order;
	const char *name;
};

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Sorted entries, to be freed; their names belong to @names. */
static struct entry *in_order(char **names, size_t *count)
{
	struct definition definition;
	struct reason ignored;
	size_t all = 0;

	while (names[all])
		all++;
	struct entry *entries = calloc(all + 1, sizeof(*entries));

	*count = 0;
	for (size_t i = 0; entries && i < all; i++)
		if (!store_read(names[i], &definition, &ignored) && definition.autostart)
			entries[(*count)++] = (struct entry){definition.autostart, names[i]};
	if (entries)
		qsort(entries, *count, sizeof(*entries), compare);
	return entries;
}

int machine_autostart(void)
{
	char **names = store_names();
	size_t count;
	struct entry *entries = in_order(names, &count);
	int first = EXIT_OK;

	for (size_t i = 0; i < count; i++) {
		int code = runtime_pid(entries[i].name) ? EXIT_OK : machine_start(entries[i].name);

		if (!code)
			machine_done(entries[i].name, "'%s' runs", entries[i].name);
		first = first ? first : code;
	}
	free(entries);
	store_free_names(names);
	return first;
}

int machine_autostart_list(void)
{
	char **names = store_names();
	size_t count;
	struct entry *entries = in_order(names, &count);
	struct json_object *rows = json_object_new_array();

	if (!count)
		say("No VM starts at boot; 'vm autostart NAME [ORDER]' makes one.");
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_new_object();

		json_object_object_add(row, "name", json_object_new_string(entries[i].name));
		json_object_object_add(row, "autostart", json_object_new_uint64(entries[i].order));
		json_object_array_add(rows, row);
		say("%4llu  %s", (unsigned long long)entries[i].order, entries[i].name);
	}
	if (say_json)
		print_json(rows);
	else
		json_object_put(rows);
	free(entries);
	store_free_names(names);
	return EXIT_OK;
}
