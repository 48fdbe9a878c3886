// SPDX-License-Identifier: MIT
/*
 * Copying by ranges of data. Read next: cmd_clone.c, cmd_image.c, which call it.
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm.h"

enum { CHUNK_BYTES = 1 << 20, PROGRESS_MS = 1000 };

struct progress {
	const char *what;
	long long started, shown;
};

static void show(struct progress *progress, uint64_t done, uint64_t all)
{
	long long now = now_ms();

	if (say_json || !isatty(STDERR_FILENO) || now - progress->started < PROGRESS_MS ||
	    now - progress->shown < PROGRESS_MS / 4)
		return;
	progress->shown = now;
	fprintf(stderr, "\rcopying %s: %d%% ", progress->what, (int)(all ? done * 100 / all : 100));
}

static bool is_zero(const char *data, size_t bytes)
{
	return !*data && !memcmp(data, data + 1, bytes - 1);
}

/* Zeros are left out: what reads as zero needs no room. */
static int copy_range(int in, int out, off_t from, off_t end, char *chunk)
{
	while (from < end) {
		size_t want = end - from < CHUNK_BYTES ? (size_t)(end - from) : CHUNK_BYTES;
		ssize_t bytes = pread(in, chunk, want, from);

		if (bytes < 0)
			return -1;
		if (!bytes)
			return 0;
		if (!is_zero(chunk, (size_t)bytes) &&
		    pwrite(out, chunk, (size_t)bytes, from) != bytes)
			return -1;
		from += bytes;
	}
	return 0;
}

static int copy_data(int in, int out, off_t size, struct progress *progress)
{
	char *chunk = malloc(CHUNK_BYTES);
	off_t at = 0;
	int failed = !chunk || ftruncate(out, size);

	while (!failed && at < size) {
		off_t data = lseek(in, at, SEEK_DATA);
		off_t hole = data < 0 ? size : lseek(in, data, SEEK_HOLE);

		if (data < 0 && errno == ENXIO) /* nothing but a hole is left */
			break;
		data = data < 0 ? at : data;
		hole = hole < 0 || hole > data + 16 * CHUNK_BYTES ? data + 16 * CHUNK_BYTES : hole;
		hole = hole > size ? size : hole;
		failed = copy_range(in, out, data, hole, chunk);
		at = hole;
		show(progress, (uint64_t)at, (uint64_t)size);
	}
	free(chunk);
	return failed;
}

int copy_sparse(const char *from, const char *to, struct reason *why)
{
	struct progress progress = {.what = from, .started = now_ms()};
	int in = open(from, O_RDONLY | O_CLOEXEC), out;

	if (in < 0)
		return reason_set(why, "%s: %s", from, strerror(errno));
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0) {
		close(in);
		return reason_set(why, "%s: %s", to, strerror(errno));
	}
	off_t size = lseek(in, 0, SEEK_END);
	int failed = ioctl(out, FICLONE, in) && copy_data(in, out, size, &progress);
	int error = errno;

	if (progress.shown)
		fputs("\r\033[K", stderr);
	close(in);
	if (fsync(out) && !failed) {
		failed = -1;
		error = errno;
	}
	close(out);
	if (!failed)
		return 0;
	unlink(to);
	return reason_set(why, "%s: %s%s", to, strerror(error),
			  error == ENOSPC ? "; make room and try again" : "");
}

uint64_t file_bytes(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	if (fd >= 0)
		close(fd);
	return size > 0 ? (uint64_t)size : 0;
}

uint64_t file_used_bytes(const char *path)
{
	struct stat status;

	return stat(path, &status) ? 0 : (uint64_t)status.st_blocks * 512;
}
