// SPDX-License-Identifier: MIT
/*
 * What is checked before a VM is made or started: that what it boots is there, that no two VMs
 * write one disk, that its memory fits. Nothing is touched here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_format.h"
#include "machines.h"
#include "overlap.h"
#include "vmm/abi/info.h"
#include "vmm/abi/ioctl.h"

/* What a device model itself takes of this Linux's memory, measured with room to spare. */
#define PROCESS_BYTES (8 * MIB)
#define DISK_BOOT     "hornero.boot=disk"
/* What the hypervisor takes of the pool besides: whole frames of pages, for a VM, its vCPUs and its
 * page tables. */
#define FRAME_BYTES (2 * MIB)
enum { FRAME_PAGES = 512, VM_PAGES = 16, VCPU_PAGES = 16 };

static int check_readable(const char *what, const char *path, struct reason *why)
{
	struct stat status;

	if (stat(path, &status))
		return reason_set(why, "%s %s: %s", what, path,
				  errno == ENOENT ? "there is no such file" : strerror(errno));
	if (S_ISDIR(status.st_mode))
		return reason_set(why, "%s %s is a folder, not a file", what, path);
	if (access(path, R_OK))
		return reason_set(why, "%s %s: %s; run vm as root", what, path, strerror(errno));
	return 0;
}

static int check_least(const struct definition *definition, uint64_t least_bytes, const char *what,
		       const char *name, struct reason *why)
{
	char needs[32], has[32];

	if (definition->memory_bytes >= least_bytes)
		return 0;
	return reason_set(why, "%s '%s' needs %s of memory, and this VM has %s", what, name,
			  units_print_size(least_bytes, needs, sizeof(needs)),
			  units_print_size(definition->memory_bytes, has, sizeof(has)));
}

/* The demo guest's initramfs reads the disk's own boot entry and starts that kernel. */
static int choose_disk_boot(const struct definition *definition, struct boot_choice *choice,
			    struct reason *why)
{
	struct image image;

	if (store_image("demo", &image, why))
		return reason_set(why,
				  "booting from a disk needs the image 'demo', which is missing "
				  "here: set kernel and initrd");
	if (check_least(definition, image.memory_bytes, "booting from a disk by image", "demo",
			why))
		return -1;
	choice->takes_keys = image.takes_keys;
	strcpy(choice->kernel, image.kernel);
	strcpy(choice->initrd, image.initrd);
	strcpy(choice->cmdline, "console=hvc0 quiet " DISK_BOOT);
	return 0;
}

static int choose_image(const struct definition *definition, struct boot_choice *choice,
			struct reason *why)
{
	struct image image;

	if (store_image(definition->image, &image, why))
		return -1;
	if (!*image.kernel)
		return reason_set(
			why,
			"image '%s' is a disk, which is copied when a VM is made: 'vm create "
			"NAME --image %s'",
			definition->image, definition->image);
	if (check_least(definition, image.memory_bytes, "image", definition->image, why))
		return -1;
	choice->takes_keys = image.takes_keys;
	strcpy(choice->kernel, image.kernel);
	strcpy(choice->initrd, image.initrd);
	if (*image.cmdline)
		strcpy(choice->cmdline, image.cmdline);
	return 0;
}

/* The owner's words replace the image's; the kernel of a disk gets what is behind
 * hornero.boot=disk. */
static void add_cmdline(const struct definition *definition, struct boot_choice *choice)
{
	size_t kept = strstr(choice->cmdline, DISK_BOOT) ? strlen(choice->cmdline) : 0;

	snprintf(choice->cmdline + kept, sizeof(choice->cmdline) - kept, "%s%s", kept ? " " : "",
		 definition->cmdline);
}

int machine_boot_choice(const struct definition *definition, struct boot_choice *choice,
			struct reason *why)
{
	memset(choice, 0, sizeof(*choice));
	strcpy(choice->cmdline, "console=hvc0");
	if (*definition->image) {
		if (choose_image(definition, choice, why))
			return -1;
	} else if (*definition->kernel) {
		strcpy(choice->kernel, definition->kernel);
		strcpy(choice->initrd, definition->initrd);
	} else if (choose_disk_boot(definition, choice, why)) {
		return -1;
	}
	if (*definition->cmdline)
		add_cmdline(definition, choice);
	if (check_readable("kernel", choice->kernel, why))
		return -1;
	return *choice->initrd ? check_readable("initrd", choice->initrd, why) : 0;
}

static int check_format(const char *path, bool boots, struct reason *why)
{
	static unsigned char head[64 * 1024];
	struct reason refused;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd < 0 ? -1 : read(fd, head, sizeof(head));

	if (fd >= 0)
		close(fd);
	if (bytes < 512)
		return 0;
	switch (image_format_of(head, (size_t)bytes, &refused)) {
	case IMAGE_RAW:
		return 0;
	case IMAGE_QCOW2:
	case IMAGE_VMDK:
		return reason_set(why, "disk %s is no raw image: 'vm image import %s' converts it",
				  path, path);
	case IMAGE_REFUSED:
		break;
	}
	if (bytes < 0x8006 || memcmp(head + 0x8001, "CD001", 5))
		return reason_set(why, "disk %s: %s", path, refused.text);
	return boots ? reason_set(why, "disk %s is an ISO image: " CANNOT_BOOT, path) : 0;
}

int machine_check_formats(const struct definition *definition, struct reason *why)
{
	bool boots = !*definition->kernel && !*definition->image;
	struct stat status;

	for (unsigned int i = 0; i < definition->disks; i++)
		if (!stat(definition->disk[i].path, &status) && S_ISREG(status.st_mode) &&
		    check_format(definition->disk[i].path, boots && !i, why))
			return -1;
	return 0;
}

static int check_own_disks(const struct definition *definition, struct reason *why)
{
	struct stat status;

	for (unsigned int i = 0; i < definition->disks; i++) {
		const char *path = definition->disk[i].path;

		if (check_readable("disk", path, why))
			return -1;
		if (!definition->disk[i].read_only && access(path, W_OK))
			return reason_set(why, "disk %s: %s; give it read-only with ',ro'", path,
					  strerror(errno));
		if (!stat(path, &status) && S_ISREG(status.st_mode) && status.st_size % 512)
			return reason_set(why,
					  "disk %s: its size is not a multiple of 512 bytes; is "
					  "it a raw image? 'vm image import' converts others",
					  path);
		for (unsigned int j = 0; j < i; j++)
			if (overlap_same_disk(path, definition->disk[j].path))
				return reason_set(why, "disk %s is this VM's disk %s as well", path,
						  definition->disk[j].path);
	}
	return 0;
}

int machine_check_overlaps(const char *name, const struct definition *definition, bool running_only,
			   struct reason *why)
{
	return overlap_check_here(definition, why) ||
			       overlap_check_others(name, definition, running_only, why)
		       ? -1
		       : 0;
}

static uint64_t linux_free_memory(void)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * KIB;
}

static bool ask_hypervisor(struct hv_info *info)
{
	int fd = open(HORNERO_DEVICE, O_RDWR | O_CLOEXEC);
	bool is_there = fd >= 0 && !ioctl(fd, HORNERO_INFO, info);

	if (fd >= 0)
		close(fd);
	return is_there;
}

uint64_t machine_free_memory(bool *is_pool)
{
	struct hv_info info;

	*is_pool = ask_hypervisor(&info);
	return *is_pool ? info.pool_free_bytes : linux_free_memory();
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (double)MIB;
}

/*
 * What a VM with @memory bytes takes besides: a device model of this Linux's memory or, of the
 * pool, the hypervisor's tables. Page tables are one page for a GiB, and one for each frame where
 * code needs small pages.
 */
static uint64_t extra_bytes(const struct definition *definition, uint64_t memory)
{
	struct hv_info info;
	uint64_t pages = VM_PAGES + VCPU_PAGES * definition->cpus + memory / GIB;

	if (!ask_hypervisor(&info))
		return PROCESS_BYTES;
	if (!(info.features & 1ull << HV_FEATURE_LARGE_CODE))
		pages += memory / FRAME_BYTES;
	return (pages + FRAME_PAGES - 1) / FRAME_PAGES * FRAME_BYTES;
}

/* The most memory for which @available bytes are enough. */
static uint64_t most_memory(const struct definition *definition, uint64_t available)
{
	uint64_t fits = available / FRAME_BYTES * FRAME_BYTES, wanted;

	while (fits && (wanted = fits + extra_bytes(definition, fits)) > available) {
		uint64_t less = (wanted - available + FRAME_BYTES - 1) / FRAME_BYTES * FRAME_BYTES;

		fits -= less < fits ? less : fits;
	}
	return fits;
}

static int refuse_memory(const char *name, const struct definition *definition, uint64_t available,
			 const char *what, struct reason *why)
{
	uint64_t fits = most_memory(definition, available);
	uint64_t extra = extra_bytes(definition, definition->memory_bytes);
	char room[32], remedy[128] = "";

	if (fits >= 16 * MIB)
		snprintf(remedy, sizeof(remedy), ", or 'vm set %s --memory %s'", name,
			 units_print_size(fits, room, sizeof(room)));
	return reason_set(why,
			  "'%s' needs %.1f MiB = %.1f memory + %.1f %s; free %.1f: stop another "
			  "VM%s",
			  name, mib(definition->memory_bytes + extra),
			  mib(definition->memory_bytes), mib(extra), what, mib(available), remedy);
}

static int check_memory(const char *name, const struct definition *definition, struct reason *why)
{
	bool is_pool;
	uint64_t available = machine_free_memory(&is_pool), own = linux_free_memory();
	uint64_t extra = extra_bytes(definition, definition->memory_bytes);

	if (available && definition->memory_bytes + extra > available)
		return refuse_memory(name, definition, available,
				     is_pool ? "the hypervisor's tables" : "device model", why);
	if (is_pool && own && own < PROCESS_BYTES)
		return reason_set(why,
				  "'%s' needs %.1f MiB of the control domain's own memory for its "
				  "device model; free %.1f: 'control_mem' in its settings gives it "
				  "more",
				  name, mib(PROCESS_BYTES), mib(own));
	return 0;
}

int machine_admit(const char *name, const struct definition *definition, struct reason *why)
{
	struct boot_choice choice;

	if (machine_boot_choice(definition, &choice, why) || check_own_disks(definition, why) ||
	    machine_check_formats(definition, why) ||
	    machine_check_overlaps(name, definition, true, why))
		return -1;
	return check_memory(name, definition, why);
}
