// SPDX-License-Identifier: MIT
/*
 * delete: takes definitions away. Disks are somebody's data: they stay unless asked for by name.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machines.h"

static int confirm(struct cli_call *call, const char *name, bool disks)
{
	if (cli_has(call, "yes"))
		return EXIT_OK;
	if (!isatty(STDIN_FILENO) || say_json)
		return fail(EXIT_USAGE, "'%s' is deleted only with --yes where nobody can be asked",
			    name);
	if (!ask("Delete '%s'%s?", name, disks ? " and its disks" : ""))
		return fail(EXIT_FAILED, "'%s' is kept", name);
	return EXIT_OK;
}

static int delete_one(struct cli_call *call, const char *name)
{
	bool disks = cli_has(call, "disks");
	char folder[FILE_NAME_BYTES];
	struct reason why;
	int code;

	if (units_check_name("VM", name, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (runtime_pid(name))
		return fail(EXIT_STATE, "'%s' is running; 'vm stop %s' first", name, name);
	if (!store_exists(name)) {
		struct definition definition;

		return store_load(name, &definition);
	}
	code = confirm(call, name, disks);
	if (code)
		return code;
	if (store_lock(&why) || machine_delete(name, disks, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	store_unlock();
	if (say_json) {
		struct json_object *answer = json_object_new_object();

		json_object_object_add(answer, "deleted", json_object_new_string(name));
		print_json(answer);
		return EXIT_OK;
	}
	place(folder, "/var/lib/hornero/vms/%s", name);
	if (!disks && !access(folder, F_OK))
		say("'%s' is deleted; its disks stay in %s", name, folder);
	else
		say("'%s' is deleted", name);
	return EXIT_OK;
}

int delete_main(struct cli_call *call)
{
	int first = EXIT_OK;

	for (int i = 0; i < call->args; i++) {
		int code = delete_one(call, call->arg[i]);

		first = first ? first : code;
	}
	return first;
}
