// SPDX-License-Identifier: MIT
/*
 * rename, clone, export, import: definitions with the disks that vm made for them. Disks elsewhere
 * are the owner's: they are neither copied nor moved, and a clone that would share one is refused.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "machines.h"

static const char *disk_folder(char buffer[FILE_NAME_BYTES], const char *name)
{
	return place(buffer, "/var/lib/hornero/vms/%s", name);
}

/* Whether a disk lies in @name's own folder; @base gets its name there. */
static bool is_own(const char *name, const char *path, const char **base)
{
	char folder[FILE_NAME_BYTES];
	size_t length = strlen(disk_folder(folder, name));

	if (strncmp(path, folder, length) || path[length] != '/')
		return false;
	*base = path + length + 1;
	return !strchr(*base, '/');
}

static int check_new(const char *from, const char *to, struct definition *definition)
{
	struct reason why;
	char folder[FILE_NAME_BYTES];
	int code = store_load(from, definition);

	if (code)
		return code;
	if (units_check_name("VM", to, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (runtime_pid(from))
		return fail(EXIT_STATE, "'%s' is running; 'vm stop %s' first", from, from);
	if (store_exists(to))
		return fail(EXIT_STATE, "there is a VM '%s' already; choose another name", to);
	if (!access(disk_folder(folder, to), F_OK))
		return fail(EXIT_STATE,
			    "%s has disks of an earlier '%s'; move or remove that folder first",
			    folder, to);
	return EXIT_OK;
}

/* Rewrites the text of @from for @to: paths of its own disks, and the MAC address if given. */
static int write_for(const char *from, const char *to, const struct definition *definition,
		     const char *mac, struct reason *why)
{
	static char moved[DISKS_MAX][PATH_BYTES + 16];
	const char *disks[DISKS_MAX], *base;
	char folder[FILE_NAME_BYTES], path[FILE_NAME_BYTES];
	char *text = read_text(store_path(path, from), DEFINITION_FILE_MAX), *edited = NULL;
	int failed;

	for (unsigned int i = 0; i < definition->disks; i++) {
		const struct disk *disk = &definition->disk[i];
		bool own = is_own(from, disk->path, &base);

		snprintf(moved[i], sizeof(moved[i]), "%s%s%s%s",
			 own ? disk_folder(folder, to) : disk->path, own ? "/" : "",
			 own ? base : "", disk->read_only ? ",ro" : "");
		disks[i] = moved[i];
	}
	if (text)
		edited = definition_edit(text, "disk", disks, definition->disks);
	free(text);
	text = edited ? definition_edit(edited, "mac", &mac, mac ? 1 : 0) : NULL;
	free(edited);
	failed = text ? write_text(store_path(path, to), text, why)
		      : reason_set(why, "%s: %s", path, strerror(errno));
	free(text);
	return failed;
}

int rename_main(struct cli_call *call)
{
	const char *from = call->arg[0], *to = call->arg[1];
	char old_folder[FILE_NAME_BYTES], folder[FILE_NAME_BYTES], mac[18];
	struct definition definition;
	struct reason why;
	int code;

	if (store_lock(&why))
		return fail(EXIT_FAILED, "%s", why.text);
	code = check_new(from, to, &definition);
	if (code)
		return code;
	/* The guest keeps its address: a new name would derive another one. */
	machine_mac(from, &definition, mac);
	disk_folder(old_folder, from);
	if (rename(old_folder, disk_folder(folder, to)) && errno != ENOENT)
		return fail(EXIT_FAILED, "%s: %s", old_folder, strerror(errno));
	if (write_for(from, to, &definition, mac, &why)) {
		if (rename(folder, old_folder) && errno != ENOENT)
			fprintf(stderr, "vm: its disks are in %s now\n", folder);
		return fail(EXIT_FAILED, "%s", why.text);
	}
	if (machine_delete(from, false, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	return machine_done(to, "'%s' is '%s' now", from, to);
}

static int copy_disks(const char *from, const char *to, const struct definition *definition,
		      struct reason *why)
{
	char folder[FILE_NAME_BYTES], path[FILE_NAME_BYTES + PATH_BYTES];
	const char *base;

	for (unsigned int i = 0; i < definition->disks; i++)
		if (!definition->disk[i].read_only &&
		    !is_own(from, definition->disk[i].path, &base))
			return reason_set(
				why,
				"disk %s is not one that vm made, and two VMs writing one "
				"disk destroy it: copy it yourself, and 'vm disk' adds it",
				definition->disk[i].path);
	for (unsigned int i = 0; i < definition->disks; i++) {
		if (!is_own(from, definition->disk[i].path, &base))
			continue;
		if (make_folder(disk_folder(folder, to), why))
			return -1;
		snprintf(path, sizeof(path), "%s/%s", folder, base);
		if (copy_sparse(definition->disk[i].path, path, why))
			return -1;
	}
	return 0;
}

int clone_main(struct cli_call *call)
{
	const char *from = call->arg[0], *to = call->arg[1];
	struct definition definition;
	struct reason why, ignored;
	int code;

	if (store_lock(&why))
		return fail(EXIT_FAILED, "%s", why.text);
	code = check_new(from, to, &definition);
	if (code)
		return code;
	/* Two VMs may not have one MAC address, nor publish one port. */
	if (copy_disks(from, to, &definition, &why) ||
	    write_for(from, to, &definition, NULL, &why) ||
	    store_change(to, &(struct change){.key = "publish"}, 1, &why)) {
		machine_delete(to, true, &ignored);
		return fail(EXIT_FAILED, "%s", why.text);
	}
	return machine_done(to, "'%s' is a copy of '%s'%s", to, from,
			    definition.published ? ", without its published ports" : "");
}

/* The archive: vm.conf and the disks, all in one folder. tar follows the links of a staging folder.
 */
static int stage(const char *name, const struct definition *definition, const char *folder,
		 struct reason *why)
{
	char path[FILE_NAME_BYTES + PATH_BYTES], conf[FILE_NAME_BYTES];
	const char *base;

	if (make_folder(folder, why))
		return -1;
	snprintf(path, sizeof(path), "%s/vm.conf", folder);
	if (symlink(store_path(conf, name), path))
		return reason_set(why, "%s: %s", path, strerror(errno));
	for (unsigned int i = 0; i < definition->disks; i++) {
		if (!is_own(name, definition->disk[i].path, &base))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, base);
		if (symlink(definition->disk[i].path, path))
			return reason_set(why, "%s: %s", path, strerror(errno));
	}
	return 0;
}

static void remove_stage(const char *folder)
{
	char path[2 * FILE_NAME_BYTES];
	DIR *entries = opendir(folder);
	struct dirent *entry;

	while (entries && (entry = readdir(entries))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		unlink(path);
	}
	if (entries)
		closedir(entries);
	rmdir(folder);
}

int export_main(struct cli_call *call)
{
	const char *name = call->arg[0], *file = call->arg[1];
	char folder[FILE_NAME_BYTES];
	const char *const tar[] = {"tar", "-chzf", file, "-C", folder, ".", NULL};
	struct definition definition;
	struct reason why;
	int code = store_load(name, &definition);

	if (code)
		return code;
	if (runtime_pid(name))
		return fail(EXIT_STATE, "'%s' is running; 'vm stop %s' first", name, name);
	if (!access(file, F_OK))
		return fail(EXIT_FAILED, "%s exists already; choose another name", file);
	place(folder, "/run/hornero/export.%d", (int)getpid());
	say("writing %s ...", file);
	if (stage(name, &definition, folder, &why) || run_program(tar, &why)) {
		unlink(file);
		code = fail(EXIT_FAILED, "%s: %s", file, why.text);
	}
	remove_stage(folder);
	return code ? code : machine_done(name, "'%s' is in %s", name, file);
}

/* Whoever made the archive is not trusted: plain files, each once, nothing outside. */
static int check_archive(const char *file, struct reason *why)
{
	static char listing[16384];
	const char *const tar[] = {"tar", "-tzf", file, NULL};
	char *rest = listing, *line, *seen[DISKS_MAX + 1];
	unsigned int count = 0;
	bool has_conf = false;

	if (run_and_read(tar, listing, sizeof(listing), why))
		return -1;
	while ((line = strsep(&rest, "\n"))) {
		struct reason ignored;

		line += !strncmp(line, "./", 2) ? 2 : 0;
		if (!*line)
			continue;
		for (unsigned int i = 0; i < count; i++)
			if (!strcmp(seen[i], line))
				return reason_set(why, "'%s' is in it twice", line);
		if (count == DISKS_MAX + 1 || units_check_name("file", line, &ignored))
			return reason_set(why, "'%.60s' does not belong into an exported VM", line);
		seen[count++] = line;
		has_conf = has_conf || !strcmp(line, "vm.conf");
	}
	return has_conf ? 0 : reason_set(why, "it has no vm.conf; was it made by 'vm export'?");
}

static int check_extracted(const char *folder, struct reason *why)
{
	char path[2 * FILE_NAME_BYTES];
	DIR *entries = opendir(folder);
	struct dirent *entry;
	struct stat status;
	int failed = 0;

	while (!failed && entries && (entry = readdir(entries))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (lstat(path, &status) || !S_ISREG(status.st_mode) || status.st_nlink != 1)
			failed = reason_set(why, "'%s' is no plain file", entry->d_name);
	}
	if (entries)
		closedir(entries);
	return failed;
}

/* vm.conf names the disks where they were: those that came along are here now. */
static int adopt(const char *name, const char *folder, struct reason *why)
{
	static char moved[DISKS_MAX][PATH_BYTES + 16];
	char conf[FILE_NAME_BYTES + 16], path[FILE_NAME_BYTES + PATH_BYTES];
	const char *disks[DISKS_MAX];
	struct definition definition;
	char *text, *edited = NULL;
	int failed;

	snprintf(conf, sizeof(conf), "%s/vm.conf", folder);
	text = read_text(conf, DEFINITION_FILE_MAX);
	failed = text ? definition_parse("vm.conf", text, &definition, why)
		      : reason_set(why, "vm.conf: %s", strerror(errno));
	for (unsigned int i = 0; !failed && i < definition.disks; i++) {
		const struct disk *disk = &definition.disk[i];
		const char *base = strrchr(disk->path, '/') + 1;

		snprintf(path, sizeof(path), "%s/%s", folder, base);
		snprintf(moved[i], sizeof(moved[i]), "%s%s", access(path, F_OK) ? disk->path : path,
			 disk->read_only ? ",ro" : "");
		disks[i] = moved[i];
	}
	if (!failed)
		edited = definition_edit(text, "disk", disks, definition.disks);
	if (!failed && !edited)
		failed = reason_set(why, "out of memory");
	if (!failed)
		failed = make_folder(place(path, "/etc/hornero/vms"), why) ||
			 write_text(store_path(path, name), edited, why);
	free(text);
	free(edited);
	unlink(conf);
	rmdir(folder); /* only if no disk came along */
	return failed;
}

/* Where it came from it may still be: then the copy gets a MAC address of its own, and no ports. */
static int settle(const char *name, bool *changed, struct reason *why)
{
	const struct change changes[] = {{.key = "mac"}, {.key = "publish"}};
	struct definition definition;

	*changed = false;
	if (store_read(name, &definition, why))
		return -1;
	if (!machine_check_overlaps(name, &definition, false, why))
		return 0;
	*changed = true;
	if (store_change(name, changes, 2, why) || store_read(name, &definition, why))
		return -1;
	return machine_check_overlaps(name, &definition, false, why);
}

int import_main(struct cli_call *call)
{
	const char *file = call->arg[0], *name = call->arg[1];
	char folder[FILE_NAME_BYTES];
	const char *const tar[] = {"tar", "-xzf", file, "-C", folder, NULL};
	struct reason why, ignored;
	bool changed;

	if (units_check_name("VM", name, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (access(file, R_OK))
		return fail(EXIT_FAILED, "%s: %s", file, strerror(errno));
	if (store_lock(&why) || check_archive(file, &why))
		return fail(EXIT_FAILED, "%s: %s", file, why.text);
	if (store_exists(name) || !access(disk_folder(folder, name), F_OK))
		return fail(EXIT_STATE,
			    "there is a VM '%s' already, or disks of one in %s; choose "
			    "another name",
			    name, disk_folder(folder, name));
	say("reading %s ...", file);
	if (make_folder(folder, &why) || run_program(tar, &why) || check_extracted(folder, &why) ||
	    adopt(name, folder, &why) || settle(name, &changed, &why)) {
		machine_delete(name, true, &ignored);
		return fail(EXIT_FAILED, "%s: %s", file, why.text);
	}
	return machine_done(name, "'%s' is defined%s; 'vm start %s' starts it", name,
			    changed ? ", with a MAC address of its own and no published ports, for "
				      "another VM has them"
				    : "",
			    name);
}
