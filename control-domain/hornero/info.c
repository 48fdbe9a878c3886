// SPDX-License-Identifier: MIT
/*
 * hornero info: the hypervisor in one screen. The part on protection repeats what the design
 * promises today ("Isolation"); it changes when the code does.
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hornero.h"
#include "vmm/abi/ioctl.h"

static const struct feature {
	enum hv_feature bit;
	const char *name;
	const char *text;
} features[] = {
#define X(bit, name, text) {HV_FEATURE_##name, #name, text},
	HV_FEATURE_LIST(X)
#undef X
};
#define LINE_WIDTH 99
#define FEATURES   (sizeof(features) / sizeof(features[0]))

static const char *const protected[] = {
	"guests against each other: memory, registers, interrupts",
	"the control domain and the hypervisor against guests",
	"the hypervisor's and the guests' memory against the control domain's programs",
};

static const char *const trusted[] = {
	"the control domain's Linux kernel and the driver hornero.ko",
	"the control domain's devices: without VT-d their DMA reaches all memory",
	"firmware and boot loader",
};

/* Not a VT-x feature: how the machine was booted or the hypervisor built. */
static bool is_feature(const struct feature *f)
{
	return f->bit != HV_FEATURE_EFI && f->bit != HV_FEATURE_TEST_BUILD;
}

static bool has(const struct hv_info *info, enum hv_feature bit)
{
	return info->features >> bit & 1;
}

static void print_features(FILE *out, const struct hv_info *info, bool wanted, const char *title)
{
	int column = 0;

	for (size_t i = 0; i < FEATURES; i++) {
		if (!is_feature(&features[i]) || has(info, features[i].bit) != wanted)
			continue;
		if (!column || column + 2 + strlen(features[i].text) > LINE_WIDTH) {
			if (column)
				fputs(",\n", out);
			column = fprintf(out, "%-16s%s", title, features[i].text);
			title = "";
		} else {
			column += fprintf(out, ", %s", features[i].text);
		}
	}
	if (column)
		fputc('\n', out);
}

static double mib(uint64_t bytes)
{
	return bytes / 1048576.0;
}

static double milliseconds(const struct hv_info *info, uint64_t ticks)
{
	return info->tsc_khz ? (double)ticks / info->tsc_khz : 0;
}

static void print_time(FILE *out, uint64_t seconds)
{
	if (seconds >= 86400)
		fprintf(out, "%llu days ", (unsigned long long)(seconds / 86400));
	fprintf(out, "%02u:%02u:%02u", (unsigned int)(seconds / 3600 % 24),
		(unsigned int)(seconds / 60 % 60), (unsigned int)(seconds % 60));
}

static void print_list(FILE *out, const char *title, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%-16s%s\n", i ? "" : title, list[i]);
}

void info_print_text(FILE *out, const struct hv_info *info)
{
	fprintf(out, "%-16sHornero %s%s, interface %u.%u\n", "Hypervisor", info->version,
		has(info, HV_FEATURE_TEST_BUILD) ? " (test build)" : "", info->abi_version >> 16,
		info->abi_version & 0xffff);
	fprintf(out, "%-16s%s, %s\n", "Booted by", info->loader,
		has(info, HV_FEATURE_EFI) ? "UEFI" : "BIOS");
	fprintf(out, "%-16s%s\n", "Command line", info->cmdline[0] ? info->cmdline : "(empty)");
	if (info->tsc_khz) {
		fprintf(out, "%-16s", "Running for");
		print_time(out, (uint64_t)(milliseconds(info, info->uptime_tsc) / 1000));
		fprintf(out, "; %.1f ms from its entry to the control domain's\n",
			milliseconds(info, info->boot_root_tsc));
	}
	fprintf(out, "\n%-16s%s\n", "Processor", info->cpu_name);
	fprintf(out, "%-16s%u of %u run under the hypervisor\n", "", info->cpus,
		info->cpus_present);
	print_features(out, info, true, "In use");
	print_features(out, info, false, "Not in use");

	fprintf(out, "\n%-16s%9.1f MiB found\n", "Memory", mib(info->ram_bytes));
	fprintf(out, "%-16s%9.1f MiB control domain\n", "", mib(info->control_bytes));
	fprintf(out, "%-16s%9.1f MiB guest pool, %.1f of it free\n", "", mib(info->pool_bytes),
		mib(info->pool_free_bytes));
	fprintf(out, "%-16s%9.1f MiB hypervisor: image %.1f, in use %.1f, unused %.1f\n", "",
		mib(info->hypervisor_bytes), mib(info->image_bytes),
		mib(info->hypervisor_bytes - info->image_bytes - info->heap_free_bytes),
		mib(info->heap_free_bytes));
	fprintf(out, "%-16s%u\n\n", "Machines", info->vms);

	print_list(out, "Protected", protected, sizeof(protected) / sizeof(protected[0]));
	print_list(out, "Trusted", trusted, sizeof(trusted) / sizeof(trusted[0]));
	if (info->crash_record)
		fputs("\nThe previous run ended in a crash: 'hornero log --crash' shows it.\n",
		      out);
}

static struct json_object *json_strings(const char *const *list, size_t count)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, json_object_new_string(list[i]));
	return array;
}

static void add_number(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static struct json_object *json_features(const struct hv_info *info)
{
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < FEATURES; i++) {
		char name[32];
		size_t k;

		for (k = 0; features[i].name[k] && k < sizeof(name) - 1; k++)
			name[k] = features[i].name[k] >= 'A' && features[i].name[k] <= 'Z'
					  ? features[i].name[k] + ('a' - 'A')
					  : features[i].name[k];
		name[k] = '\0';
		json_object_object_add(object, name,
				       json_object_new_boolean(has(info, features[i].bit)));
	}
	return object;
}

struct json_object *info_json(const struct hv_info *info)
{
	struct json_object *top = json_object_new_object();
	struct json_object *memory = json_object_new_object();
	char abi[24];

	snprintf(abi, sizeof(abi), "%u.%u", info->abi_version >> 16, info->abi_version & 0xffff);
	json_object_object_add(top, "version", json_object_new_string(info->version));
	json_object_object_add(top, "interface", json_object_new_string(abi));
	json_object_object_add(top, "loader", json_object_new_string(info->loader));
	json_object_object_add(top, "command_line", json_object_new_string(info->cmdline));
	json_object_object_add(top, "processor", json_object_new_string(info->cpu_name));
	add_number(top, "cpus", info->cpus);
	add_number(top, "cpus_present", info->cpus_present);
	add_number(top, "tsc_khz", info->tsc_khz);
	add_number(top, "uptime_tsc", info->uptime_tsc);
	add_number(top, "boot_root_tsc", info->boot_root_tsc);
	json_object_object_add(top, "features", json_features(info));
	add_number(memory, "found_bytes", info->ram_bytes);
	add_number(memory, "control_domain_bytes", info->control_bytes);
	add_number(memory, "pool_bytes", info->pool_bytes);
	add_number(memory, "pool_free_bytes", info->pool_free_bytes);
	add_number(memory, "pool_dirty_bytes", info->pool_dirty_bytes);
	add_number(memory, "hypervisor_bytes", info->hypervisor_bytes);
	add_number(memory, "hypervisor_image_bytes", info->image_bytes);
	add_number(memory, "hypervisor_unused_bytes", info->heap_free_bytes);
	json_object_object_add(top, "memory", memory);
	add_number(top, "machines", info->vms);
	json_object_object_add(top, "protected",
			       json_strings(protected, sizeof(protected) / sizeof(protected[0])));
	json_object_object_add(top, "trusted",
			       json_strings(trusted, sizeof(trusted) / sizeof(trusted[0])));
	json_object_object_add(top, "crash_record", json_object_new_boolean(info->crash_record));
	return top;
}

int info_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct hv_info info;
	bool json = false;
	int option, fd, code;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			puts("Usage: hornero info [--json]\n\n"
			     "Tells what the hypervisor is, on what it runs, how it split the memory,\n"
			     "what is protected now and what has to be trusted.");
			return EXIT_OK;
		}
		if (option != 'j')
			return EXIT_USAGE;
		json = true;
	}
	if (optind < argc)
		return fail(EXIT_USAGE, "info takes no argument '%s'", argv[optind]);
	fd = hypervisor_open(&code);
	if (fd < 0)
		return code;
	code = ioctl(fd, HORNERO_INFO, &info);
	close(fd);
	if (code < 0)
		return fail(EXIT_FAILED, "%s: asking for information: %s", HORNERO_DEVICE,
			    strerror(errno));
	if (json)
		print_json(stdout, info_json(&info));
	else
		info_print_text(stdout, &info);
	return EXIT_OK;
}
