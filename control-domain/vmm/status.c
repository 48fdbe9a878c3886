// SPDX-License-Identifier: MIT
/*
 * One write of a block of fixed size, so that no older, longer text shows behind it.
 */
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

static int status_fd = -1;
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
	if (status_fd >= 0 && !fcntl(status_fd, F_OFD_SETLK, &lock) && !ftruncate(status_fd, 0))
		return 0;
	return reason_set(why, "--status %s: %s", config->status,
			  errno == EAGAIN ? "another VM is running there" : strerror(errno));
}

void status_write(const struct machine *machine)
{
	const struct config *config = machine->config;
	char text[STATUS_BYTES];
	struct iovec block = {.iov_base = text, .iov_len = sizeof(text)};

	if (status_fd < 0)
		return;
	status_count++;
	memset(text, '\n', sizeof(text));
	int used = snprintf(text, sizeof(text), "%u %s %llu %llu %u %s\n%.500s\n%u", status_count,
			    machine_state_names[machine->state], started_s,
			    (unsigned long long)config->memory_bytes, config->cpus, config->label,
			    machine->why, status_count);

	text[used] = '\n'; /* instead of the end of a string; the parts' limits make it fit */
	if (pwritev(status_fd, &block, 1, 0) != (ssize_t)sizeof(text))
		say_warn("status file: %s", strerror(errno));
}
