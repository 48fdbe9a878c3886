// SPDX-License-Identifier: MIT
/*
 * create and run: from options to a definition. All is checked before the first file is written;
 * what fails later is taken back.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "machines.h"

/* Disks that are to be made once everything is checked. */
static struct {
	char path[PATH_BYTES];
	uint64_t bytes;
	char from[FILE_NAME_BYTES]; /* an image to copy, or "" */
} new_disks[DISKS_MAX];
static unsigned int new_disk_count;

static bool names_file(const struct definition_key *key)
{
	return !strcmp(key->name, "kernel") || !strcmp(key->name, "initrd") ||
	       !strcmp(key->name, "disk") || !strcmp(key->name, "cloud_init");
}

/* "10G" becomes a new disk of the VM. */
static int announce_disk(const char *name, const char *size_text, char path[PATH_BYTES],
			 struct reason *why)
{
	char full[FILE_NAME_BYTES];
	uint64_t bytes;
	unsigned int number = 0;

	if (units_parse_size(size_text, &bytes, why))
		return -1;
	if (bytes < MIB || bytes > 64 * 1024 * GIB)
		return reason_set(why, "'%s' is not from 1M to 64T", size_text);
	do
		place(full, "/var/lib/hornero/vms/%s/disk%u.raw", name, new_disk_count + number++);
	while (!access(full, F_OK) && number < 100);
	if (strlen(full) >= PATH_BYTES || number == 100)
		return reason_set(why, "%s: the path is too long, or taken", full);
	strcpy(path, full);
	strcpy(new_disks[new_disk_count].path, full);
	new_disks[new_disk_count++].bytes = bytes;
	return 0;
}

/* A disk image becomes the first disk, and the VM needs the image no more. */
static int announce_copy(const char *name, const char *image, struct definition *definition,
			 struct reason *why)
{
	struct disk disk = {.read_only = false};

	if (definition->disks == DISKS_MAX)
		return reason_set(why, "image '%s' is a disk, and there are %d others already",
				  definition->image, DISKS_MAX);
	if (announce_disk(name, "1M", disk.path, why))
		return -1;
	strcpy(new_disks[new_disk_count - 1].from, image);
	memmove(&definition->disk[1], &definition->disk[0],
		definition->disks * sizeof(definition->disk[0]));
	definition->disk[0] = disk;
	definition->disks++;
	*definition->image = '\0';
	return 0;
}

static int absolute(const char *value, char *out, size_t size, struct reason *why)
{
	char given[PATH_MAX], real[PATH_MAX];
	size_t length = strcspn(value, ",");

	snprintf(given, sizeof(given), "%.*s", (int)length, value);
	if (!realpath(given, real))
		return reason_set(why, "'%s': %s", given,
				  errno == ENOENT ? "there is no such file" : strerror(errno));
	if ((size_t)snprintf(out, size, "%s%s", real, value + length) >= size)
		return reason_set(why, "'%.60s...' is too long", real);
	return 0;
}

int machine_option(const char *name, const struct definition_key *key, const char *value,
		   struct definition *definition, bool make_disk, struct reason *why)
{
	char changed[PATH_BYTES + 16], path[PATH_BYTES], option[24];
	struct reason inner;
	int failed = 0;

	if (!*value)
		failed = reason_set(&inner, "the value is empty");
	if (!failed && !strcmp(key->name, "disk") && isdigit((unsigned char)*value) &&
	    !strchr(value, '/') && access(value, F_OK)) {
		failed = make_disk ? announce_disk(name, value, path, &inner)
				   : reason_set(&inner, "'%s': 'vm disk %s add %s' makes a disk",
						value, name, value);
		value = path;
	} else if (!failed && names_file(key) && strcmp(value, "none")) {
		failed = absolute(value, changed, sizeof(changed), &inner);
		value = changed;
	}
	if (!failed)
		failed = key->set(definition, value, &inner);
	if (!failed)
		return 0;
	return reason_set(why, "--%s: %s", cli_option_name(key, option), inner.text);
}

static void remove_new_disks(const char *name)
{
	char folder[FILE_NAME_BYTES];

	for (unsigned int i = 0; i < new_disk_count; i++)
		unlink(new_disks[i].path);
	rmdir(place(folder, "/var/lib/hornero/vms/%s", name)); /* only if it is empty */
}

static int make_disk(const char *path, uint64_t bytes, const char *from, struct reason *why)
{
	int fd, failed;

	if (*from)
		return copy_sparse(from, path, why);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	failed = fd < 0 || ftruncate(fd, (off_t)bytes);
	if (failed)
		reason_set(why, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return failed ? -1 : 0;
}

int machine_make_disks(const char *name, struct reason *why)
{
	char folder[FILE_NAME_BYTES];

	if (new_disk_count && make_folder(place(folder, "/var/lib/hornero/vms/%s", name), why))
		return -1;
	for (unsigned int i = 0; i < new_disk_count; i++) {
		if (!access(new_disks[i].path, F_OK))
			return reason_set(why,
					  "%s: it exists already, from a VM of that name; take it "
					  "by --disk FILE, or remove it",
					  new_disks[i].path);
		if (make_disk(new_disks[i].path, new_disks[i].bytes, new_disks[i].from, why)) {
			remove_new_disks(name);
			return -1;
		}
	}
	return 0;
}

static int take_options(struct cli_call *call, const char *name, const char *image,
			struct definition *definition, struct reason *why)
{
	struct reason ignored;
	struct image found;

	definition_defaults(definition);
	if (image)
		snprintf(definition->image, sizeof(definition->image), "%s", image);
	for (int i = 0; i < call->givens; i++) {
		const struct definition_key *key = cli_key(call->given[i].name);

		if (key && machine_option(name, key, call->given[i].value, definition, true, why))
			return -1;
	}
	if (!*definition->image || store_image(definition->image, &found, &ignored))
		return 0;
	if (!cli_has(call, "memory") && found.default_memory_bytes)
		definition->memory_bytes = found.default_memory_bytes;
	return *found.disk && !*found.kernel && !*definition->kernel
		       ? announce_copy(name, found.disk, definition, why)
		       : 0;
}

static int write_definition(const char *name, const struct definition *definition,
			    struct reason *why)
{
	char path[FILE_NAME_BYTES], *text;
	int failed;

	if (make_folder(place(path, "/etc/hornero/vms"), why))
		return -1;
	text = definition_write(definition, "Keys: 'vm help create'. 'vm set' keeps comments.");
	failed = text ? write_text(store_path(path, name), text, why)
		      : reason_set(why, "out of memory");
	free(text);
	return failed;
}

/* What boots from a disk wants one with something on it. */
static int check_not_empty(const struct definition *definition, struct reason *why)
{
	unsigned int empty = 0;

	for (unsigned int i = 0; i < new_disk_count; i++)
		empty += !*new_disks[i].from;
	if (*definition->image || *definition->kernel || empty < definition->disks)
		return 0;
	return reason_set(why,
			  "nothing to boot from: a new disk is empty; set image or kernel too, or "
			  "give --disk a file that has a system on it");
}

/* Files that exist already; those announced come later. */
static int check_files(const char *name, const struct definition *definition, struct reason *why)
{
	struct boot_choice choice;
	struct image image;

	if (*definition->image && store_image(definition->image, &image, why))
		return -1;
	if ((*definition->image || *definition->kernel) &&
	    machine_boot_choice(definition, &choice, why))
		return -1;
	if (guest_check_cloud_init(definition, why) || machine_check_formats(definition, why))
		return -1;
	if (net_known(definition->net, why))
		return -1;
	return machine_check_overlaps(name, definition, false, why);
}

int machine_create(struct cli_call *call, const char *name, const char *image)
{
	struct definition definition;
	struct reason why;
	int code = EXIT_OK;

	if (units_check_name("VM", name, &why) ||
	    take_options(call, name, image, &definition, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (definition_check(&definition, &why) || check_not_empty(&definition, &why))
		return fail(EXIT_USAGE, "'%s': %s", name, why.text);
	if (store_lock(&why))
		return fail(EXIT_FAILED, "%s", why.text);
	if (store_exists(name))
		code = fail(EXIT_STATE,
			    "there is a VM '%s' already; 'vm set %s' changes it, 'vm "
			    "delete %s' removes it",
			    name, name, name);
	else if (check_files(name, &definition, &why) || machine_make_disks(name, &why))
		code = fail(EXIT_FAILED, "%s", why.text);
	else if (write_definition(name, &definition, &why)) {
		remove_new_disks(name);
		code = fail(EXIT_FAILED, "%s", why.text);
	}
	store_unlock();
	return code;
}

static const char *lost_note(void)
{
	return store_is_volatile() ? " It is lost at reboot: no volume 'hornero-data' is mounted."
				   : "";
}

int create_main(struct cli_call *call)
{
	const char *name = call->arg[0];
	int code = machine_create(call, name, NULL);

	if (code)
		return code;
	return machine_done(name, "'%s' is defined; 'vm start %s' starts it.%s", name, name,
			    lost_note());
}

/* A new VM, whose name may be an image's. */
static int run_new(struct cli_call *call, const char *name)
{
	const char *image = NULL;
	struct image found;
	struct reason why;
	char path[FILE_NAME_BYTES];
	int code;

	if (units_check_name("VM", name, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (!cli_has(call, "image") && !cli_has(call, "kernel")) {
		if (!store_image(name, &found, &why))
			image = name;
		else if (!cli_has(call, "disk"))
			return fail(
				EXIT_NOT_FOUND,
				"there is neither a VM nor an image '%s'; add --image NAME ('vm "
				"image list' shows them), --kernel FILE or --disk FILE",
				name);
	}
	code = machine_create(call, name, image);
	if (code || !cli_has(call, "rm"))
		return code;
	if (make_folder(place(path, RUNTIME_OWNERS), &why) ||
	    runtime_record(runtime_owner_path(path, name), getpid(), &why))
		return fail(EXIT_FAILED, "%s", why.text);
	return EXIT_OK;
}

static int finish_run(const char *name, bool transient)
{
	struct reason why;
	int code = machine_end_code(name);

	if (transient && machine_delete(name, true, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	return code;
}

/* As if the command had not been typed. */
static int undo(const char *name, int code)
{
	struct reason ignored;
	pid_t pid = runtime_pid(name);

	if (pid && !kill(pid, SIGKILL))
		machine_wait(name, -1);
	machine_delete(name, true, &ignored);
	return code;
}

int run_main(struct cli_call *call)
{
	const char *name = call->arg[0];
	bool fresh = !store_exists(name), ended = false;
	int code;

	if (!fresh && (cli_has_keys(call) || cli_has(call, "rm")))
		return fail(EXIT_STATE,
			    "there is a VM '%s' already: take the options away to run it as it is, "
			    "or change it with 'vm set %s'",
			    name, name);
	code = fresh ? run_new(call, name) : EXIT_OK;
	if (code)
		return code;
	if (!runtime_pid(name))
		code = machine_start(name);
	if (code)
		return fresh ? undo(name, code) : code;
	if (fresh && !cli_has(call, "rm") && *lost_note())
		fprintf(stderr, "vm: note: '%s' is new.%s\n", name, lost_note());
	if (cli_has(call, "detach") || say_json)
		return machine_done(name, "'%s' runs; 'vm console %s' attaches to it", name, name);
	code = console_attach(name, &ended);
	return code || !ended ? code : finish_run(name, cli_has(call, "rm"));
}
