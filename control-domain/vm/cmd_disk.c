// SPDX-License-Identifier: MIT
/*
 * disk: a VM's disks listed, added, removed and grown. Removing takes a disk off the VM; the file
 * stays.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "machines.h"

static struct json_object *disk_json(const struct disk *disk, unsigned int number)
{
	struct json_object *row = json_object_new_object();

	json_object_object_add(row, "number", json_object_new_int((int)number));
	json_object_object_add(row, "path", json_object_new_string(disk->path));
	json_object_object_add(row, "read_only", json_object_new_boolean(disk->read_only));
	json_object_object_add(row, "bytes", json_object_new_uint64(file_bytes(disk->path)));
	json_object_object_add(row, "used_bytes",
			       json_object_new_uint64(file_used_bytes(disk->path)));
	return row;
}

static int print_disks(const struct definition *definition)
{
	struct json_object *rows = json_object_new_array();
	char all[16], used[16];

	if (!definition->disks)
		say("It has no disk; 'vm disk NAME add 10G' makes one.");
	else
		say("NO  %6s  %6s  PATH", "SIZE", "USED");
	for (unsigned int i = 0; i < definition->disks; i++) {
		const struct disk *disk = &definition->disk[i];

		say("%2u  %6s  %6s  %s%s", i,
		    units_print_about((double)file_bytes(disk->path), all, sizeof(all)),
		    units_print_about((double)file_used_bytes(disk->path), used, sizeof(used)),
		    disk->path, disk->read_only ? " (read-only)" : "");
		json_object_array_add(rows, disk_json(disk, i));
	}
	if (say_json)
		print_json(rows);
	else
		json_object_put(rows);
	return EXIT_OK;
}

static int save_disks(const char *name, const struct definition *definition, struct reason *why)
{
	static char text[DISKS_MAX][PATH_BYTES + 8];
	const char *values[DISKS_MAX];
	const struct definition_key *key = definition_find_key("disk");

	for (unsigned int i = 0; i < definition->disks; i++)
		values[i] = key->get(definition, i, text[i], sizeof(text[i]));
	return store_change(name, &(struct change){"disk", values, definition->disks}, 1, why);
}

static const char *later(const char *name)
{
	return runtime_pid(name) ? "; it runs, so this takes effect at its next start" : "";
}

static int add(const char *name, struct definition *definition, const char *what)
{
	struct reason why;

	if (machine_option(name, definition_find_key("disk"), what, definition, true, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (machine_check_overlaps(name, definition, false, &why) ||
	    machine_make_disks(name, &why) || save_disks(name, definition, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	return machine_done(name, "'%s' has disk %s%s", name,
			    definition->disk[definition->disks - 1].path, later(name));
}

/* By number, or by path. */
static int find(const struct definition *definition, const char *what, unsigned int *number)
{
	uint64_t value;
	struct reason ignored;

	for (*number = 0; *number < definition->disks; (*number)++)
		if (!strcmp(definition->disk[*number].path, what))
			return EXIT_OK;
	if (definition->disks &&
	    !units_parse_number(what, 0, definition->disks - 1, &value, &ignored)) {
		*number = (unsigned int)value;
		return EXIT_OK;
	}
	return fail(EXIT_NOT_FOUND,
		    "it has no disk '%s'; 'vm disk NAME' lists them with their numbers", what);
}

static int take_off(const char *name, struct definition *definition, const char *what)
{
	char path[PATH_BYTES];
	unsigned int number;
	struct reason why;
	int code = find(definition, what, &number);

	if (code)
		return code;
	strcpy(path, definition->disk[number].path);
	definition->disks--;
	memmove(&definition->disk[number], &definition->disk[number + 1],
		(definition->disks - number) * sizeof(definition->disk[0]));
	if (save_disks(name, definition, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	return machine_done(name, "%s is no disk of '%s' any more; the file is kept%s", path, name,
			    later(name));
}

static int grow(const char *name, const struct definition *definition, const char *what,
		const char *size)
{
	unsigned int number;
	uint64_t bytes, old;
	char has[32];
	struct reason why;
	int code = find(definition, what, &number);

	if (code)
		return code;
	const char *path = definition->disk[number].path;
	struct stat status;

	old = file_bytes(path);
	if (units_parse_size(size, &bytes, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (runtime_pid(name))
		return fail(EXIT_STATE, "'%s' is running; 'vm stop %s' first", name, name);
	if (stat(path, &status) || !S_ISREG(status.st_mode))
		return fail(EXIT_FAILED, "%s is no file; grow it where it comes from", path);
	if (bytes < old)
		return fail(EXIT_USAGE, "%s has %s and would lose its end; disks only grow", path,
			    units_print_size(old, has, sizeof(has)));
	if (truncate(path, (off_t)bytes))
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	return machine_done(name, "%s has %s now; the guest has to grow its file system", path,
			    size);
}

int disk_main(struct cli_call *call)
{
	const char *name = call->arg[0], *verb = call->args > 1 ? call->arg[1] : "list";
	struct definition definition;
	struct reason why;
	int code;

	if (store_lock(&why))
		return fail(EXIT_FAILED, "%s", why.text);
	code = store_load(name, &definition);
	if (code)
		return code;
	if (!strcmp(verb, "list") && call->args <= 2)
		return print_disks(&definition);
	if (!strcmp(verb, "add") && call->args == 3)
		return add(name, &definition, call->arg[2]);
	if (!strcmp(verb, "remove") && call->args == 3)
		return take_off(name, &definition, call->arg[2]);
	if (!strcmp(verb, "resize") && call->args == 4)
		return grow(name, &definition, call->arg[2], call->arg[3]);
	return fail(EXIT_USAGE,
		    "disk: write 'vm disk %s', '... add SIZE|FILE', '... remove NUMBER' or "
		    "'... resize NUMBER SIZE'",
		    name);
}
