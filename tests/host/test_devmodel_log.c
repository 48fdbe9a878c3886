// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/log_file.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE -pthread
/*
 * The keeper's log stays small whatever comes, and its last lines are there.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_file.h"
#include "test.h"

enum { LINES = 60000, ENDLESS_BYTES = 7 << 20 };

static void *talk(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < LINES; i++)
		dprintf(fd, "line %05d of something that is said again and again\n", i);
	dprintf(fd, "the end");
	close(fd);
	return NULL;
}

static void *talk_without_end(void *arg)
{
	static char piece[4096];
	int fd = *(int *)arg;

	memset(piece, 'x', sizeof(piece));
	for (int written = 0; written < ENDLESS_BYTES; written += (int)sizeof(piece))
		if (write(fd, piece, sizeof(piece)) < 0)
			break;
	close(fd);
	return NULL;
}

static long size_of(const char *path)
{
	struct stat status;

	return stat(path, &status) ? -1 : (long)status.st_size;
}

/* A log and the one before it, in a folder of their own. */
struct log {
	char folder[32], path[64], older[64];
};

static void keep_what_is_said(struct log *log, void *(*talker)(void *))
{
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), ends[2];
	struct reason why;
	pthread_t thread;

	strcpy(log->folder, "/tmp/log.XXXXXX");
	CHECK(mkdtemp(log->folder));
	snprintf(log->path, sizeof(log->path), "%s/log", log->folder);
	snprintf(log->older, sizeof(log->older), "%s/log.1", log->folder);
	CHECK(!pipe(ends));
	CHECK(!log_file_open(log->path, &why));
	CHECK(!pthread_create(&thread, NULL, talker, &ends[1]));
	log_file_copy(log->path, ends[0]);
	pthread_join(thread, NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(ends[0]);
}

static void clean_up(const struct log *log)
{
	unlink(log->path);
	unlink(log->older);
	rmdir(log->folder);
}

TEST(a_log_that_grows_is_moved_away)
{
	char last[8] = "";
	struct log log;

	keep_what_is_said(&log, talk);
	CHECK(size_of(log.path) > 0 && size_of(log.path) <= LOG_FILE_MAX_BYTES + 4096);
	CHECK(size_of(log.older) >= LOG_FILE_MAX_BYTES &&
	      size_of(log.older) <= LOG_FILE_MAX_BYTES + 4096);
	int fd = open(log.path, O_RDONLY);

	CHECK(pread(fd, last, 7, size_of(log.path) - 7) == 7);
	CHECK_STREQ(last, "the end");
	close(fd);
	clean_up(&log);
}

TEST(a_line_without_an_end_fills_no_more_than_others)
{
	struct log log;

	keep_what_is_said(&log, talk_without_end);
	CHECK(size_of(log.path) > 0 && size_of(log.path) <= 2 * LOG_FILE_MAX_BYTES + 4096);
	CHECK(size_of(log.older) > 0 && size_of(log.older) <= 2 * LOG_FILE_MAX_BYTES + 4096);
	clean_up(&log);
}

TEST(a_log_that_cannot_be_opened_is_named)
{
	struct reason why;

	CHECK(log_file_open("/no/such/log", &why));
	CHECK_STREQ(why.text, "--log /no/such/log: No such file or directory");
}
