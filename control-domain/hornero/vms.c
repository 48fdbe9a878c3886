// SPDX-License-Identifier: MIT
/*
 * hornero vms: every VM that the hypervisor has, whoever made it, with the memory that it holds;
 * those kept without a process too. --destroy ends one of the latter.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "hornero.h"
#include "vmm/abi/ioctl.h"
#include "vms.h"

#define FRAME_MIB 2u

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {[HORNERO_VM_ENDING] = "ending",
					    [HORNERO_VM_OPEN] = "open",
					    [HORNERO_VM_KEPT] = "kept"};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

void vms_print_text(FILE *out, const struct hornero_vm_info *vm, size_t count)
{
	char uuid[UUID_STR_LEN];

	if (!count) {
		fputs("No VMs.\n", out);
		return;
	}
	fprintf(out, "%-9s %-36s %-8s %5s %9s  %s\n", "HANDLE", "UUID", "STATE", "VCPUS", "MEMORY",
		"NAME");
	for (size_t i = 0; i < count; i++) {
		uuid_unparse_lower(vm[i].info.uuid, uuid);
		fprintf(out, "%-9x %-36s %-8s %5u %5llu MiB  %.64s\n", vm[i].info.handle, uuid,
			state_name(vm[i].state), vm[i].info.vcpus,
			(unsigned long long)vm[i].info.frames * FRAME_MIB, vm[i].info.name);
	}
}

struct json_object *vms_json(const struct hornero_vm_info *vm, size_t count)
{
	struct json_object *array = json_object_new_array();
	char text[UUID_STR_LEN];

	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_new_object();

		uuid_unparse_lower(vm[i].info.uuid, text);
		json_object_object_add(one, "uuid", json_object_new_string(text));
		snprintf(text, sizeof(text), "%x", vm[i].info.handle);
		json_object_object_add(one, "handle", json_object_new_string(text));
		json_object_object_add(one, "name", json_object_new_string(vm[i].info.name));
		json_object_object_add(one, "state",
				       json_object_new_string(state_name(vm[i].state)));
		json_object_object_add(one, "keep",
				       json_object_new_boolean(!!(vm[i].info.flags & HV_VM_KEEP)));
		json_object_object_add(one, "owner", json_object_new_uint64(vm[i].owner));
		json_object_object_add(one, "vcpus", json_object_new_uint64(vm[i].info.vcpus));
		json_object_object_add(
			one, "pool_bytes",
			json_object_new_uint64((vm[i].info.frames * FRAME_MIB) << 20));
		json_object_array_add(array, one);
	}
	return array;
}

size_t vms_read(int fd, struct hornero_vm_info *vm, size_t room)
{
	struct hornero_vm_info info = {.slot = 0};
	size_t count = 0;

	for (; count < room && !ioctl(fd, HORNERO_VM_INFO, &info); info.slot++)
		if (info.info.handle)
			vm[count++] = info;
	return count;
}

static int destroy(const char *text)
{
	uuid_t uuid;
	int fd, err;

	if (uuid_parse(text, uuid))
		return fail(EXIT_USAGE, "--destroy %s: give a UUID as 'hornero vms' shows it",
			    text);
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(EXIT_NO_HYPERVISOR,
			    "/dev/kvm: %s: load the driver with 'modprobe hornero'",
			    strerror(errno));
	err = ioctl(fd, HORNERO_DESTROY_VM, uuid) ? errno : 0;
	close(fd);
	if (err == ENOENT)
		return fail(EXIT_FAILED, "there is no VM %s: 'hornero vms' lists those there are",
			    text);
	if (err == EBUSY)
		return fail(EXIT_FAILED, "a process has VM %s open: end that first", text);
	if (err == ENOTTY)
		return fail(EXIT_NO_HYPERVISOR, "/dev/kvm is not Hornero's: no VMs are kept here");
	if (err)
		return fail(EXIT_FAILED, "VM %s is not destroyed: %s", text, strerror(err));
	return EXIT_OK;
}

static int show(bool json)
{
	static struct hornero_vm_info vm[VMS_MAX];
	int code, fd = hypervisor_open(&code);
	size_t count;

	if (fd < 0)
		return code;
	count = vms_read(fd, vm, VMS_MAX);
	close(fd);
	if (json)
		print_json(stdout, vms_json(vm, count));
	else
		vms_print_text(stdout, vm, count);
	return EXIT_OK;
}

int vms_main(int argc, char **argv)
{
	static const struct option options[] = {{"destroy", required_argument, NULL, 'd'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			return destroy(optarg);
		case 'j':
			json = true;
			break;
		case 'h':
			puts("Usage: hornero vms [--json] | --destroy UUID\n\n"
			     "  --json          the list as JSON\n"
			     "  --destroy UUID  end a VM that is kept without a process, for good");
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return fail(EXIT_USAGE, "vms takes no argument '%s'", argv[optind]);
	return show(json);
}
