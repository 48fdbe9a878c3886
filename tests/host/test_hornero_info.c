// SPDX-License-Identifier: MIT
// sources: control-domain/hornero/info.c control-domain/hornero/hypervisor.c
// flags: -D_GNU_SOURCE -ljson-c
/*
 * What `hornero info` makes of a made-up answer, for people and as JSON: no number is lost, swapped
 * or shown in the wrong unit.
 */
#include <json-c/json.h>

#include "../../control-domain/hornero/hornero.h"
#include "test.h"

static const struct hv_info sample = {
	.abi_version = 3 << 16 | 14,
	.cpus = 3,
	.cpus_present = 4,
	.tsc_khz = 2000000,
	.features = 1 << HV_FEATURE_VPID | 1 << HV_FEATURE_EFI,
	.ram_bytes = 4000ull << 20,
	.control_bytes = 1024ull << 20,
	.pool_bytes = 2970ull << 20,
	.pool_free_bytes = 2000ull << 20,
	.hypervisor_bytes = 6ull << 20,
	.image_bytes = 1ull << 20,
	.heap_free_bytes = 2ull << 20,
	.uptime_tsc = 2000000000ull * 93784, /* 1 day 02:03:04 */
	.boot_root_tsc = 25000000,
	.vms = 7,
	.version = "1.2.3",
	.loader = "GRUB 2.06",
	.cpu_name = "Some Processor",
	.cmdline = "control_mem=1G",
};

static const char *text_of(const struct hv_info *info)
{
	static char text[8192];
	FILE *out = fmemopen(text, sizeof(text), "w");

	info_print_text(out, info);
	fclose(out);
	return text;
}

static bool says(const struct hv_info *info, const char *what)
{
	return strstr(text_of(info), what);
}

TEST(text_has_every_number_in_its_unit)
{
	CHECK(says(&sample, "Hornero 1.2.3, interface 3.14\n"));
	CHECK(says(&sample, "GRUB 2.06, UEFI\n"));
	CHECK(says(&sample, "1 days 02:03:04; 12.5 ms from"));
	CHECK(says(&sample, "3 of 4 run under"));
	CHECK(says(&sample, "   4000.0 MiB found\n"));
	CHECK(says(&sample, "   1024.0 MiB control domain\n"));
	CHECK(says(&sample, "   2970.0 MiB guest pool, 2000.0 of it free\n"));
	CHECK(says(&sample, "      6.0 MiB hypervisor: image 1.0, in use 3.0, unused 2.0\n"));
	CHECK(says(&sample, "Machines        7\n"));
}

TEST(features_are_told_apart)
{
	CHECK(says(&sample, "In use          VPID\n"));
	CHECK(says(&sample, "Not in use      1 GiB EPT pages, "));
	CHECK(!says(&sample, "(test build)"));
}

TEST(lines_fit_and_start_in_their_column)
{
	const char *line = text_of(&sample);

	while (*line) {
		size_t length = strcspn(line, "\n");

		CHECK(length <= 100);
		if (length > 16)
			CHECK(line[16] != ' ' || line[15] == ' ');
		line += length + (line[length] == '\n');
	}
}

TEST(unknown_frequency_shows_no_times)
{
	struct hv_info info = sample;

	info.tsc_khz = 0;
	CHECK(!says(&info, "Running for"));
}

TEST(crash_record_is_announced)
{
	struct hv_info info = sample;

	CHECK(!says(&sample, "--crash"));
	info.crash_record = 1;
	CHECK(says(&info, "hornero log --crash"));
}

TEST(json_holds_the_same)
{
	struct json_object *top = info_json(&sample), *memory, *features, *value;

	CHECK(json_object_object_get_ex(top, "memory", &memory));
	CHECK(json_object_object_get_ex(memory, "pool_free_bytes", &value));
	CHECK_EQ(json_object_get_uint64(value), 2000ull << 20);
	CHECK(json_object_object_get_ex(top, "features", &features));
	CHECK(json_object_object_get_ex(features, "vpid", &value));
	CHECK(json_object_get_boolean(value));
	CHECK(json_object_object_get_ex(features, "ept_1g", &value));
	CHECK(!json_object_get_boolean(value));
	CHECK(json_object_object_get_ex(top, "interface", &value));
	CHECK(!strcmp(json_object_get_string(value), "3.14"));
	CHECK(json_object_object_get_ex(top, "cpus", &value));
	CHECK_EQ(json_object_get_uint64(value), 3);
	json_object_put(top);
}
