// SPDX-License-Identifier: MIT
/*
 * A block of fixed size, so that no older, longer text shows behind it. It is mapped, and the file
 * closed in the sandbox, which could make it as long as memory lasts.
 */
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int status_fd = -1;
static char *status_text;
static unsigned status_count;
static unsigned long long started_s;

int status_open(const struct config *config, struct reason *why)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct timespec now;

	if (!config->status)
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &now);
	started_s = (unsigned long long)now.tv_sec;
	status_fd = open(config->status, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (status_fd < 0 || fcntl(status_fd, F_OFD_SETLK, &lock) || ftruncate(status_fd, 0))
		return reason_set(why, "--status %s: %s", config->status,
				  errno == EAGAIN ? "another VM is running there"
						  : strerror(errno));
	errno = posix_fallocate(status_fd, 0, STATUS_BYTES); /* or a full disk would be a SIGBUS */
	status_text =
		errno ? MAP_FAILED
		      : mmap(NULL, STATUS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, status_fd, 0);
	if (status_text == MAP_FAILED)
		return reason_set(why, "--status %s: %s", config->status, strerror(errno));
	return 0;
}

void status_leave(void)
{
	if (status_fd >= 0)
		close(status_fd);
}

void status_write(const struct machine *machine)
{
	const struct config *config = machine->config;
	char text[STATUS_BYTES];

	if (!status_text)
		return;
	status_count++;
	memset(text, '\n', sizeof(text));
	int used = snprintf(text, sizeof(text), "%u %s %llu %llu %u %s\n%.500s\n%u", status_count,
			    machine_state_names[machine->state], started_s,
			    (unsigned long long)config->memory_bytes, config->cpus, config->label,
			    machine->why, status_count);

	text[used] = '\n'; /* instead of the end of a string; the parts' limits make it fit */
	memcpy(status_text, text, sizeof(text));
}
