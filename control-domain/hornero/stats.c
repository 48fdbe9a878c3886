// SPDX-License-Identifier: MIT
/*
 * hornero stats: how often each processor left its domain for the hypervisor, and why. With
 * --interval the counts of that time only, as rates. Reasons that never happened are left out.
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "arch/x86/vmx/vmx_bits.h"
#include "hornero.h"
#include "vmm/abi/ioctl.h"
#include "vms.h"

/* Those that the hypervisor never asks for. */
#define OTHER_EXITS(X)                                                                             \
	X(5, IO_SMI)                                                                               \
	X(6, OTHER_SMI)                                                                            \
	X(14, INVLPG)                                                                              \
	X(16, RDTSC)                                                                               \
	X(17, RSM)                                                                                 \
	X(46, GDTR_IDTR)                                                                           \
	X(47, LDTR_TR)                                                                             \
	X(49, EPT_MISCONFIGURATION)                                                                \
	X(51, RDTSCP)                                                                              \
	X(57, RDRAND)                                                                              \
	X(58, INVPCID)                                                                             \
	X(61, RDSEED)                                                                              \
	X(62, PML_FULL)                                                                            \
	X(63, XSAVES)                                                                              \
	X(64, XRSTORS)                                                                             \
	X(67, UMWAIT)                                                                              \
	X(68, TPAUSE)                                                                              \
	X(69, LOADIWKEY)                                                                           \
	X(72, ENQCMD_PASID)                                                                        \
	X(73, ENQCMDS_PASID)                                                                       \
	X(74, BUS_LOCK)                                                                            \
	X(75, NOTIFY)

static const char *const exit_names[HV_EXIT_REASONS] = {
#define X(number, name) [number] = #name,
	VMX_EXIT_LIST(X) OTHER_EXITS(X)
#undef X
};

static const char *exit_name(unsigned int reason, char *room, size_t size)
{
	if (exit_names[reason])
		return exit_names[reason];
	snprintf(room, size, "EXIT_%u", reason);
	return room;
}

/* All CPUs' statistics; the caller frees. NULL after an error message. */
static struct hv_cpu_stats *read_all(int fd, uint32_t cpus)
{
	struct hv_cpu_stats *all = calloc(cpus, sizeof(*all));

	for (uint32_t i = 0; all && i < cpus; i++) {
		all[i].cpu = i;
		if (ioctl(fd, HORNERO_CPU_STATS, &all[i]) < 0) {
			fail(EXIT_FAILED, "%s: statistics of CPU %u: %s", HORNERO_DEVICE, i,
			     strerror(errno));
			free(all);
			return NULL;
		}
	}
	return all;
}

static void subtract(struct hv_cpu_stats *now, const struct hv_cpu_stats *before, uint32_t cpus)
{
	for (uint32_t i = 0; i < cpus; i++) {
		for (unsigned int r = 0; r < HV_EXIT_REASONS; r++) {
			now[i].exits[r] -= before[i].exits[r];
			now[i].guest_exits[r] -= before[i].guest_exits[r];
		}
		now[i].nmis_reinjected -= before[i].nmis_reinjected;
		now[i].root_tsc -= before[i].root_tsc;
	}
}

static const uint64_t *counters(const struct hv_cpu_stats *cpu, bool guests)
{
	return guests ? cpu->guest_exits : cpu->exits;
}

static uint64_t sum(const struct hv_cpu_stats *all, uint32_t cpus, bool guests, unsigned int reason)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < cpus; i++)
		total += counters(&all[i], guests)[reason];
	return total;
}

static void print_row(const char *name, uint64_t count, double seconds, uint64_t most, uint32_t cpu)
{
	if (seconds > 0)
		printf("  %-24s %14.1f", name, count / seconds);
	else
		printf("  %-24s %14llu", name, (unsigned long long)count);
	if (most)
		printf("   most on CPU %u: %llu", cpu, (unsigned long long)most);
	putchar('\n');
}

static void print_side(const struct hv_cpu_stats *all, uint32_t cpus, bool guests, double seconds)
{
	uint64_t total = 0;

	printf("Exits of %s%s\n", guests ? "guests" : "the control domain",
	       seconds > 0 ? ", per second" : "");
	for (unsigned int r = 0; r < HV_EXIT_REASONS; r++) {
		uint64_t count = sum(all, cpus, guests, r);
		uint32_t busiest = 0;
		char room[16];

		if (!count)
			continue;
		for (uint32_t i = 1; i < cpus; i++)
			if (counters(&all[i], guests)[r] > counters(&all[busiest], guests)[r])
				busiest = i;
		print_row(exit_name(r, room, sizeof(room)), count, seconds,
			  cpus > 1 ? counters(&all[busiest], guests)[r] : 0, busiest);
		total += count;
	}
	print_row("all", total, seconds, 0, 0);
}

static void print_text(const struct hv_cpu_stats *all, uint32_t cpus, double seconds)
{
	uint64_t nmis = 0, ticks = 0;

	print_side(all, cpus, false, seconds);
	print_side(all, cpus, true, seconds);
	for (uint32_t i = 0; i < cpus; i++) {
		nmis += all[i].nmis_reinjected;
		ticks += all[i].root_tsc;
	}
	printf("NMIs handed on: %llu. Ticks in the hypervisor for the control domain, CPUID not "
	       "counted: %llu.\n",
	       (unsigned long long)nmis, (unsigned long long)ticks);
}

static struct json_object *json_exits(const uint64_t *exits)
{
	struct json_object *object = json_object_new_object();
	char room[16];

	for (unsigned int r = 0; r < HV_EXIT_REASONS; r++)
		if (exits[r])
			json_object_object_add(object, exit_name(r, room, sizeof(room)),
					       json_object_new_uint64(exits[r]));
	return object;
}

static struct json_object *stats_json(const struct hv_cpu_stats *all, uint32_t cpus, double seconds)
{
	struct json_object *top = json_object_new_object();
	struct json_object *array = json_object_new_array();

	for (uint32_t i = 0; i < cpus; i++) {
		struct json_object *cpu = json_object_new_object();

		json_object_object_add(cpu, "cpu", json_object_new_uint64(all[i].cpu));
		json_object_object_add(cpu, "apic_id", json_object_new_uint64(all[i].apic_id));
		json_object_object_add(cpu, "exits", json_exits(all[i].exits));
		json_object_object_add(cpu, "guest_exits", json_exits(all[i].guest_exits));
		json_object_object_add(cpu, "nmis_reinjected",
				       json_object_new_uint64(all[i].nmis_reinjected));
		json_object_object_add(cpu, "root_tsc", json_object_new_uint64(all[i].root_tsc));
		json_object_array_add(array, cpu);
	}
	if (seconds > 0)
		json_object_object_add(top, "seconds", json_object_new_double(seconds));
	json_object_object_add(top, "cpus", array);
	return top;
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static int show(int fd, double interval, bool json)
{
	static struct hornero_vm_info vm[VMS_MAX];
	struct hv_cpu_stats *before = NULL, *now;
	struct hv_info info;
	double start = now_seconds();
	int code = EXIT_FAILED;

	if (ioctl(fd, HORNERO_INFO, &info) < 0)
		return fail(EXIT_FAILED, "%s: asking for information: %s", HORNERO_DEVICE,
			    strerror(errno));
	if (interval > 0) {
		struct timespec pause = {.tv_sec = (time_t)interval};

		before = read_all(fd, info.cpus);
		if (!before)
			return EXIT_FAILED;
		pause.tv_nsec = (long)((interval - (double)pause.tv_sec) * 1e9);
		nanosleep(&pause, NULL);
	}
	now = read_all(fd, info.cpus);
	if (now) {
		double seconds = before ? now_seconds() - start : 0;

		if (before)
			subtract(now, before, info.cpus);
		if (json) {
			struct json_object *top = stats_json(now, info.cpus, seconds);

			json_object_object_add(top, "vms", vms_json(vm, vms_read(fd, vm, VMS_MAX)));
			print_json(stdout, top);
		} else {
			print_text(now, info.cpus, seconds);
			vms_print_text(stdout, vm, vms_read(fd, vm, VMS_MAX));
		}
		code = EXIT_OK;
	}
	free(before);
	free(now);
	return code;
}

int stats_main(int argc, char **argv)
{
	static const struct option options[] = {{"interval", required_argument, NULL, 'i'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	double interval = 0;
	bool json = false;
	char *end;
	int option, fd, code;

	while ((option = getopt_long(argc, argv, "i:h", options, NULL)) != -1) {
		switch (option) {
		case 'i':
			interval = strtod(optarg, &end);
			if (*end || !(interval > 0 && interval <= 86400))
				return fail(EXIT_USAGE,
					    "--interval %s: give seconds, above 0 and at most "
					    "86400",
					    optarg);
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			puts("Usage: hornero stats [--interval SECONDS] [--json]\n\n"
			     "  -i, --interval SECONDS  count for that long, and show rates\n"
			     "  --json                  counts per processor, as JSON");
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return fail(EXIT_USAGE, "stats takes no argument '%s'", argv[optind]);
	fd = hypervisor_open(&code);
	if (fd < 0)
		return code;
	code = show(fd, interval, json);
	close(fd);
	return code;
}
