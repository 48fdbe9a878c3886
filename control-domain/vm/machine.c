// SPDX-License-Identifier: MIT
/*
 * A VM as a row: what `list`, `show` and every command's JSON say about it; its end; its removal.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machines.h"

enum { LEASES_MAX_BYTES = 1 << 20 };

const char *machine_mac(const char *name, const struct definition *definition, char text[18])
{
	uint8_t mac[6];

	units_derive_mac(name, 0, mac);
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
	if (*definition->mac)
		snprintf(text, 18, "%s", definition->mac);
	return text;
}

/* The address in dnsmasq's leases, lines of "EXPIRY MAC ADDRESS HOSTNAME CLIENT-ID"; the last. */
static void find_lease(const char *leases, const char *mac, char *buffer, size_t size)
{
	size_t length = strlen(mac);

	*buffer = '\0';
	for (const char *line = leases; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		const char *at = line + strcspn(line, " \n");

		if (*at != ' ' || strncasecmp(at + 1, mac, length) || at[1 + length] != ' ')
			continue;
		at += length + 2;
		snprintf(buffer, size, "%.*s", (int)strcspn(at, " \n"), at);
	}
}

static char *read_leases(const char *net)
{
	char path[FILE_NAME_BYTES];

	return read_text(place(path, "/run/hornero/net/%s.leases", net), LEASES_MAX_BYTES);
}

const char *machine_address(const char *name, const struct definition *definition, char *buffer,
			    size_t size)
{
	char *leases, mac[18];

	*buffer = '\0';
	if (!strcmp(definition->net, "none"))
		return buffer;
	leases = read_leases(definition->net);
	find_lease(leases, machine_mac(name, definition, mac), buffer, size);
	free(leases);
	return buffer;
}

/* For rows of a list: a network's leases are read once. @net may be anything. */
static void row_address(const char *net, const char *mac, char *buffer, size_t size)
{
	static char known[64], *leases;
	struct reason ignored;

	*buffer = '\0';
	if (!strcmp(net, "none") || !*net || units_check_name("network", net, &ignored))
		return;
	if (strcmp(net, known)) {
		free(leases);
		leases = read_leases(net);
		snprintf(known, sizeof(known), "%s", net);
	}
	find_lease(leases, mac, buffer, size);
}

/* A VM that is starting, paused for good, stopped or broken: what asks or reads more than one file.
 */
static void read_row_slowly(const char *name, struct machine_row *row)
{
	struct definition definition = {0};
	struct runtime runtime;
	struct reason why, ignored;
	bool known;

	runtime_read(name, &runtime);
	row->up = runtime.state != VM_STOPPED;
	known = !store_read(name, &definition, &why);
	if (row->up && !store_read_started(name, &definition, &ignored))
		machine_address(name, &definition, row->address, sizeof(row->address));
	row->state = known || row->up ? vm_state_names[runtime.state] : "broken";
	row->is_broken = !known && !row->up;
	row->memory_bytes = known || row->up ? definition.memory_bytes : 0;
	row->cpus = known || row->up ? definition.cpus : 0;
	row->uptime_s = runtime.uptime_s;
	snprintf(row->why, sizeof(row->why), "%s", row->is_broken ? why.text : runtime.why);
}

void machine_read_row(const char *name, struct machine_row *row)
{
	struct runtime_status status;

	memset(row, 0, sizeof(*row));
	row->name = name;
	if (!runtime_read_status(name, &status)) {
		read_row_slowly(name, row);
		return;
	}
	row->up = true;
	row->state = vm_state_names[status.state];
	row->memory_bytes = status.memory_bytes;
	row->cpus = status.cpus;
	row->uptime_s = status.uptime_s;
	row_address(status.net, status.mac, row->address, sizeof(row->address));
	snprintf(row->why, sizeof(row->why), "%s", status.why);
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, value && *value ? json_object_new_string(value) : NULL);
}

static void add_number(struct json_object *object, const char *key, bool known, uint64_t value)
{
	json_object_object_add(object, key, known ? json_object_new_uint64(value) : NULL);
}

struct json_object *machine_json(const char *name)
{
	struct json_object *object = json_object_new_object();
	struct machine_row row;

	machine_read_row(name, &row);
	add_string(object, "name", name);
	add_string(object, "state", row.state);
	add_number(object, "memory_bytes", row.memory_bytes, row.memory_bytes);
	add_number(object, "cpus", row.cpus, row.cpus);
	add_number(object, "uptime_s", row.up, row.uptime_s);
	add_string(object, "address", row.address);
	add_number(object, "pid", row.up, row.up ? (uint64_t)runtime_pid(name) : 0);
	add_string(object, "why", row.why);
	return object;
}

int machine_done(const char *name, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (say_json)
		print_json(machine_json(name));
	else
		say("%s", text);
	return EXIT_OK;
}

int machine_wait(const char *name, int timeout_ms)
{
	struct pollfd ended = {.fd = runtime_watch(name), .events = POLLIN};
	int found;

	if (ended.fd < 0)
		return 0;
	do
		found = poll(&ended, 1, timeout_ms);
	while (found < 0 && errno == EINTR && timeout_ms < 0);
	close(ended.fd);
	return found == 1 ? 0 : -1;
}

int machine_end_code(const char *name)
{
	char text[256];
	enum vm_end end;

	log_last_end(name, text, sizeof(text), &end);
	switch (end) {
	case END_NONE: /* no word about its end: something took the process away */
	case END_HOST_FAILED:
	case END_CRASHED:
		return EXIT_CRASHED;
	case END_REFUSED:
		return EXIT_FAILED;
	case END_KILLED:
		return EXIT_WAS_KILLED;
	case END_POWERED_OFF:
		break;
	}
	return EXIT_OK;
}

/* Files only: nothing of ours has folders in it. */
static int remove_folder(const char *path, struct reason *why)
{
	DIR *entries = opendir(path);
	struct dirent *entry;
	int error = 0;

	if (!entries)
		return errno == ENOENT ? 0 : reason_set(why, "%s: %s", path, strerror(errno));
	while ((entry = readdir(entries)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		    unlinkat(dirfd(entries), entry->d_name, 0))
			error = errno;
	closedir(entries);
	if (!error && rmdir(path))
		error = errno;
	return error ? reason_set(why, "%s: %s", path, strerror(error)) : 0;
}

int machine_delete(const char *name, bool disks, struct reason *why)
{
	char path[FILE_NAME_BYTES];

	if (unlink(store_path(path, name)) && errno != ENOENT)
		return reason_set(why, "%s: %s%s", path, strerror(errno),
				  errno == EACCES ? "; run vm as root" : "");
	if (disks && remove_folder(place(path, "/var/lib/hornero/vms/%s", name), why))
		return -1;
	cgroup_remove(name);
	net_remove(name);
	if (remove_folder(place(path, "/run/hornero/vms/%s", name), why))
		return -1;
	if (!unlink(runtime_owner_path(path, name)))
		rmdir(place(path, RUNTIME_OWNERS)); /* once it is empty */
	return 0;
}

static bool is_over(const char *name)
{
	char path[FILE_NAME_BYTES];

	return !access(runtime_owner_path(path, name), F_OK) && !runtime_recorded(path) &&
	       !runtime_pid(name);
}

/*
 * Nobody waits for the end of a VM of `run --rm` after its user has detached, since there is no
 * daemon; the next `vm` command clears up. Until then it is the business of the `vm run` that made
 * it, which may not even have started it yet.
 */
void machine_reap(void)
{
	char folder[FILE_NAME_BYTES];
	char **names = store_folder_names(place(folder, RUNTIME_OWNERS), "");
	struct reason ignored;

	for (char **name = names; *name; name++) {
		if (!is_over(*name) || store_lock(&ignored))
			continue;
		if (is_over(*name)) /* still, now that no other command is at it */
			machine_delete(*name, true, &ignored);
		store_unlock();
	}
	store_free_names(names);
}
