// SPDX-License-Identifier: MIT
/*
 * hornero log: the hypervisor's log ring, or what the last crash left; the latter also where only
 * Linux runs, in the rescue system. The hypervisor cannot wake
 * us, so following asks again four times a second; the log is written rarely and reading it is
 * cheap. Where the log holds a refused VMCS, the broken rule is put behind it (vmcs_explain.h).
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"
#include "hornero.h"
#include "vmcs_explain.h"
#include "vmm/abi/hypercall.h"
#include "vmm/abi/ioctl.h"

#define CHUNK_BYTES (64 * 1024)

/* Read on from *@position. Returns bytes in @buffer, 0 at the end, -1 with errno. */
static int read_chunk(int fd, enum hv_log_which which, uint64_t *position, char *buffer)
{
	struct hornero_log_read request = {
		.position = *position,
		.buffer = (uintptr_t)buffer,
		.bytes = CHUNK_BYTES,
		.which = which,
	};

	if (ioctl(fd, HORNERO_LOG_READ, &request) < 0)
		return -1;
	*position = request.position;
	return (int)request.bytes;
}

static int failed(enum hv_log_which which)
{
	if (which == HV_LOG_CRASH && errno == ENOENT)
		return fail(EXIT_FAILED,
			    "there is no crash record: the previous run did not crash, or the "
			    "firmware did not preserve memory over the reset");
	return fail(EXIT_FAILED, "%s: reading the log: %s", HORNERO_DEVICE, strerror(errno));
}

/* Give each line of @text (whole lines; it is cut up) to @put, and behind a dump what it means. */
static void put_lines(char *text, void (*put)(void *ctx, const char *line), void *ctx)
{
	static struct vmcs_record record;
	char why[200];

	while (text && *text) {
		char *line = strsep(&text, "\n");

		put(ctx, line);
		if (vmcs_explain_line(&record, line, why, sizeof(why)))
			put(ctx, why);
	}
}

static void put_text(void *ctx, const char *line)
{
	(void)ctx;
	puts(line);
}

static void put_json(void *lines, const char *line)
{
	if (*line)
		json_object_array_add(lines, json_object_new_string(line));
}

static int print_text(int fd, enum hv_log_which which, bool follow)
{
	static const struct timespec pause = {.tv_nsec = 250 * 1000 * 1000};
	static char buffer[CHUNK_BYTES + 1];
	uint64_t position = 0;
	bool any = false;

	for (;;) {
		int bytes = read_chunk(fd, which, &position, buffer);

		if (bytes < 0)
			return failed(which);
		any |= bytes > 0;
		buffer[bytes] = '\0';
		put_lines(buffer, put_text, NULL);
		if (ferror(stdout))
			return fail(EXIT_FAILED, "standard output: %s", strerror(errno));
		if (bytes > 0)
			continue;
		if (!any && which == HV_LOG_CRASH) {
			errno = ENOENT;
			return failed(which);
		}
		fflush(stdout);
		if (!follow)
			return EXIT_OK;
		nanosleep(&pause, NULL);
	}
}

static void print_json_lines(char *text, enum hv_log_which which)
{
	struct json_object *top = json_object_new_object();
	struct json_object *lines = json_object_new_array();

	put_lines(text, put_json, lines);
	json_object_object_add(top, "log",
			       json_object_new_string(which == HV_LOG_CRASH ? "crash" : "current"));
	json_object_object_add(top, "lines", lines);
	print_json(stdout, top);
}

static int print_lines_json(int fd, enum hv_log_which which)
{
	uint64_t position = 0;
	size_t used = 0;
	char *text = NULL;
	int bytes;

	do {
		char *more = realloc(text, used + CHUNK_BYTES + 1);

		if (!more)
			return fail(EXIT_FAILED, "out of memory");
		text = more;
		bytes = read_chunk(fd, which, &position, text + used);
		if (bytes < 0)
			return failed(which);
		used += (size_t)bytes;
	} while (bytes > 0);
	text[used] = '\0';
	print_json_lines(text, which);
	free(text);
	return EXIT_OK;
}

/* Without the hypervisor the record may still be in memory. */
static int print_left_record(bool json)
{
	const char *record = crash_in_memory();
	char *text = record ? strdup(record) : NULL;

	if (!text)
		return fail(
			EXIT_FAILED,
			"no crash record was found in memory: there was no crash, the machine "
			"was off in between, or this Linux was not started by the rescue entry");
	if (json)
		print_json_lines(text, HV_LOG_CRASH);
	else
		put_lines(text, put_text, NULL);
	free(text);
	return EXIT_OK;
}

int log_main(int argc, char **argv)
{
	static const struct option options[] = {{"crash", no_argument, NULL, 'c'},
						{"follow", no_argument, NULL, 'f'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	enum hv_log_which which = HV_LOG_CURRENT;
	bool follow = false, json = false;
	int option, fd, code;

	while ((option = getopt_long(argc, argv, "fh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			which = HV_LOG_CRASH;
			break;
		case 'f':
			follow = true;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			puts("Usage: hornero log [--crash | -f] [--json]\n\n"
			     "  --crash       what the hypervisor wrote when it crashed last\n"
			     "  -f, --follow  go on with new lines as they come\n"
			     "  --json        as JSON, not with --follow");
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return fail(EXIT_USAGE, "log takes no argument '%s'", argv[optind]);
	if (follow && (json || which == HV_LOG_CRASH))
		return fail(EXIT_USAGE, "--follow goes neither with --json nor with --crash");
	if (which == HV_LOG_CRASH && !hypervisor_present())
		return print_left_record(json);
	fd = hypervisor_open(&code);
	if (fd < 0)
		return code;
	code = json ? print_lines_json(fd, which) : print_text(fd, which, follow);
	close(fd);
	return code;
}
