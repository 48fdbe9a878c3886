// SPDX-License-Identifier: MIT
/*
 * Asks a running Linux about its machine: CPUID on each processor, the VMX capability MSRs through
 * /dev/cpu/N/msr (msr(4)), the rest from /proc and /sys. Only reads, except that it loads the
 * module msr if need be.
 */
#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <x86/vmx/vmx_bits.h>

#include "check.h"
#include "hornero.h"

#define CPUID_1_ECX_VMX (1u << 5)
#define VULNERABILITIES "/sys/devices/system/cpu/vulnerabilities"
#define SECURE_BOOT	"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static bool read_msr(int fd, uint32_t number, uint64_t *value)
{
	return pread(fd, value, sizeof(*value), number) == sizeof(*value);
}

/* 0 where the processor has no such MSR, as the hypervisor's own reader has it. */
static uint64_t msr(void *fd, uint32_t number)
{
	uint64_t value = 0;

	read_msr(*(int *)fd, number, &value);
	return value;
}

/* One processor, which must be the one that we run on. */
static int read_caps(unsigned int cpu, struct vmx_caps *c)
{
	unsigned int eax, ebx, ecx, edx;
	char path[40];
	int fd;

	memset(c, 0, sizeof(*c));
	__cpuid(1, eax, ebx, ecx, edx);
	c->vmx = ecx & CPUID_1_ECX_VMX;
	if (!c->vmx)
		return 0;
	snprintf(path, sizeof(path), "/dev/cpu/%u/msr", cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(-1, "%s: %s%s", path, strerror(errno),
			    errno == EACCES || errno == EPERM
				    ? ": only root may look into the processor; try sudo"
			    : errno == ENOENT ? ": load the module with 'modprobe msr'"
					      : "");
	c->feature_control = msr(&fd, MSR_IA32_FEATURE_CONTROL);
	if (!read_msr(fd, MSR_IA32_VMX_BASIC, &c->basic)) {
		close(fd);
		return fail(-1, "%s: the VMX capability registers cannot be read: %s", path,
			    strerror(errno));
	}
	vmx_caps_read(c, msr, &fd);
	close(fd);
	return 0;
}

static int read_all_caps(struct check_facts *facts)
{
	int most = get_nprocs_conf();
	cpu_set_t before, one;

	facts->caps = calloc((size_t)most, sizeof(*facts->caps));
	facts->numbers = calloc((size_t)most, sizeof(*facts->numbers));
	if (!facts->caps || !facts->numbers || sched_getaffinity(0, sizeof(before), &before) < 0)
		return fail(-1, "cannot look at the processors: %s", strerror(errno));
	if (access("/dev/cpu/0/msr", F_OK) < 0 && system("modprobe -q msr 2>/dev/null") != 0)
		errno = 0; /* built in, absent or forbidden: opening it will tell */
	for (int cpu = 0; cpu < most && cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) < 0) {
			facts->offline++;
			continue;
		}
		if (read_caps((unsigned int)cpu, &facts->caps[facts->cpus]) < 0)
			return -1;
		facts->numbers[facts->cpus++] = (unsigned int)cpu;
	}
	sched_setaffinity(0, sizeof(before), &before);
	return 0;
}

static void read_cpuid(struct check_facts *f)
{
	unsigned int eax, ebx, ecx, edx;
	unsigned int *model = (unsigned int *)f->model;

	__cpuid(0, eax, ebx, ecx, edx);
	memcpy(f->vendor, &ebx, 4);
	memcpy(f->vendor + 4, &edx, 4);
	memcpy(f->vendor + 8, &ecx, 4);
	__cpuid(1, eax, ebx, ecx, edx);
	f->signature = eax;
	if (ecx & 1u << 31) {
		__cpuid(0x40000000, eax, ebx, ecx, edx);
		memcpy(f->outer, &ebx, 4);
		memcpy(f->outer + 4, &ecx, 4);
		memcpy(f->outer + 8, &edx, 4);
	}
	if (__get_cpuid_max(0x80000000, NULL) >= 0x80000007) {
		for (unsigned int i = 0; i < 3; i++, model += 4)
			__cpuid(0x80000002 + i, model[0], model[1], model[2], model[3]);
		__cpuid(0x80000007, eax, ebx, ecx, edx);
		f->invariant_tsc = edx & 1u << 8;
	}
	memmove(f->model, f->model + strspn(f->model, " "), sizeof(f->model) - 16);
}

/* The first bytes of a file; empty when there is none. */
static size_t slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

static void read_vulnerabilities(struct check_facts *f)
{
	DIR *folder = opendir(VULNERABILITIES);
	char path[300], text[128];
	size_t used = 0;

	for (struct dirent *d = folder ? readdir(folder) : NULL; d; d = readdir(folder)) {
		snprintf(path, sizeof(path), VULNERABILITIES "/%s", d->d_name);
		if (d->d_name[0] == '.' || !slurp(path, text, sizeof(text)) ||
		    strncmp(text, "Vulnerable", 10) ||
		    used + strlen(d->d_name) + 2 > sizeof(f->vulnerable))
			continue;
		used += (size_t)snprintf(f->vulnerable + used, sizeof(f->vulnerable) - used, "%s%s",
					 used ? " " : "", d->d_name);
	}
	if (folder)
		closedir(folder);
}

static void read_machine(struct check_facts *f)
{
	struct sysinfo info;
	char text[64];

	if (sysinfo(&info) == 0)
		f->memory_bytes = (uint64_t)info.totalram * info.mem_unit;
	f->acpi = access("/sys/firmware/acpi/tables/APIC", F_OK) == 0;
	f->iommu = access("/sys/firmware/acpi/tables/DMAR", F_OK) == 0;
	f->efi = access("/sys/firmware/efi", F_OK) == 0;
	f->secure_boot = slurp(SECURE_BOOT, text, sizeof(text)) >= 5 && text[4] == 1;
	f->smt = slurp("/sys/devices/system/cpu/smt/active", text, sizeof(text)) && text[0] == '1';
}

int check_gather(struct check_facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	read_cpuid(facts);
	read_machine(facts);
	read_vulnerabilities(facts);
	return read_all_caps(facts);
}

void check_release(struct check_facts *facts)
{
	free(facts->caps);
	free(facts->numbers);
	facts->caps = NULL;
	facts->numbers = NULL;
}
