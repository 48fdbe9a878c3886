// SPDX-License-Identifier: MIT
/*
 * Files below /etc/hornero/vms and /var/lib/hornero/images.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { IMAGES_MAX = 1000 };

static int lock_fd = -1;

int store_lock(struct reason *why)
{
	char path[FILE_NAME_BYTES];

	if (lock_fd >= 0)
		return 0;
	if (make_folder(place(path, "/run/hornero"), why))
		return -1;
	lock_fd = open(place(path, "/run/hornero/lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock_fd < 0 || flock(lock_fd, LOCK_EX))
		return reason_set(why, "%s: %s%s", path, strerror(errno),
				  errno == EACCES ? "; run vm as root" : "");
	return 0;
}

void store_unlock(void)
{
	if (lock_fd >= 0)
		close(lock_fd);
	lock_fd = -1;
}

const char *store_path(char buffer[FILE_NAME_BYTES], const char *name)
{
	return place(buffer, "/etc/hornero/vms/%s.conf", name);
}

bool store_exists(const char *name)
{
	char path[FILE_NAME_BYTES];
	struct reason ignored;

	return !units_check_name("VM", name, &ignored) && !access(store_path(path, name), F_OK);
}

static int read_definition(const char *path, struct definition *definition, struct reason *why)
{
	char *text = read_text(path, DEFINITION_FILE_MAX);
	int failed;

	if (!text)
		return reason_set(why, "%s: %s", path, strerror(errno));
	failed = definition_parse(path, text, definition, why);
	free(text);
	return failed;
}

int store_read(const char *name, struct definition *definition, struct reason *why)
{
	char path[FILE_NAME_BYTES];

	return read_definition(store_path(path, name), definition, why);
}

static const char *started_path(char buffer[FILE_NAME_BYTES], const char *name)
{
	return place(buffer, "/run/hornero/vms/%s/definition", name);
}

int store_read_started(const char *name, struct definition *definition, struct reason *why)
{
	char path[FILE_NAME_BYTES];

	if (access(started_path(path, name), F_OK)) /* started by an older `vm` */
		store_path(path, name);
	return read_definition(path, definition, why);
}

int store_write_started(const char *name, const struct definition *definition, struct reason *why)
{
	char path[FILE_NAME_BYTES];
	char *text = definition_write(definition, NULL);
	int failed = text ? write_text(started_path(path, name), text, why)
			  : reason_set(why, "out of memory");

	free(text);
	return failed;
}

static int not_found(const char *name)
{
	char **names = store_names();
	const char *near = units_nearest(name, (const char *const *)names);
	int code;

	if (near)
		code = fail(EXIT_NOT_FOUND, "there is no VM '%s'; did you mean '%s'?", name, near);
	else if (names[0])
		code = fail(EXIT_NOT_FOUND, "there is no VM '%s'; 'vm list' shows those there are",
			    name);
	else
		code = fail(EXIT_NOT_FOUND,
			    "there is no VM '%s', nor any other; 'vm create %s --image demo' makes "
			    "one",
			    name, name);
	store_free_names(names);
	return code;
}

int store_load(const char *name, struct definition *definition)
{
	struct reason why;

	if (units_check_name("VM", name, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (!store_exists(name))
		return not_found(name);
	if (store_read(name, definition, &why))
		return fail(EXIT_FAILED, "%s; 'vm edit %s' opens it", why.text, name);
	return EXIT_OK;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **store_folder_names(const char *folder, const char *suffix)
{
	size_t count = 0, room = 16, end = strlen(suffix);
	char **names = malloc(room * sizeof(*names));
	DIR *entries = opendir(folder);
	struct dirent *entry;
	struct reason ignored;

	while (names && entries && (entry = readdir(entries))) {
		size_t length = strlen(entry->d_name);
		char *name;

		if (length <= end || strcmp(entry->d_name + length - end, suffix))
			continue;
		name = strndup(entry->d_name, length - end);
		if (!name || units_check_name("file", name, &ignored)) {
			free(name);
			continue;
		}
		if (count + 2 > room) {
			room *= 2;
			names = realloc(names, room * sizeof(*names));
			if (!names)
				break;
		}
		names[count++] = name;
	}
	if (entries)
		closedir(entries);
	if (!names)
		exit(fail(EXIT_FAILED, "out of memory"));
	qsort(names, count, sizeof(*names), compare);
	names[count] = NULL;
	return names;
}

char **store_names(void)
{
	char path[FILE_NAME_BYTES];

	return store_folder_names(place(path, "/etc/hornero/vms"), ".conf");
}

void store_free_names(char **names)
{
	for (char **name = names; *name; name++)
		free(*name);
	free(names);
}

int store_change(const char *name, const struct change *changes, unsigned int count,
		 struct reason *why)
{
	char path[FILE_NAME_BYTES];
	struct definition checked;
	char *text = read_text(store_path(path, name), DEFINITION_FILE_MAX);
	int failed;

	for (unsigned int i = 0; text && i < count; i++) {
		char *edited =
			definition_edit(text, changes[i].key, changes[i].values, changes[i].count);

		free(text);
		text = edited;
	}
	if (!text)
		failed = reason_set(why, "%s: %s", path, strerror(errno));
	else
		failed = definition_parse(path, text, &checked, why) || write_text(path, text, why);
	free(text);
	return failed ? -1 : 0;
}

/* image.conf has the form of a definition, with fewer keys. */
static int read_image_line(struct image *image, const char *folder, char *line, struct reason *why)
{
	char *key = line + strspn(line, " \t"), *equals = strchr(key, '='), *value;
	struct reason inner;

	if (!*key || *key == '#')
		return 0;
	if (!equals)
		return reason_set(why, "'%s' is no setting: write 'key = value'", key);
	value = equals + 1 + strspn(equals + 1, " \t");
	while (equals > key && strchr(" \t", equals[-1]))
		equals--;
	*equals = '\0';
	if (!strcmp(key, "version"))
		return strcmp(value, "1") ? reason_set(why, "version %s is not known", value) : 0;
	if (!strcmp(key, "kernel"))
		snprintf(image->kernel, sizeof(image->kernel), "%s/%s", folder, value);
	else if (!strcmp(key, "initrd"))
		snprintf(image->initrd, sizeof(image->initrd), "%s/%s", folder, value);
	else if (!strcmp(key, "disk"))
		snprintf(image->disk, sizeof(image->disk), "%s/%s", folder, value);
	else if (!strcmp(key, "cmdline"))
		snprintf(image->cmdline, sizeof(image->cmdline), "%s", value);
	else if (!strcmp(key, "keys"))
		image->takes_keys = !strcmp(value, "yes");
	else if (!strcmp(key, "description"))
		snprintf(image->description, sizeof(image->description), "%s", value);
	else if (!strcmp(key, "memory") || !strcmp(key, "default_memory"))
		return units_parse_size(value,
					*key == 'm' ? &image->memory_bytes
						    : &image->default_memory_bytes,
					&inner)
			       ? reason_set(why, "%s: %s", key, inner.text)
			       : 0;
	else
		return reason_set(why, "there is no key '%s'", key);
	return 0;
}

/* Shipped images lie apart, where a volume mounted on /var/lib/hornero does not hide them. */
static const char *const image_folders[] = {"/var/lib/hornero/images", "/usr/lib/hornero/images"};
#define IMAGE_FOLDERS (sizeof(image_folders) / sizeof(image_folders[0]))

static int read_image(const char *folder, struct image *image, struct reason *why)
{
	char path[FILE_NAME_BYTES + 16];
	struct reason inner;
	unsigned int number = 0;
	char *text, *rest, *line;

	snprintf(path, sizeof(path), "%s/image.conf", folder);
	text = rest = read_text(path, DEFINITION_FILE_MAX);
	if (!text)
		return reason_set(why, "%s: %s", path, strerror(errno));
	while ((line = strsep(&rest, "\n"))) {
		number++;
		if (!read_image_line(image, folder, line, &inner))
			continue;
		free(text);
		return reason_set(why, "%s:%u: %s", path, number, inner.text);
	}
	free(text);
	return 0;
}

int store_image(const char *name, struct image *image, struct reason *why)
{
	char path[FILE_NAME_BYTES];
	struct stat status;

	memset(image, 0, sizeof(*image));
	if (units_check_name("image", name, why))
		return -1;
	for (unsigned int i = 0; i < IMAGE_FOLDERS; i++) {
		place(path, "%s/%s", image_folders[i], name);
		if (!stat(path, &status) && S_ISDIR(status.st_mode))
			return read_image(path, image, why);
	}
	place(image->disk, "/var/lib/hornero/images/%s.raw", name);
	if (!access(image->disk, F_OK))
		return 0;
	return reason_set(why,
			  "there is no image '%s'; 'vm image list' shows those there are, "
			  "'vm image import FILE' adds one",
			  name);
}

/* Appends to `list` the images in one folder that it has not got yet. */
static size_t add_images(char **list, size_t count, size_t most, const char *folder)
{
	char path[FILE_NAME_BYTES + 80];
	char **names = store_folder_names(folder, "");

	for (char **name = names; *name; name++) {
		size_t length = strlen(*name), i = 0;

		snprintf(path, sizeof(path), "%s/%s/image.conf", folder, *name);
		if (length > 4 && !strcmp(*name + length - 4, ".raw"))
			(*name)[length - 4] = '\0';
		else if (access(path, F_OK))
			continue;
		while (i < count && strcmp(list[i], *name))
			i++;
		if (i == count && count < most)
			list[count++] = strdup(*name);
	}
	store_free_names(names);
	return count;
}

char **store_image_names(void)
{
	char folder[FILE_NAME_BYTES];
	char **list = calloc(IMAGES_MAX + 1, sizeof(*list));
	size_t count = 0;

	for (unsigned int i = 0; list && i < IMAGE_FOLDERS; i++)
		count = add_images(list, count, IMAGES_MAX, place(folder, "%s", image_folders[i]));
	if (!list)
		exit(fail(EXIT_FAILED, "out of memory"));
	return list;
}

bool store_is_volatile(void)
{
	char path[FILE_NAME_BYTES];
	struct statfs file_system;

	if (statfs(place(path, "/var/lib/hornero"), &file_system))
		return false;
	/* the last: a write-protected volume under memory (image/root/usr/lib/hornero/functions) */
	return file_system.f_type == TMPFS_MAGIC || file_system.f_type == RAMFS_MAGIC ||
	       file_system.f_type == OVERLAYFS_SUPER_MAGIC;
}
