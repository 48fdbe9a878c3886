// SPDX-License-Identifier: MIT
/*
 * The keys of a definition: for each how its value is read, checked alone and written. The table at
 * the end is the reference; checks across keys are in definition_check().
 */
#include "definition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MIN	   (16 * MIB)
#define MEMORY_MAX	   (1024 * GIB)
#define MEMORY_GRANULARITY (2 * MIB)
#define MEMORY_DEFAULT	   (512 * MIB)

void definition_defaults(struct definition *definition)
{
	memset(definition, 0, sizeof(*definition));
	definition->memory_bytes = MEMORY_DEFAULT;
	definition->cpus = 1;
	strcpy(definition->net, "nat");
}

static int copy(char *to, size_t size, const char *value, struct reason *why)
{
	if (strlen(value) >= size)
		return reason_set(why, "'%.40s...' is longer than %zu characters", value, size - 1);
	strcpy(to, value);
	return 0;
}

static const char *first_only(const char *value, unsigned int index)
{
	return index || !*value ? NULL : value;
}

static const char *number_or_none(uint64_t value, uint64_t none, unsigned int index, char *buffer,
				  size_t size)
{
	if (index || value == none)
		return NULL;
	snprintf(buffer, size, "%llu", (unsigned long long)value);
	return buffer;
}

static int set_memory(struct definition *d, const char *value, struct reason *why)
{
	uint64_t bytes;

	if (units_parse_size(value, &bytes, why))
		return -1;
	if (bytes < MEMORY_MIN || bytes > MEMORY_MAX || bytes % MEMORY_GRANULARITY)
		return reason_set(why, "'%s' is not a multiple of 2M from 16M to 1T", value);
	d->memory_bytes = bytes;
	return 0;
}

static const char *get_memory(const struct definition *d, unsigned int index, char *buffer,
			      size_t size)
{
	return index ? NULL : units_print_size(d->memory_bytes, buffer, size);
}

static int set_cpus(struct definition *d, const char *value, struct reason *why)
{
	return units_parse_number(value, 1, CPUS_MAX, &d->cpus, why);
}

static const char *get_cpus(const struct definition *d, unsigned int index, char *buffer,
			    size_t size)
{
	return number_or_none(d->cpus, 0, index, buffer, size);
}

static int set_image(struct definition *d, const char *value, struct reason *why)
{
	if (units_check_name("image", value, why))
		return -1;
	return copy(d->image, sizeof(d->image), value, why);
}

static const char *get_image(const struct definition *d, unsigned int index, char *buffer,
			     size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->image, index);
}

/* Paths are absolute: a definition means the same from every working directory. */
static int copy_path(char *to, const char *value, struct reason *why)
{
	if (*value != '/')
		return reason_set(why, "'%s' is not an absolute path: start it with '/'", value);
	if (strchr(value, ','))
		return reason_set(why, "'%s': a path here must not have a comma; rename the file",
				  value);
	return copy(to, PATH_BYTES, value, why);
}

static int set_kernel(struct definition *d, const char *value, struct reason *why)
{
	return copy_path(d->kernel, value, why);
}

static const char *get_kernel(const struct definition *d, unsigned int index, char *buffer,
			      size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->kernel, index);
}

static int set_initrd(struct definition *d, const char *value, struct reason *why)
{
	return copy_path(d->initrd, value, why);
}

static const char *get_initrd(const struct definition *d, unsigned int index, char *buffer,
			      size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->initrd, index);
}

static int set_cmdline(struct definition *d, const char *value, struct reason *why)
{
	return copy(d->cmdline, sizeof(d->cmdline), value, why);
}

static const char *get_cmdline(const struct definition *d, unsigned int index, char *buffer,
			       size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->cmdline, index);
}

static int set_boot(struct definition *d, const char *value, struct reason *why)
{
	static const char *const firmware[] = {"firmware", "bios", "uefi",   "efi",
					       "cdrom",	   "iso",  "network"};

	d->boot_disk = !strcmp(value, "disk");
	for (unsigned int i = 0; i < sizeof(firmware) / sizeof(firmware[0]); i++)
		if (!strcmp(value, firmware[i]))
			return reason_set(why, "'%s': " CANNOT_BOOT, value);
	return d->boot_disk
		       ? 0
		       : reason_set(why,
				    "'%s' is not 'disk', which boots the first disk's own boot "
				    "entry; --kernel boots a kernel",
				    value);
}

static const char *get_boot(const struct definition *d, unsigned int index, char *buffer,
			    size_t size)
{
	(void)buffer, (void)size;
	return index || !d->boot_disk ? NULL : "disk";
}

static int set_cloud_init(struct definition *d, const char *value, struct reason *why)
{
	return !strcmp(value, "none") ? copy(d->cloud_init, PATH_BYTES, value, why)
				      : copy_path(d->cloud_init, value, why);
}

static const char *get_cloud_init(const struct definition *d, unsigned int index, char *buffer,
				  size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->cloud_init, index);
}

static int set_disk(struct definition *d, const char *value, struct reason *why)
{
	char path[PATH_BYTES + 8];
	size_t length = strcspn(value, ",");
	struct disk *disk = &d->disk[d->disks];

	if (d->disks == DISKS_MAX)
		return reason_set(why, "'%s': a VM has at most %d disks", value, DISKS_MAX);
	if (value[length] && strcmp(value + length, ",ro"))
		return reason_set(why, "'%s': after the path only ',ro' (read-only) may follow",
				  value);
	if (length >= sizeof(path))
		return reason_set(why, "'%.40s...' is longer than %d characters", value,
				  PATH_BYTES - 1);
	memcpy(path, value, length);
	path[length] = '\0';
	if (copy_path(disk->path, path, why))
		return -1;
	for (unsigned int i = 0; i < d->disks; i++)
		if (!strcmp(d->disk[i].path, path))
			return reason_set(why, "'%s' is this VM's disk already", path);
	disk->read_only = value[length] != '\0';
	d->disks++;
	return 0;
}

static const char *get_disk(const struct definition *d, unsigned int index, char *buffer,
			    size_t size)
{
	if (index >= d->disks)
		return NULL;
	snprintf(buffer, size, "%s%s", d->disk[index].path, d->disk[index].read_only ? ",ro" : "");
	return buffer;
}

static int set_net(struct definition *d, const char *value, struct reason *why)
{
	if (units_check_name("network", value, why))
		return -1;
	return copy(d->net, sizeof(d->net), value, why);
}

static const char *get_net(const struct definition *d, unsigned int index, char *buffer,
			   size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->net, index);
}

static int set_mac(struct definition *d, const char *value, struct reason *why)
{
	uint8_t mac[6];

	if (units_parse_mac(value, mac, why))
		return -1;
	return copy(d->mac, sizeof(d->mac), value, why);
}

static const char *get_mac(const struct definition *d, unsigned int index, char *buffer,
			   size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->mac, index);
}

static int set_publish(struct definition *d, const char *value, struct reason *why)
{
	char host[8] = "", guest[8] = "", rest[8] = "";
	uint64_t host_port, guest_port;
	struct reason ignored;
	int fields = sscanf(value, "%7[0-9]:%7[0-9]%7s", host, guest, rest);

	if (fields < 2 || (fields == 3 && strcmp(rest, "/udp") && strcmp(rest, "/tcp")) ||
	    units_parse_number(host, 1, 65535, &host_port, &ignored) ||
	    units_parse_number(guest, 1, 65535, &guest_port, &ignored))
		return reason_set(why,
				  "'%s' is no pair of ports: write HOST:GUEST, such as 2222:22 or "
				  "5353:53/udp",
				  value);
	bool udp = !strcmp(rest, "/udp");

	for (unsigned int i = 0; i < d->published; i++)
		if (d->publish[i].host_port == host_port && d->publish[i].udp == udp)
			return reason_set(why, "'%s': port %llu is published already", value,
					  (unsigned long long)host_port);
	if (d->published == PUBLISH_MAX)
		return reason_set(why, "'%s': at most %d ports", value, PUBLISH_MAX);
	d->publish[d->published++] = (struct publish){
		.host_port = (uint16_t)host_port, .guest_port = (uint16_t)guest_port, .udp = udp};
	return 0;
}

static const char *get_publish(const struct definition *d, unsigned int index, char *buffer,
			       size_t size)
{
	if (index >= d->published)
		return NULL;
	snprintf(buffer, size, "%u:%u%s", d->publish[index].host_port, d->publish[index].guest_port,
		 d->publish[index].udp ? "/udp" : "");
	return buffer;
}

static int set_autostart(struct definition *d, const char *value, struct reason *why)
{
	struct reason ignored;

	if (!strcmp(value, "no"))
		d->autostart = 0;
	else if (units_parse_number(value, 1, 9999, &d->autostart, &ignored))
		return reason_set(why, "'%s' is neither 'no' nor an order from 1 to 9999", value);
	return 0;
}

static const char *get_autostart(const struct definition *d, unsigned int index, char *buffer,
				 size_t size)
{
	return number_or_none(d->autostart, 0, index, buffer, size);
}

static int set_cpu_weight(struct definition *d, const char *value, struct reason *why)
{
	return units_parse_number(value, 1, 10000, &d->cpu_weight, why);
}

static const char *get_cpu_weight(const struct definition *d, unsigned int index, char *buffer,
				  size_t size)
{
	return number_or_none(d->cpu_weight, 0, index, buffer, size);
}

static int set_cpu_max(struct definition *d, const char *value, struct reason *why)
{
	char number[16];
	size_t length = strlen(value);
	struct reason ignored;

	if (length < 2 || length > sizeof(number) || value[length - 1] != '%')
		return reason_set(why, "'%s' is no share: write per cent of one CPU, such as 50%%",
				  value);
	memcpy(number, value, length - 1);
	number[length - 1] = '\0';
	if (units_parse_number(number, 1, 100 * CPUS_MAX, &d->cpu_max, &ignored))
		return reason_set(why, "'%s' is not from 1%% to %d%%", value, 100 * CPUS_MAX);
	return 0;
}

static const char *get_cpu_max(const struct definition *d, unsigned int index, char *buffer,
			       size_t size)
{
	if (index || !d->cpu_max)
		return NULL;
	snprintf(buffer, size, "%llu%%", (unsigned long long)d->cpu_max);
	return buffer;
}

static int set_cpus_pin(struct definition *d, const char *value, struct reason *why)
{
	if (units_check_cpu_list(value, why))
		return -1;
	return copy(d->cpus_pin, sizeof(d->cpus_pin), value, why);
}

static const char *get_cpus_pin(const struct definition *d, unsigned int index, char *buffer,
				size_t size)
{
	(void)buffer, (void)size;
	return first_only(d->cpus_pin, index);
}

int definition_check(const struct definition *d, struct reason *why)
{
	if (*d->image && *d->kernel)
		return reason_set(why, "image and kernel are both set; an image brings its kernel, "
				       "so take one out");
	if (*d->initrd && !*d->kernel)
		return reason_set(why, "initrd is set without a kernel; add kernel = FILE");
	if (!*d->image && !*d->kernel && !d->disks)
		return reason_set(why, "nothing to boot from: set image, kernel or disk");
	if (d->boot_disk && (*d->kernel || *d->image))
		return reason_set(why, "boot = disk and %s are both set; take one out",
				  *d->kernel ? "kernel" : "an image with a kernel of its own");
	if (d->published && strcmp(d->net, "nat"))
		return reason_set(why, "publish works on net = nat only, and net is %s", d->net);
	return 0;
}

const struct definition_key definition_keys[] = {
	{"memory", "SIZE", "memory, with unit (default 512M, or the image's)", false, set_memory,
	 get_memory},
	{"cpus", "N", "virtual CPUs, 1 to 16 (default 1)", false, set_cpus, get_cpus},
	{"image", "NAME", "boot this image; 'vm image' lists them", false, set_image, get_image},
	{"kernel", "FILE", "boot this Linux kernel", false, set_kernel, get_kernel},
	{"initrd", "FILE", "with this initramfs (default none)", false, set_initrd, get_initrd},
	{"boot", "disk", "the disk's own boot entry (default without kernel)", false, set_boot,
	 get_boot},
	{"cmdline", "TEXT", "kernel command line (default console=hvc0)", false, set_cmdline,
	 get_cmdline},
	{"disk", "DISK", "SIZE (new), file or device, ',ro' (default none)", true, set_disk,
	 get_disk},
	{"cloud_init", "FILE", "user data; none (default: your SSH keys, the name)", false,
	 set_cloud_init, get_cloud_init},
	{"net", "NET", "none, nat or a network's name (default nat)", false, set_net, get_net},
	{"mac", "ADDRESS", "MAC address (default: made from the name)", false, set_mac, get_mac},
	{"publish", "HOST:GUEST", "a guest's port seen from outside (default none)", true,
	 set_publish, get_publish},
	{"autostart", "ORDER", "start at boot, low numbers first; no (default)", false,
	 set_autostart, get_autostart},
	{"cpu_weight", "N", "share under load, 1 to 10000 (default 100)", false, set_cpu_weight,
	 get_cpu_weight},
	{"cpu_max", "N%", "at most so much of one CPU (default: no limit)", false, set_cpu_max,
	 get_cpu_max},
	{"cpus_pin", "LIST", "only these CPUs, such as 1-3 (default: all)", false, set_cpus_pin,
	 get_cpus_pin},
};
const unsigned int definition_key_count = sizeof(definition_keys) / sizeof(definition_keys[0]);
