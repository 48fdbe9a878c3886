// SPDX-License-Identifier: MIT
/*
 * The way to the hypervisor: CPUID says whether it is there, /dev/hornero talks to it. Each failure
 * is told with what to do about it, since this is the first command that somebody in trouble types.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>

#include "hornero.h"
#include "vmm/abi/hypercall.h"
#include "vmm/abi/ioctl.h"

int fail(enum exit_code code, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("hornero: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

bool hypervisor_present(void)
{
	unsigned int eax, ebx, ecx, edx;

	/* not __get_cpuid(): without the hypervisor bit the range of 4000_0000h is not announced */
	__cpuid(HV_CPUID_SIGNATURE, eax, ebx, ecx, edx);
	return ebx == HV_SIGNATURE_EBX && ecx == HV_SIGNATURE_ECX && edx == HV_SIGNATURE_EDX;
}

int hypervisor_open(int *code)
{
	int fd = open(HORNERO_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	*code = EXIT_NO_HYPERVISOR;
	if (errno == EACCES || errno == EPERM)
		*code = fail(EXIT_FAILED, "%s: only root may ask the hypervisor; try sudo",
			     HORNERO_DEVICE);
	else if (!hypervisor_present())
		fail(*code,
		     "this system runs without the hypervisor: boot the entry \"Hornero\" of "
		     "the boot menu (`hornero check` says whether this machine can)");
	else if (errno == ENOENT)
		fail(*code,
		     "%s does not exist: load the driver with 'modprobe hornero'; if that fails, "
		     "'dmesg' says why",
		     HORNERO_DEVICE);
	else
		fail(*code, "%s: %s", HORNERO_DEVICE, strerror(errno));
	return -1;
}

void print_json(FILE *out, struct json_object *object)
{
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							       JSON_C_TO_STRING_SPACED |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}
