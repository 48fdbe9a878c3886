// SPDX-License-Identifier: MIT
/*
 * What two VMs, or a VM and this Linux, must not have both: a disk that one of them writes, by
 * whatever name, a MAC address, a port. Nothing is touched here.
 *
 * Read next: admission.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "machines.h"
#include "net.h"
#include "overlap.h"

/* A file of a block device in sysfs, as a path. */
static const char *sysfs_path(dev_t device, const char *file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "/sys/dev/block/%u:%u/%s", major(device), minor(device), file);
	return path;
}

/* The disk that a partition is on; a disk itself otherwise. */
static dev_t whole_disk(dev_t device)
{
	char path[PATH_MAX], *text;
	unsigned int big, small;
	dev_t whole = device;

	if (access(sysfs_path(device, "partition", path), F_OK))
		return device;
	text = read_text(sysfs_path(device, "../dev", path), 4096);
	if (text && sscanf(text, "%u:%u", &big, &small) == 2)
		whole = makedev(big, small);
	free(text);
	return whole;
}

/* The file behind a loop device or a partition of one takes its place. */
static void look_behind_loop(struct stat *status)
{
	char path[PATH_MAX], *text;

	if (!S_ISBLK(status->st_mode))
		return;
	text = read_text(sysfs_path(whole_disk(status->st_rdev), "loop/backing_file", path), 4096);
	if (text) {
		text[strcspn(text, "\n")] = '\0';
		if (stat(text, status))
			errno = 0; /* deleted: nobody else can have it */
	}
	free(text);
}

bool overlap_same_disk(const char *a, const char *b)
{
	struct stat x, y;

	if (!strcmp(a, b))
		return true;
	if (stat(a, &x) || stat(b, &y))
		return false;
	look_behind_loop(&x);
	look_behind_loop(&y);
	if (!S_ISBLK(x.st_mode) || !S_ISBLK(y.st_mode))
		return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
	return x.st_rdev == y.st_rdev || whole_disk(x.st_rdev) == y.st_rdev ||
	       x.st_rdev == whole_disk(y.st_rdev);
}

static int check_disks(const struct definition *mine, const char *other_name,
		       const struct definition *other, struct reason *why)
{
	for (unsigned int i = 0; i < mine->disks; i++)
		for (unsigned int j = 0; j < other->disks; j++)
			if (!(mine->disk[i].read_only && other->disk[j].read_only) &&
			    overlap_same_disk(mine->disk[i].path, other->disk[j].path))
				return reason_set(
					why,
					"disk %s belongs to VM '%s' too, and two VMs writing "
					"one disk destroy it: copy it, or give it to both with "
					"',ro'",
					mine->disk[i].path, other_name);
	return 0;
}

static int check_cards(const char *name, const struct definition *mine, const char *other_name,
		       const struct definition *other, struct reason *why)
{
	char own[18], theirs[18];

	if (!strcmp(mine->net, "none") || strcmp(mine->net, other->net) ||
	    strcasecmp(machine_mac(name, mine, own), machine_mac(other_name, other, theirs)))
		return 0;
	return reason_set(why,
			  "mac: %s is the address of VM '%s' on network '%s' too; leave it out to "
			  "get one of its own",
			  own, other_name, mine->net);
}

static int check_ports(const struct definition *mine, const char *other_name,
		       const struct definition *other, struct reason *why)
{
	for (unsigned int i = 0; i < mine->published; i++)
		for (unsigned int j = 0; j < other->published; j++)
			if (mine->publish[i].host_port == other->publish[j].host_port &&
			    mine->publish[i].udp == other->publish[j].udp)
				return reason_set(
					why, "publish: port %u is published by VM '%s' already",
					mine->publish[i].host_port, other_name);
	return 0;
}

int overlap_check_others(const char *name, const struct definition *definition, bool running_only,
			 struct reason *why)
{
	char **names = store_names();
	struct definition other;
	struct reason ignored;
	int failed = 0;

	for (char **at = names; *at && !failed; at++)
		if (strcmp(*at, name) &&
		    (runtime_pid(*at) ? !store_read_started(*at, &other, &ignored)
				      : !running_only && !store_read(*at, &other, &ignored)))
			failed = check_disks(definition, *at, &other, why) ||
				 check_cards(name, definition, *at, &other, why) ||
				 check_ports(definition, *at, &other, why);
	store_free_names(names);
	return failed ? -1 : 0;
}

static bool is_listened_on(unsigned int port, bool udp)
{
	static const char *const files[2][2] = {{"/proc/net/tcp", "/proc/net/tcp6"},
						{"/proc/net/udp", "/proc/net/udp6"}};
	char line[512];
	bool found = false;

	for (int family = 0; family < 2; family++) {
		FILE *file = fopen(files[udp][family], "re");

		while (file && !found && fgets(line, sizeof(line), file))
			found = net_is_listening(line, port, udp);
		if (file)
			fclose(file);
	}
	return found;
}

static int check_own_ports(const struct definition *definition, struct reason *why)
{
	for (unsigned int i = 0; i < definition->published; i++) {
		const struct publish *publish = &definition->publish[i];
		unsigned int free = (publish->host_port + 2200u) % 65536u;

		if (is_listened_on(publish->host_port, publish->udp))
			return reason_set(
				why,
				"publish: port %u is one that the control domain listens on%s; "
				"take another, such as %u:%u",
				publish->host_port,
				publish->host_port == 22 ? " (you log in there)" : "",
				free ? free : 2222, publish->guest_port);
	}
	return 0;
}

/* Mounted, or part of RAID, LVM and the like: Linux then holds it, or a partition of it. */
static int check_unused(const struct disk *disk, struct reason *why)
{
	struct stat status;
	int fd;

	if (disk->read_only || stat(disk->path, &status) || !S_ISBLK(status.st_mode))
		return 0;
	fd = open(disk->path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY)
		return reason_set(why,
				  "disk %s is in use by the control domain (mounted, or part of "
				  "RAID or LVM): give it up there first, or give it read-only with "
				  "',ro'",
				  disk->path);
	if (fd >= 0)
		close(fd);
	return 0;
}

int overlap_check_here(const struct definition *definition, struct reason *why)
{
	for (unsigned int i = 0; i < definition->disks; i++)
		if (check_unused(&definition->disk[i], why))
			return -1;
	return is_elsewhere() ? 0 : check_own_ports(definition, why);
}
