// SPDX-License-Identifier: MIT
/*
 * Moves happen at the end of a line, or, should a device model that was taken over never end one,
 * in the middle of one that is as long as the file may be. When the file cannot be written, what is
 * said gets lost: a full disk is no reason to stop a VM.
 */
#include "log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int log_file_open(const char *path, struct reason *why)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		return reason_set(why, "--log %s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

static void move_when_larger(const char *path, off_t most)
{
	char older[PATH_MAX];
	struct reason ignored;
	struct stat status;

	if (fstat(STDERR_FILENO, &status) || status.st_size < most)
		return;
	snprintf(older, sizeof(older), "%s.1", path);
	if (!rename(path, older))
		log_file_open(path, &ignored);
}

static void put(const char *text, size_t bytes)
{
	if (bytes && write(STDERR_FILENO, text, bytes) != (ssize_t)bytes)
		errno = 0; /* lost */
}

void log_file_copy(const char *path, int fd)
{
	char text[4096];
	ssize_t bytes;

	while ((bytes = read(fd, text, sizeof(text))) > 0 || (bytes < 0 && errno == EINTR)) {
		if (bytes < 0)
			continue;
		const char *end = memrchr(text, '\n', (size_t)bytes);
		size_t whole = end ? (size_t)(end - text) + 1 : 0;

		put(text, whole);
		move_when_larger(path, whole ? LOG_FILE_MAX_BYTES : 2 * LOG_FILE_MAX_BYTES);
		put(text + whole, (size_t)bytes - whole);
	}
}
