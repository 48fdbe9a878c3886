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

/* dnsmasq's leases: "EXPIRY MAC ADDRESS HOSTNAME CLIENT-ID" */
const char *machine_address(const char *name, const struct definition *definition, char *buffer,
			    size_t size)
{
	char path[FILE_NAME_BYTES], mac[18], lease_mac[32], address[64];
	char *text, *rest, *line;

	*buffer = '\0';
	if (!strcmp(definition->net, "none"))
		return buffer;
	place(path, "/run/hornero/net/%s.leases", definition->net);
	text = rest = read_text(path, LEASES_MAX_BYTES);
	machine_mac(name, definition, mac);
	while (text && (line = strsep(&rest, "\n")))
		if (sscanf(line, "%*s %31s %63s", lease_mac, address) == 2 &&
		    !strcasecmp(lease_mac, mac))
			snprintf(buffer, size, "%s", address);
	free(text);
	return buffer;
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
	struct json_object *row = json_object_new_object();
	struct definition definition, started;
	struct runtime runtime;
	char address[64] = "";
	struct reason why, ignored;
	bool known = !store_read(name, &definition, &why);
	bool up;

	runtime_read(name, &runtime);
	up = runtime.state != VM_STOPPED;
	if (up && !store_read_started(name, &started, &ignored))
		machine_address(name, &started, address, sizeof(address));
	add_string(row, "name", name);
	add_string(row, "state", known || up ? vm_state_names[runtime.state] : "broken");
	add_number(row, "memory_bytes", known, definition.memory_bytes);
	add_number(row, "cpus", known, definition.cpus);
	add_number(row, "uptime_s", up, runtime.uptime_s);
	add_string(row, "address", address);
	add_number(row, "pid", up, (uint64_t)runtime.pid);
	add_string(row, "why", known ? runtime.why : why.text);
	return row;
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
	return remove_folder(place(path, "/run/hornero/vms/%s", name), why);
}

static bool is_over(const char *name)
{
	char path[FILE_NAME_BYTES];

	return !access(runtime_path(path, name, RUNTIME_OWNER), F_OK) &&
	       !runtime_recorded(name, RUNTIME_OWNER) && !runtime_pid(name);
}

/*
 * Nobody waits for the end of a VM of `run --rm` after its user has detached, since there is no
 * daemon; the next `vm` command clears up. Until then it is the business of the `vm run` that made
 * it, which may not even have started it yet.
 */
void machine_reap(void)
{
	char folder[FILE_NAME_BYTES];
	char **names = store_folder_names(place(folder, "/run/hornero/vms"), "");
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
