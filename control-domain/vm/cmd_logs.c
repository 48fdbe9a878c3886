// SPDX-License-Identifier: MIT
/*
 * logs and wait: what a VM's device model said, and how it ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor_log.h"
#include "machines.h"

/* "10m", "2h", "1d" ago, or the beginning of a time as the lines have it. */
static int since_text(const char *given, char text[32], struct reason *why)
{
	static const struct {
		char unit;
		long seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	char *end;
	long value = strtol(given, &end, 10);
	struct tm utc;

	for (size_t i = 0; end != given && *end && !end[1] && i < 4; i++) {
		if (units[i].unit != *end || value < 0)
			continue;
		time_t from = time(NULL) - value * units[i].seconds;

		gmtime_r(&from, &utc);
		strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
		return 0;
	}
	if (strptime(given, "%Y-%m-%d", &utc) && strlen(given) < 32) {
		strcpy(text, given);
		return 0;
	}
	return reason_set(why, "--since: '%s' is no time: write 10m, 2h, 1d or 2026-01-31T12:00",
			  given);
}

enum { LINE_BYTES = 1200, TEXT_MAX_BYTES = 64 << 20, HYPERVISOR_MS = 1000 };

struct printer {
	char line[LINE_BYTES];
	size_t used;
	char since[32];
	struct json_object *rows; /* with --json */
	struct hypervisor_log hypervisor;
	char waiting[LINE_BYTES]; /* the hypervisor's next line, until its time has come */
};

static void print_line(struct printer *printer, char *line)
{
	char *space = strchr(line, ' ');

	if (strncmp(line, printer->since, strlen(printer->since)) < 0)
		return;
	if (!printer->rows) {
		puts(line);
		return;
	}
	struct json_object *row = json_object_new_object();
	char *text = space ? strstr(space, ": ") : NULL;

	if (space)
		*space = '\0';
	json_object_object_add(row, "time", json_object_new_string(line));
	json_object_object_add(row, "text", json_object_new_string(text ? text + 2 : ""));
	json_object_array_add(printer->rows, row);
}

/* The hypervisor's lines up to a time, or all of them. */
static void print_hypervisor(struct printer *printer, const char *until)
{
	for (;;) {
		if (!*printer->waiting &&
		    !hypervisor_log_next(&printer->hypervisor, printer->waiting, LINE_BYTES))
			return;
		if (until && strncmp(printer->waiting, until, strlen("2026-01-31T12:00:00")) > 0)
			return;
		print_line(printer, printer->waiting);
		*printer->waiting = '\0';
	}
}

static void line_is_complete(struct printer *printer)
{
	printer->line[printer->used] = '\0';
	printer->used = 0;
	print_hypervisor(printer, printer->line);
	print_line(printer, printer->line);
}

static void print_rest(struct printer *printer, int fd)
{
	char chunk[4096];
	ssize_t bytes;

	while ((bytes = read(fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < bytes; i++) {
			if (chunk[i] == '\n' || printer->used == sizeof(printer->line) - 1)
				line_is_complete(printer);
			if (chunk[i] != '\n' && chunk[i] != '\r')
				printer->line[printer->used++] = chunk[i];
		}
	fflush(stdout);
}

static void print_file(struct printer *printer, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	print_rest(printer, fd);
	if (printer->used) /* a last line that was not ended */
		line_is_complete(printer);
	close(fd);
}

/* All handles first: the hypervisor's first line about a VM is older than the note of its handle.
 */
static void learn_handles(struct printer *printer, const char *path)
{
	char *text = read_text(path, TEXT_MAX_BYTES), *rest = text, *line;

	while (text && (line = strsep(&rest, "\n")))
		hypervisor_log_learn(&printer->hypervisor, line);
	free(text);
}

/* When the file has grown, its keeper moves it away and begins another. */
static int go_on_in_new(struct printer *printer, int watch, int fd, const char *path)
{
	struct stat old, new;
	int next;

	if (fstat(fd, &old) || stat(path, &new) || old.st_ino == new.st_ino)
		return fd;
	next = open(path, O_RDONLY | O_CLOEXEC);
	if (next < 0 || inotify_add_watch(watch, path, IN_MODIFY | IN_MOVE_SELF) < 0)
		return fd;
	print_rest(printer, fd); /* what came between the last look and the move */
	close(fd);
	print_rest(printer, next);
	return next;
}

/*
 * Until the VM's process ends: then everything has been said. Nothing wakes us when the hypervisor
 * says something, so its log is looked at now and then.
 */
static int follow(struct printer *printer, const char *name, const char *path)
{
	struct pollfd events[] = {{.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = POLLIN},
				  {.fd = runtime_watch(name), .events = POLLIN}};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char drained[4096];

	if (fd < 0 || events[0].fd < 0 ||
	    inotify_add_watch(events[0].fd, path, IN_MODIFY | IN_MOVE_SELF) < 0)
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	print_rest(printer, fd);
	while (events[1].fd >= 0 && !events[1].revents) {
		if (poll(events, 2, HYPERVISOR_MS) < 0 && errno != EINTR)
			break;
		while (read(events[0].fd, drained, sizeof(drained)) > 0)
			continue;
		print_rest(printer, fd);
		fd = go_on_in_new(printer, events[0].fd, fd, path);
		print_hypervisor(printer, NULL);
		fflush(stdout);
	}
	/* what was written between the last look and the end */
	print_rest(printer, fd);
	if (printer->used)
		line_is_complete(printer);
	print_hypervisor(printer, NULL);
	return EXIT_OK;
}

int logs_main(struct cli_call *call)
{
	const char *name = call->arg[0], *since = cli_value(call, "since");
	char path[FILE_NAME_BYTES], older[FILE_NAME_BYTES + 8], handle[FILE_NAME_BYTES];
	static struct printer printer;
	struct definition definition;
	struct reason why;
	int code = store_load(name, &definition);

	if (code)
		return code;
	if (cli_has(call, "follow") && say_json)
		return fail(EXIT_USAGE,
			    "logs: --follow has no end, so it has no JSON; leave one of them out");
	if (since && since_text(since, printer.since, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	runtime_path(path, name, "log");
	if (access(path, F_OK) && !say_json)
		return fail(EXIT_STATE, "'%s' has no log: it was not started since the last boot",
			    name);
	snprintf(older, sizeof(older), "%s.1", path);
	if (say_json)
		printer.rows = json_object_new_array();
	hypervisor_log_open(&printer.hypervisor, name);
	learn_handles(&printer, older);
	learn_handles(&printer, path);
	learn_handles(&printer, runtime_path(handle, name, "handle"));
	print_file(&printer, older);
	if (cli_has(call, "follow"))
		return follow(&printer, name, path);
	print_file(&printer, path);
	print_hypervisor(&printer, NULL);
	if (say_json)
		print_json(printer.rows);
	return EXIT_OK;
}

int wait_main(struct cli_call *call)
{
	const char *name = call->arg[0], *given = cli_value(call, "timeout");
	struct definition definition;
	struct runtime runtime;
	struct reason why;
	uint64_t seconds = 0;
	int code = runtime_pid(name) ? EXIT_OK : store_load(name, &definition);

	if (code)
		return code;
	if (given && units_parse_number(given, 1, 1000000, &seconds, &why))
		return fail(EXIT_USAGE, "--timeout: %s", why.text);
	if (machine_wait(name, given ? (int)seconds * 1000 : -1))
		return fail(EXIT_TIMEOUT, "'%s' still runs after %s s", name, given);
	runtime_read(name, &runtime);
	machine_done(name, "'%s' has ended%s%s", name, *runtime.why ? ": " : "", runtime.why);
	return machine_end_code(name);
}
