// SPDX-License-Identifier: MIT
/*
 * set, edit and autostart: changes to a definition that exists. Comments and order stay. What a
 * running VM can take at once (its CPU limits) is applied at once; the rest waits for its next
 * start.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machines.h"
#include "scope.h"

/* The new definition, the keys that change, and their values as text. */
struct edit {
	struct definition definition;
	const struct definition_key *key[CLI_GIVEN_MAX];
	unsigned int keys;
};

static bool is_limit(const char *key)
{
	return !strncmp(key, "cpu_", 4) || !strcmp(key, "cpus_pin");
}

/* Forgets what @key was, so that it can be set anew. */
static void clear(struct definition *definition, const struct definition_key *key)
{
	static const struct definition none;

	if (!strcmp(key->name, "disk"))
		definition->disks = 0;
	else if (!strcmp(key->name, "publish"))
		definition->published = 0;
	else if (!strcmp(key->name, "image"))
		memcpy(definition->image, none.image, sizeof(none.image));
	else if (!strcmp(key->name, "kernel"))
		memcpy(definition->kernel, none.kernel, sizeof(none.kernel));
	else if (!strcmp(key->name, "initrd"))
		memcpy(definition->initrd, none.initrd, sizeof(none.initrd));
	else if (!strcmp(key->name, "cmdline"))
		memcpy(definition->cmdline, none.cmdline, sizeof(none.cmdline));
	else if (!strcmp(key->name, "boot"))
		definition->boot_disk = false;
	else if (!strcmp(key->name, "cloud_init"))
		memcpy(definition->cloud_init, none.cloud_init, sizeof(none.cloud_init));
	else if (!strcmp(key->name, "mac"))
		memcpy(definition->mac, none.mac, sizeof(none.mac));
	else if (!strcmp(key->name, "cpus_pin"))
		memcpy(definition->cpus_pin, none.cpus_pin, sizeof(none.cpus_pin));
	else if (!strcmp(key->name, "cpu_weight"))
		definition->cpu_weight = 0;
	else if (!strcmp(key->name, "cpu_max"))
		definition->cpu_max = 0;
	else if (!strcmp(key->name, "autostart"))
		definition->autostart = 0;
}

static int change_key(struct edit *edit, const char *name, const struct definition_key *key,
		      const char *value, struct reason *why)
{
	struct definition defaults;
	char buffer[DEFINITION_VALUE_BYTES];
	bool first = true;

	for (unsigned int i = 0; i < edit->keys; i++)
		first = first && edit->key[i] != key;
	if (first) {
		clear(&edit->definition, key);
		edit->key[edit->keys++] = key;
	}
	if (*value)
		return machine_option(name, key, value, &edit->definition, false, why);
	definition_defaults(&defaults);
	value = key->get(&defaults, 0, buffer, sizeof(buffer));
	return value ? key->set(&edit->definition, value, why) : 0;
}

/* "key=value" beside options; nothing after '=' means the default. */
static int change_word(struct edit *edit, const char *name, const char *word, struct reason *why)
{
	const char *equals = strchr(word, '=');
	struct definition scratch;
	char key[32];

	if (!equals)
		return reason_set(why, "'%s': write an option or key=value, such as memory=1G",
				  word);
	snprintf(key, sizeof(key), "%.*s", (int)(equals - word), word);
	for (char *at = key; *at; at++)
		*at = *at == '-' ? '_' : *at;
	if (!definition_find_key(key))
		return definition_set(&scratch, key, "x", why); /* says what is near */
	return change_key(edit, name, definition_find_key(key), equals + 1, why);
}

static int save(const char *name, struct edit *edit, struct reason *why)
{
	static char text[CLI_GIVEN_MAX][DEFINITION_VALUE_BYTES];
	static const char *values[CLI_GIVEN_MAX];
	struct change changes[CLI_GIVEN_MAX];
	struct definition defaults;
	char plain[DEFINITION_VALUE_BYTES];
	unsigned int used = 0;

	definition_defaults(&defaults);
	for (unsigned int i = 0; i < edit->keys; i++) {
		const struct definition_key *key = edit->key[i];
		const char *value, *usual = key->get(&defaults, 0, plain, sizeof(plain));

		changes[i] = (struct change){.key = key->name, .values = &values[used]};
		for (unsigned int n = 0;
		     used < CLI_GIVEN_MAX &&
		     (value = key->get(&edit->definition, n, text[used], sizeof(text[0])));
		     n++) {
			if (usual && !strcmp(value, usual)) /* defaults need no line */
				continue;
			values[used++] = value;
			changes[i].count++;
		}
		/* Values may point into the definition, which stays where it is. */
	}
	return store_change(name, changes, edit->keys, why);
}

static const char *apply_now(const char *name, const struct edit *edit)
{
	bool later = false;
	struct reason why;

	if (!runtime_pid(name))
		return "";
	for (unsigned int i = 0; i < edit->keys; i++)
		later = later ||
			(!is_limit(edit->key[i]->name) && strcmp(edit->key[i]->name, "autostart"));
	if (scope_runs() ? scope_apply(name, &edit->definition, &why)
			 : cgroup_apply(name, &edit->definition, 0, &why))
		fprintf(stderr, "vm: note: CPU limits are not in effect: %s\n", why.text);
	return later ? "; it runs, so this takes effect at its next start" : "";
}

static int collect(struct cli_call *call, const char *name, struct edit *edit, struct reason *why)
{
	for (int i = 0; i < call->givens; i++) {
		const struct definition_key *key = cli_key(call->given[i].name);

		if (key && change_key(edit, name, key, call->given[i].value, why))
			return -1;
	}
	for (int i = 1; i < call->args; i++)
		if (change_word(edit, name, call->arg[i], why))
			return -1;
	if (!edit->keys)
		return reason_set(why,
				  "set: nothing to change; 'vm set --help' lists what there is");
	return definition_check(&edit->definition, why);
}

static bool changes(const struct edit *edit, const char *key)
{
	for (unsigned int i = 0; i < edit->keys; i++)
		if (!strcmp(edit->key[i]->name, key))
			return true;
	return false;
}

int set_main(struct cli_call *call)
{
	const char *name = call->arg[0];
	static struct edit edit;
	struct reason why;
	int code;

	if (store_lock(&why))
		return fail(EXIT_FAILED, "%s", why.text);
	code = store_load(name, &edit.definition);
	if (code)
		return code;
	if (collect(call, name, &edit, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if ((changes(&edit, "net") && net_known(edit.definition.net, &why)) ||
	    machine_check_overlaps(name, &edit.definition, false, &why) || save(name, &edit, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	return machine_done(name, "'%s' is changed%s", name, apply_now(name, &edit));
}

int autostart_main(struct cli_call *call)
{
	const char *value = call->args > 1 ? call->arg[1] : NULL;
	struct definition definition;
	struct reason why;
	int code;

	if (cli_has(call, "start"))
		return machine_autostart();
	if (!call->args)
		return machine_autostart_list();
	code = store_load(call->arg[0], &definition);
	if (code)
		return code;
	value = value ? value : "100";
	definition.autostart = 0;
	if (definition_set(&definition, "autostart", value, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	struct change change = {"autostart", &value, definition.autostart ? 1 : 0};

	if (store_lock(&why) || store_change(call->arg[0], &change, 1, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	return machine_done(call->arg[0],
			    definition.autostart ? "'%s' starts at boot, as number %s"
						 : "'%s' does not start at boot%.0s",
			    call->arg[0], value);
}

static int run_editor(const char *path)
{
	const char *editor = getenv("VISUAL");
	char line[PATH_BYTES];
	int status;
	pid_t child;

	if (!editor || !*editor)
		editor = getenv("EDITOR");
	if (!editor || !*editor)
		editor = "vi";
	snprintf(line, sizeof(line), "%s \"$1\"", editor); /* it may have options, quotes and all */
	child = fork();
	if (!child) {
		execlp("sh", "sh", "-c", line, "sh", path, (char *)NULL);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
			       !WEXITSTATUS(status)
		       ? 0
		       : fail(EXIT_FAILED,
			      "the editor '%s' did not end well; set EDITOR to another", editor);
}

/* What the editor is given: the definition, or what an earlier `vm edit` could not use. */
static int begin_edit(const char *path, const char *copy, struct reason *why)
{
	char *text;
	int failed;

	if (!access(copy, F_OK)) {
		fprintf(stderr, "vm: note: going on with %s; delete it to start afresh\n", copy);
		return 0;
	}
	text = read_text(path, DEFINITION_FILE_MAX);
	failed = text ? write_text(copy, text, why)
		      : reason_set(why, "%s: %s", path, strerror(errno));
	free(text);
	return failed;
}

/* Reads the edited text and checks it as `vm set` does. The text, or NULL with @why. */
static char *read_edited(const char *name, const char *path, const char *copy, struct reason *why)
{
	char *text = read_text(copy, DEFINITION_FILE_MAX);
	struct definition checked;

	if (!text)
		reason_set(why, "%s: %s", copy, strerror(errno));
	else if (!definition_parse(path, text, &checked, why) && !net_known(checked.net, why) &&
		 !machine_check_overlaps(name, &checked, false, why))
		return text;
	free(text);
	return NULL;
}

/* Unless the definition has changed since @before, by `vm set` in another shell. */
static int finish_edit(const char *name, const char *path, const char *before, const char *text,
		       struct reason *why)
{
	char *now;
	int failed = store_lock(why);

	if (failed)
		return failed;
	now = read_text(path, DEFINITION_FILE_MAX);
	if (!now || strcmp(now, before))
		failed = reason_set(why, "'%s' has changed or gone while it was edited", name);
	else
		failed = write_text(path, text, why);
	free(now);
	store_unlock();
	return failed;
}

int edit_main(struct cli_call *call)
{
	const char *name = call->arg[0];
	char path[FILE_NAME_BYTES], copy[FILE_NAME_BYTES + 16], *before, *text = NULL;
	struct definition checked;
	struct reason why;
	int code = EXIT_OK;

	if (!store_exists(name)) /* a broken one is what one wants to edit */
		return store_load(name, &checked);
	before = read_text(store_path(path, name), DEFINITION_FILE_MAX);
	snprintf(copy, sizeof(copy), "%s.edit", path);
	if (!before || begin_edit(path, copy, &why))
		code = fail(EXIT_FAILED, "%s: %s", path, before ? why.text : strerror(errno));
	while (!code && !(code = run_editor(copy))) {
		text = read_edited(name, path, copy, &why);
		if (text)
			break;
		fprintf(stderr, "vm: %s\n", why.text);
		if (!ask("Edit again?"))
			code = fail(
				EXIT_FAILED,
				"'%s' is unchanged; what was written is in %s, and 'vm edit %s' "
				"goes on with it",
				name, copy, name);
	}
	if (!code && finish_edit(name, path, before, text, &why))
		code = fail(EXIT_FAILED, "%s; what was written is in %s", why.text, copy);
	free(before);
	free(text);
	if (code)
		return code;
	unlink(copy);
	return machine_done(name, "'%s' is changed%s", name,
			    runtime_pid(name) ? "; it runs, so this takes effect at its next start"
					      : "");
}
