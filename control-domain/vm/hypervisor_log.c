// SPDX-License-Identifier: MIT
/*
 * What the hypervisor said of a VM. It knows VMs by a handle, and by the name that the device model
 * gives, or, when another VM has that, its driver makes up from the device model's process. `vm`
 * finds the handle once the VM runs and notes it in the VM's log, and once more beside it, for a
 * log gets lost as it grows.
 * Lines of the hypervisor's log that name the handle are then the VM's. Their times count from its
 * own start, so they are put on our clock first.
 */
#include "hypervisor_log.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/abi/hypercall.h"
#include "vmm/abi/ioctl.h"

#define NOTE "the hypervisor calls it VM "
enum { CHUNK_BYTES = 64 * 1024, SLOTS_MAX = 65536 };

/* The device model proper: its keeper's only child. */
static pid_t child_of(pid_t keeper)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)keeper, (int)keeper);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		*text = '\0';
	close(fd);
	return atoi(text);
}

void hypervisor_note(const char *name, pid_t keeper)
{
	int fd = open(HORNERO_DEVICE, O_RDWR | O_CLOEXEC);
	struct hornero_vm_info info = {.slot = 0};
	char end[16], note[64];

	snprintf(end, sizeof(end), "-%d", (int)child_of(keeper));
	while (fd >= 0 && info.slot < SLOTS_MAX && !ioctl(fd, HORNERO_VM_INFO, &info)) {
		const char *dash = strrchr(info.info.name, '-');

		if (info.info.handle &&
		    (!strcmp(info.info.name, name) || (dash && !strcmp(dash, end)))) {
			snprintf(note, sizeof(note), NOTE "%x", info.info.handle);
			log_append(name, note);
			log_keep(name, "handle", note);
			break;
		}
		info = (struct hornero_vm_info){.slot = info.slot + 1};
	}
	if (fd >= 0)
		close(fd);
}

int hypervisor_log_open(struct hypervisor_log *log, const char *name)
{
	struct hv_info info;

	memset(log, 0, sizeof(*log));
	log->name = name;
	log->fd = open(HORNERO_DEVICE, O_RDWR | O_CLOEXEC);
	if (log->fd < 0)
		return -1;
	if (!ioctl(log->fd, HORNERO_INFO, &info) && info.tsc_khz) {
		log->began = time(NULL) - (time_t)(info.uptime_tsc / info.tsc_khz / 1000);
		return 0;
	}
	close(log->fd);
	log->fd = -1;
	return -1;
}

void hypervisor_log_learn(struct hypervisor_log *log, const char *line)
{
	const char *at = strstr(line, ": " NOTE);

	if (!at)
		return;
	void *more = reallocarray(log->handle, log->handles + 1, sizeof(log->handle[0]));

	if (!more)
		return;
	log->handle = more;
	snprintf(log->handle[log->handles++], sizeof(log->handle[0]), "VM %.11s",
		 at + 2 + strlen(NOTE));
}

static bool is_ours(const struct hypervisor_log *log, const char *line)
{
	for (size_t i = 0; i < log->handles; i++) {
		const char *at = strstr(line, log->handle[i]);

		if (at && !isxdigit((unsigned char)at[strlen(log->handle[i])]))
			return true;
	}
	return false;
}

bool hypervisor_log_convert(const struct hypervisor_log *log, const char *line, char *text,
			    size_t size)
{
	unsigned long seconds;
	char stamp[32];
	struct tm utc;
	int used = 0;

	if (sscanf(line, "[%lu.%*u] %n", &seconds, &used) != 1 || !used || !is_ours(log, line))
		return false;
	time_t when = log->began + (time_t)seconds;

	gmtime_r(&when, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
	snprintf(text, size, "%s %s: hypervisor: %s", stamp, log->name, line + used);
	return true;
}

/* Reads on when the text that is there is used up. False: there is no more for now. */
static bool refill(struct hypervisor_log *log)
{
	struct hornero_log_read request = {.position = log->position,
					   .buffer = (uintptr_t)(log->text + log->kept),
					   .bytes = CHUNK_BYTES,
					   .which = HV_LOG_CURRENT};

	if (ioctl(log->fd, HORNERO_LOG_READ, &request) || !request.bytes)
		return false;
	log->position = request.position;
	log->kept += request.bytes;
	log->text[log->kept] = '\0';
	return true;
}

bool hypervisor_log_next(struct hypervisor_log *log, char *line, size_t size)
{
	if (log->fd < 0)
		return false;
	if (!log->text)
		log->text = calloc(1, 2 * CHUNK_BYTES + 1);
	while (log->text) {
		char *end = strchr(log->text + log->used, '\n');

		if (end) {
			*end = '\0';
			bool ours = hypervisor_log_convert(log, log->text + log->used, line, size);

			log->used = (size_t)(end - log->text) + 1;
			if (ours)
				return true;
			continue;
		}
		log->kept -= log->used;
		memmove(log->text, log->text + log->used, log->kept + 1);
		log->used = 0;
		if (log->kept >= CHUNK_BYTES) /* no line is that long */
			log->kept = 0;
		if (!refill(log))
			return false;
	}
	return false;
}
