// SPDX-License-Identifier: MIT
/*
 * CPU weight, cap and pinning by cgroup v2: one group for each VM under /sys/fs/cgroup/hornero. The
 * device model is put in before its program starts, so all of its processes and threads are inside,
 * and later changes of the limits reach them. Where systemd runs, it has the cgroups: scope.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machines.h"

#define ROOT	  "/sys/fs/cgroup"
#define PERIOD_US 100000ull

static int write_value(const char *path, const char *value, struct reason *why)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done = fd < 0 ? -1 : write(fd, value, strlen(value));
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (done >= 0)
		return 0;
	return reason_set(why, "%s: '%s': %s", path, value, strerror(error));
}

/* Groups of two levels, with the controllers passed on. */
static int make_group(const char *group, struct reason *why)
{
	struct stat status;

	if (stat(ROOT "/cgroup.controllers", &status))
		return reason_set(why, ROOT " is no cgroup v2 file system; mount it there");
	if (mkdir(ROOT "/hornero", 0755) && errno != EEXIST)
		return reason_set(why, ROOT "/hornero: %s", strerror(errno));
	if (mkdir(group, 0755) && errno != EEXIST)
		return reason_set(why, "%s: %s", group, strerror(errno));
	if (write_value(ROOT "/cgroup.subtree_control", "+cpu +cpuset +memory", why) ||
	    write_value(ROOT "/hornero/cgroup.subtree_control", "+cpu +cpuset +memory", why))
		return -1;
	return 0;
}

static int set_file(const char *group, const char *file, const char *value, struct reason *why)
{
	char path[FILE_NAME_BYTES];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return write_value(path, value, why);
}

static int apply_limits(const char *group, const struct definition *definition, struct reason *why)
{
	char weight[24], cap[48] = "max";

	snprintf(weight, sizeof(weight), "%llu",
		 definition->cpu_weight ? (unsigned long long)definition->cpu_weight : 100ull);
	if (definition->cpu_max)
		snprintf(cap, sizeof(cap), "%llu %llu",
			 (unsigned long long)definition->cpu_max * PERIOD_US / 100, PERIOD_US);
	return set_file(group, "cpu.weight", weight, why) || set_file(group, "cpu.max", cap, why) ||
			       set_file(group, "cpuset.cpus",
					*definition->cpus_pin ? definition->cpus_pin : "\n", why)
		       ? -1
		       : 0;
}

int cgroup_apply(const char *name, const struct definition *definition, pid_t pid,
		 struct reason *why)
{
	bool wanted = definition->cpu_weight || definition->cpu_max || *definition->cpus_pin;
	char group[FILE_NAME_BYTES], number[16];

	if (is_elsewhere())
		return 0;
	snprintf(group, sizeof(group), ROOT "/hornero/%s", name);
	if (make_group(group, why) || apply_limits(group, definition, why))
		return wanted ? -1 : 0; /* without limits nothing is missed */
	snprintf(number, sizeof(number), "%d", (int)pid);
	return pid && set_file(group, "cgroup.procs", number, why) && wanted ? -1 : 0;
}

void cgroup_remove(const char *name)
{
	char group[FILE_NAME_BYTES];

	snprintf(group, sizeof(group), ROOT "/hornero/%s", name);
	if (!is_elsewhere())
		rmdir(group); /* fails while it is used, or if it was never made */
}
