// SPDX-License-Identifier: MIT
/*
 * Processes by /proc and pidfd, the log's last words. control.c talks to the process.
 */
#include "runtime.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOG_TAIL_BYTES = 8192, STATUS_BYTES = 1024 };

const char *const vm_state_names[] = {
	[VM_STOPPED] = "stopped", [VM_RUNNING] = "running", [VM_PAUSED] = "paused"};

const char *runtime_path(char buffer[FILE_NAME_BYTES], const char *name, const char *file)
{
	return place(buffer, "/run/hornero/vms/%s/%s", name, file);
}

uint64_t runtime_start_ticks(pid_t pid)
{
	char path[40], text[1024];
	unsigned long long ticks = 0;
	char state = 'X';
	int fd;
	ssize_t bytes;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	bytes = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[bytes > 0 ? bytes : 0] = '\0';
	/* Field 2, the program's name, may hold anything: fields are counted from its last ')'. */
	const char *rest = strrchr(text, ')');

	if (!rest || sscanf(rest + 1,
			    " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			    "%*s %*s %llu",
			    &state, &ticks) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : ticks;
}

const char *runtime_process_path(char buffer[FILE_NAME_BYTES], const char *name)
{
	return runtime_path(buffer, name, "process");
}

const char *runtime_owner_path(char buffer[FILE_NAME_BYTES], const char *name)
{
	return place(buffer, RUNTIME_OWNERS "/%s", name);
}

int runtime_record(const char *path, pid_t pid, struct reason *why)
{
	char text[64];

	snprintf(text, sizeof(text), "%d %llu\n", (int)pid,
		 (unsigned long long)runtime_start_ticks(pid));
	return write_text(path, text, why);
}

pid_t runtime_recorded(const char *path)
{
	char *text = read_text(path, 64);
	unsigned long long ticks = 0;
	int pid = 0;

	if (text && sscanf(text, "%d %llu", &pid, &ticks) != 2)
		pid = 0;
	free(text);
	return pid > 0 && ticks && runtime_start_ticks(pid) == ticks ? pid : 0;
}

pid_t runtime_pid(const char *name)
{
	char path[FILE_NAME_BYTES];

	return runtime_recorded(runtime_process_path(path, name));
}

/* The next word, up to a space or the end of its line; "" where there is none. */
static const char *next_word(char **text)
{
	char *word = *text, *end = word + strcspn(word, " \n");

	*text = end + (*end == ' ');
	*end = '\0';
	return word;
}

static bool parse_status(char *text, struct runtime_status *status)
{
	char *line = strsep(&text, "\n"), *why = strsep(&text, "\n"), *again = strsep(&text, "\n");
	const char *count = next_word(&line), *state = next_word(&line);
	struct timespec now;

	if (!again || strcmp(again, count))
		return false;
	if (strcmp(state, "running") && strcmp(state, "paused"))
		return false;
	status->state = *state == 'p' ? VM_PAUSED : VM_RUNNING;
	clock_gettime(CLOCK_BOOTTIME, &now);
	uint64_t started = strtoull(next_word(&line), NULL, 10);

	status->uptime_s = (uint64_t)now.tv_sec > started ? (uint64_t)now.tv_sec - started : 0;
	status->memory_bytes = strtoull(next_word(&line), NULL, 10);
	status->cpus = strtoull(next_word(&line), NULL, 10);
	snprintf(status->net, sizeof(status->net), "%s", next_word(&line));
	snprintf(status->mac, sizeof(status->mac), "%s", next_word(&line));
	snprintf(status->why, sizeof(status->why), "%s", why);
	return true;
}

bool runtime_read_status(const char *name, struct runtime_status *status)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	char path[FILE_NAME_BYTES], text[STATUS_BYTES + 1];
	int fd = open(runtime_path(path, name, "status"), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t bytes = read(fd, text, STATUS_BYTES);
	bool lives = bytes > 0 && !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;

	close(fd);
	text[bytes > 0 ? bytes : 0] = '\0';
	return lives && parse_status(text, status);
}

int runtime_watch(const char *name)
{
	pid_t pid = runtime_pid(name);
	int fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (fd < 0 || runtime_pid(name) == pid)
		return fd;
	close(fd); /* ended in between, and the id may belong to another */
	return -1;
}

static uint64_t uptime_of(pid_t pid)
{
	struct timespec now;
	uint64_t started = runtime_start_ticks(pid) / (uint64_t)sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec > started ? (uint64_t)now.tv_sec - started : 0;
}

static void read_answer(struct runtime *runtime, struct json_object *answer)
{
	struct json_object *value;

	if (json_object_object_get_ex(answer, "state", &value) &&
	    !strcmp(json_object_get_string(value), "paused"))
		runtime->state = VM_PAUSED;
	if (json_object_object_get_ex(answer, "why", &value))
		snprintf(runtime->why, sizeof(runtime->why), "%s", json_object_get_string(value));
	runtime->answers = true;
}

void runtime_read(const char *name, struct runtime *runtime)
{
	struct json_object *answer = NULL;
	struct reason ignored;
	int fd;

	memset(runtime, 0, sizeof(*runtime));
	runtime->end = END_NONE;
	runtime->pid = runtime_pid(name);
	if (!runtime->pid) {
		log_last_end(name, runtime->why, sizeof(runtime->why), &runtime->end);
		return;
	}
	runtime->state = VM_RUNNING;
	runtime->uptime_s = uptime_of(runtime->pid);
	fd = control_connect(name, &ignored);
	if (fd < 0)
		return;
	answer = control_ask(fd, "status", NULL, &ignored);
	if (answer)
		read_answer(runtime, answer);
	json_object_put(answer);
	close(fd);
}

/* `said` begins with "ended" or "error:". */
static enum vm_end classify(const char *said)
{
	if (!strncmp(said, "error: ended", 12))
		return strstr(said, "signal 9") ? END_KILLED : END_HOST_FAILED;
	if (!strncmp(said, "error: ", 7))
		return END_REFUSED;
	if (strstr(said, "killed") || strstr(said, "ended from"))
		return END_KILLED;
	return strstr(said, "power") || strstr(said, "reset") || !strchr(said, ':')
		       ? END_POWERED_OFF
		       : END_CRASHED;
}

static const char *const said_before[] = {"error: ", "ended", ": ", NULL};

bool log_last_end(const char *name, char *text, size_t size, enum vm_end *end)
{
	char path[FILE_NAME_BYTES], tail[LOG_TAIL_BYTES + 1];
	int fd = open(runtime_path(path, name, "log"), O_RDONLY | O_CLOEXEC);
	char *line = NULL, *said = NULL, *rest = tail, *next;
	struct stat status;

	*text = '\0';
	*end = END_NONE;
	if (fd < 0)
		return false;
	off_t from = !fstat(fd, &status) && status.st_size > LOG_TAIL_BYTES
			     ? status.st_size - LOG_TAIL_BYTES
			     : 0;
	ssize_t bytes = pread(fd, tail, LOG_TAIL_BYTES, from);

	close(fd);
	tail[bytes > 0 ? bytes : 0] = '\0';
	while ((next = strsep(&rest, "\n"))) {
		char *at = strstr(next, ": ended");

		if (!at)
			at = strstr(next, ": error: ");
		if (at) {
			line = next;
			said = at + 2;
		} else if (strstr(next, ": starting")) {
			line = next;
			said = NULL;
		}
	}
	if (!line)
		return false;
	if (!said) { /* not even the keeper outside its sandbox could tell */
		snprintf(text, size, "its device model has gone without a word");
		*end = END_HOST_FAILED;
		return true;
	}
	*end = classify(said);
	for (const char *const *word = said_before; *word; word++)
		if (!strncmp(said, *word, strlen(*word)))
			said += strlen(*word);
	snprintf(text, size, "%s", said);
	return true;
}

void log_append(const char *name, const char *text)
{
	char path[FILE_NAME_BYTES], line[512], stamp[32];
	int fd = open(runtime_path(path, name, "log"), O_WRONLY | O_APPEND | O_CLOEXEC);
	time_t now = time(NULL);
	struct tm utc;
	int length;

	if (fd < 0)
		return;
	gmtime_r(&now, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
	length = snprintf(line, sizeof(line), "%s %.64s: %.380s\n", stamp, name, text);
	if (write(fd, line, (size_t)length) != length)
		fprintf(stderr, "vm: %s: not written\n", path);
	close(fd);
}

void log_keep(const char *name, const char *file, const char *text)
{
	char path[FILE_NAME_BYTES], line[512];
	struct reason why;

	snprintf(line, sizeof(line), "%.64s: %.380s\n", name, text);
	if (write_text(runtime_path(path, name, file), line, &why))
		fprintf(stderr, "vm: %s\n", why.text);
}
