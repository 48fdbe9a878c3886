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

enum { LINES = 60000 };

static void *talk(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < LINES; i++)
		dprintf(fd, "line %05d of something that is said again and again\n", i);
	dprintf(fd, "the end");
	close(fd);
	return NULL;
}

static long size_of(const char *path)
{
	struct stat status;

	return stat(path, &status) ? -1 : (long)status.st_size;
}

TEST(a_log_that_grows_is_moved_away)
{
	char folder[] = "/tmp/log.XXXXXX", path[64], older[64], last[8] = "";
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), ends[2];
	struct reason why;
	pthread_t talker;

	CHECK(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(older, sizeof(older), "%s/log.1", folder);
	CHECK(!pipe(ends));
	CHECK(!log_file_open(path, &why));
	CHECK(!pthread_create(&talker, NULL, talk, &ends[1]));
	log_file_copy(path, ends[0]);
	pthread_join(talker, NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);

	CHECK(size_of(path) > 0 && size_of(path) <= LOG_FILE_MAX_BYTES + 4096);
	CHECK(size_of(older) >= LOG_FILE_MAX_BYTES && size_of(older) <= LOG_FILE_MAX_BYTES + 4096);
	int fd = open(path, O_RDONLY);

	CHECK(pread(fd, last, 7, size_of(path) - 7) == 7);
	CHECK_STREQ(last, "the end");
	close(fd);
	unlink(path);
	unlink(older);
	rmdir(folder);
}

TEST(a_log_that_cannot_be_opened_is_named)
{
	struct reason why;

	CHECK(log_file_open("/no/such/log", &why));
	CHECK_STREQ(why.text, "--log /no/such/log: No such file or directory");
}
