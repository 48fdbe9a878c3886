// SPDX-License-Identifier: MIT
/*
 * Messages, files and programs: the small things that every command needs.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool say_json;

int fail(enum exit_code code, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (say_json) {
		struct json_object *error = json_object_new_object();

		json_object_object_add(error, "error", json_object_new_string(text));
		json_object_object_add(error, "exit_code", json_object_new_int(code));
		print_json(error);
	}
	fflush(stdout);
	fprintf(stderr, "vm: %s\n", text);
	return code;
}

void say(const char *format, ...)
{
	va_list args;

	if (say_json)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void print_json(struct json_object *object)
{
	printf("%s\n", json_object_to_json_string_ext(
			       object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

bool is_elsewhere(void)
{
	const char *root = getenv("HORNERO_ROOT");

	return root && *root;
}

const char *place(char buffer[FILE_NAME_BYTES], const char *format, ...)
{
	const char *root = getenv("HORNERO_ROOT");
	size_t used = root ? strnlen(root, FILE_NAME_BYTES - 1) : 0;
	va_list args;

	if (used)
		memcpy(buffer, root, used);
	va_start(args, format);
	vsnprintf(buffer + used, FILE_NAME_BYTES - used, format, args);
	va_end(args);
	return buffer;
}

int make_folder(const char *path, struct reason *why)
{
	char part[FILE_NAME_BYTES];

	for (const char *slash = path + 1;; slash++) {
		if (*slash && *slash != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0755) && errno != EEXIST)
			return reason_set(why, "%s: %s%s", part, strerror(errno),
					  errno == EACCES ? "; run vm as root" : "");
		if (!*slash)
			return 0;
	}
}

char *read_text(const char *path, size_t limit)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	char *text = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		errno = EINVAL;
	} else if ((size_t)status.st_size > limit) {
		errno = EFBIG;
	} else if ((text = malloc((size_t)status.st_size + 1))) {
		ssize_t bytes = read(fd, text, (size_t)status.st_size);

		text[bytes > 0 ? bytes : 0] = '\0';
	}
	close(fd);
	return text;
}

int write_text(const char *path, const char *text, struct reason *why)
{
	char temporary[FILE_NAME_BYTES + 8];
	size_t length = strlen(text);
	int fd;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool done = fd >= 0 && write(fd, text, length) == (ssize_t)length && !fsync(fd);
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (done && !rename(temporary, path))
		return 0;
	error = done ? errno : error;
	unlink(temporary);
	return reason_set(why, "%s: %s%s", path, strerror(error),
			  error == EACCES   ? "; run vm as root"
			  : error == ENOSPC ? "; make room and try again"
					    : "");
}

long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

bool ask(const char *format, ...)
{
	char answer[16];
	va_list args;

	if (!isatty(STDIN_FILENO) || say_json)
		return false;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(" [y/N] ", stderr);
	return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

ssize_t read_with_progress(int fd, char *buffer, size_t size, const char *what)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	bool quiet = say_json || !isatty(STDERR_FILENO);
	int seconds = 0;

	while (!quiet && poll(&ready, 1, 1000) == 0)
		fprintf(stderr, "\r%s: %d s ", what, ++seconds);
	if (seconds)
		fputs("\r\033[K", stderr);
	return read(fd, buffer, size);
}

/* Standard output or error goes into the pipe, all else nowhere. */
static void become(const char *const *argv, int end, unsigned int stream)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(fd == (int)stream ? end : null, fd);
	execvp(argv[0], (char *const *)argv);
	dprintf(end, "%s",
		errno == ENOENT ? "this program is not installed here" : strerror(errno));
	_exit(127);
}

static int run_with(const char *const *argv, unsigned int stream, char *said, size_t size,
		    struct reason *why)
{
	size_t used = 0;
	char rest[256];
	ssize_t bytes;
	int ends[2], status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return reason_set(why, "%s: %s", argv[0], strerror(errno));
	child = fork();
	if (!child)
		become(argv, ends[1], stream);
	close(ends[1]);
	while (child > 0 &&
	       (bytes = read_with_progress(ends[0], used + 1 < size ? said + used : rest,
					   used + 1 < size ? size - 1 - used : sizeof(rest),
					   argv[0])) > 0)
		used += used + 1 < size ? (size_t)bytes : 0;
	said[used] = '\0';
	close(ends[0]);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return reason_set(why, "%s: %s", argv[0], strerror(errno));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return reason_set(why, "%s: %.*s", argv[0], used ? (int)strcspn(said, "\n") : 64,
			  used ? said : "it failed without a word");
}

int run_program(const char *const *argv, struct reason *why)
{
	char said[384];

	return run_with(argv, STDERR_FILENO, said, sizeof(said), why);
}

int run_and_read(const char *const *argv, char *said, size_t size, struct reason *why)
{
	return run_with(argv, STDOUT_FILENO, said, size, why);
}
