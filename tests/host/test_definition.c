// SPDX-License-Identifier: MIT
// sources: control-domain/vm/definition.c control-domain/vm/definition_keys.c
// sources: control-domain/vm/units.c
/*
 * Definitions of VMs: what is read, what is refused and in which line, and that editing keeps what
 * the owner wrote.
 */
#include "../../control-domain/vm/definition.h"
#include "test.h"

static struct definition got;
static struct reason why;

static int parse(const char *text)
{
	return definition_parse("web.conf", text, &got, &why);
}

/* Refused, with a sentence that has @said in it. */
static bool refuses(const char *text, const char *said)
{
	if (!parse(text))
		return false;
	if (!strstr(why.text, said))
		fprintf(stderr, "said: %s\n", why.text);
	return strstr(why.text, said);
}

TEST(complete_file)
{
	CHECK_EQ(parse("# mine\nversion = 1\n\n memory=2G\r\ncpus = 4\nkernel = /boot/vmlinuz\n"
		       "initrd = /boot/initrd\ncmdline = console=hvc0 root=/dev/vda # kept\n"
		       "disk = /a.raw\ndisk = /b.raw,ro\nnet = nat\nmac = 02:00:00:00:00:01\n"
		       "publish = 2222:22\npublish = 5353:53/udp\nautostart = 10\n"
		       "cpu_weight = 200\ncpu_max = 50%\ncpus_pin = 1-3,5\n"
		       "cloud_init = /user.yaml\n"),
		 0);
	CHECK_STREQ(got.cloud_init, "/user.yaml");
	CHECK_EQ(got.memory_bytes, 2 * GIB);
	CHECK_EQ(got.cpus, 4);
	CHECK_STREQ(got.kernel, "/boot/vmlinuz");
	CHECK_STREQ(got.cmdline, "console=hvc0 root=/dev/vda # kept");
	CHECK_EQ(got.disks, 2);
	CHECK(!got.disk[0].read_only && got.disk[1].read_only);
	CHECK_STREQ(got.disk[1].path, "/b.raw");
	CHECK_EQ(got.published, 2);
	CHECK_EQ(got.publish[1].guest_port, 53);
	CHECK(got.publish[1].udp);
	CHECK_EQ(got.autostart, 10);
	CHECK_EQ(got.cpu_weight, 200);
	CHECK_EQ(got.cpu_max, 50);
	CHECK_STREQ(got.cpus_pin, "1-3,5");
}

TEST(defaults)
{
	CHECK_EQ(parse("version = 1\nimage = demo\n"), 0);
	CHECK_EQ(got.memory_bytes, 512 * MIB);
	CHECK_EQ(got.cpus, 1);
	CHECK_STREQ(got.net, "nat");
	CHECK_EQ(got.disks, 0);
}

TEST(mistakes_are_named_with_their_line)
{
	CHECK(refuses("version = 1\nimage = demo\nmemroy = 1G",
		      "web.conf:3: there is no key "
		      "'memroy'; did you mean 'memory'?"));
	CHECK(refuses("version = 1\nmemory = 512", "web.conf:2: memory: '512' has no unit: is that "
						   "512M or 512G?"));
	CHECK(refuses("version = 1\nmemory = 513K", "multiple of 2M"));
	CHECK(refuses("version = 1\nmemory = 1X", "unit 'X'"));
	CHECK(refuses("version = 1\nmemory", "key = value"));
	CHECK(refuses("version = 1\nmemory =", "no value"));
	CHECK(refuses("version = 1\nmemory = 1G\nmemory = 2G", "web.conf:3: memory is set twice"));
	CHECK(refuses("version = 2\nimage = demo", "version 2 is not known"));
	CHECK(refuses("image = demo", "version = 1"));
	CHECK(refuses("version = 1\ncpus = 0", "from 1 to 16"));
	CHECK(refuses("version = 1\ncpus = 17", "from 1 to 16"));
	CHECK(refuses("version = 1\nkernel = vmlinuz", "absolute"));
	CHECK(refuses("version = 1\ndisk = /a,rw", "',ro'"));
	CHECK(refuses("version = 1\ndisk = /a\ndisk = /a,ro", "already"));
	CHECK(refuses("version = 1\nnet = ../x", "network"));
	CHECK(refuses("version = 1\nmac = 01:00:00:00:00:01", "multicast"));
	CHECK(refuses("version = 1\nmac = 2:0:0:0:0:1", "52:54:00"));
	CHECK(refuses("version = 1\npublish = 22", "HOST:GUEST"));
	CHECK(refuses("version = 1\npublish = 70000:22", "HOST:GUEST"));
	CHECK(refuses("version = 1\npublish = 22:22\npublish = 22:23", "published already"));
	CHECK(refuses("version = 1\nautostart = yes", "order"));
	CHECK(refuses("version = 1\ncpu_max = 50", "per cent"));
	CHECK(refuses("version = 1\ncpus_pin = 3-1", "list of CPUs"));
	CHECK(refuses("version = 1\ncpus_pin = 1,", "list of CPUs"));
}

TEST(contradictions)
{
	CHECK(refuses("version = 1\n", "nothing to boot"));
	CHECK(refuses("version = 1\nimage = demo\nkernel = /k", "both"));
	CHECK(refuses("version = 1\nimage = demo\ninitrd = /i", "without a kernel"));
	CHECK(refuses("version = 1\nimage = demo\nnet = none\npublish = 1:1", "nat only"));
}

TEST(nine_disks_are_too_many)
{
	char text[512] = "version = 1\n";

	for (int i = 0; i < 9; i++)
		sprintf(text + strlen(text), "disk = /d%d\n", i);
	CHECK(refuses(text, "web.conf:10: disk: '/d8': a VM has at most 8 disks"));
}

TEST(long_values)
{
	char text[4096] = "version = 1\nkernel = /";

	memset(text + strlen(text), 'a', 300);
	CHECK(refuses(text, "longer than 255"));
	strcpy(text, "version = 1\ncmdline = ");
	memset(text + strlen(text), 'a', 3000);
	CHECK(refuses(text, "web.conf:2: the line is longer"));
}

TEST(editing_keeps_the_rest)
{
	const char *const one[] = {"1G"}, *const two[] = {"/a", "/b,ro"};
	const char *text = "# first\nversion = 1\n  memory=512M\n# about disks\ndisk = /x\n"
			   "image = demo\ndisk = /y\n# last";
	char *edited = definition_edit(text, "memory", one, 1);

	CHECK_STREQ(edited, "# first\nversion = 1\nmemory = 1G\n# about disks\ndisk = /x\n"
			    "image = demo\ndisk = /y\n# last");
	free(edited);
	edited = definition_edit(text, "disk", two, 2);
	CHECK_STREQ(edited, "# first\nversion = 1\n  memory=512M\n# about disks\ndisk = /a\n"
			    "disk = /b,ro\nimage = demo\n# last");
	free(edited);
	edited = definition_edit(text, "disk", NULL, 0);
	CHECK_STREQ(edited, "# first\nversion = 1\n  memory=512M\n# about disks\nimage = demo\n"
			    "# last");
	free(edited);
	edited = definition_edit(text, "cpus", (const char *const[]){"2"}, 1);
	CHECK_STREQ(edited, "# first\nversion = 1\n  memory=512M\n# about disks\ndisk = /x\n"
			    "image = demo\ndisk = /y\n# last\ncpus = 2\n");
	free(edited);
}

TEST(written_and_read_again)
{
	struct definition before;
	char *text;

	CHECK_EQ(parse("version = 1\nmemory = 1536M\ncpus = 3\nimage = demo\ndisk = /a,ro\n"
		       "publish = 80:8080\ncpu_max = 150%\nautostart = 7\nnet = none\n"
		       "publish = 81:81/udp\n"),
		 -1); /* publish needs nat */
	CHECK_EQ(parse("version = 1\nmemory = 1536M\ncpus = 3\nimage = demo\ndisk = /a,ro\n"
		       "publish = 80:8080\ncpu_max = 150%\nautostart = 7\npublish = 81:81/udp\n"
		       "cpus_pin = 0\nmac = 02:aa:BB:00:00:01\ncmdline = quiet\n"),
		 0);
	before = got;
	text = definition_write(&got, "by a test");
	CHECK_EQ(parse(text), 0);
	CHECK_MEMEQ(&before, &got, sizeof(got));
	free(text);
}

TEST(sizes)
{
	char text[32];
	uint64_t bytes;

	CHECK_EQ(units_parse_size("512MiB", &bytes, &why), 0);
	CHECK_EQ(bytes, 512 * MIB);
	CHECK_EQ(units_parse_size("1tb", &bytes, &why), 0);
	CHECK_EQ(bytes, 1024 * GIB);
	CHECK_EQ(units_parse_size("-1M", &bytes, &why), -1);
	CHECK_EQ(units_parse_size("9999999999M", &bytes, &why), -1);
	CHECK_STREQ(units_print_size(1536 * MIB, text, sizeof(text)), "1536M");
	CHECK_STREQ(units_print_size(2 * GIB, text, sizeof(text)), "2G");
	CHECK_STREQ(units_print_about(0, text, sizeof(text)), "0");
	CHECK_STREQ(units_print_about(512, text, sizeof(text)), "512B");
	CHECK_STREQ(units_print_about(1000, text, sizeof(text)), "1K");
	CHECK_STREQ(units_print_about(1536, text, sizeof(text)), "1.5K");
	CHECK_STREQ(units_print_about(10.0 * GIB, text, sizeof(text)), "10G");
	CHECK_STREQ(units_print_about(9.97 * MIB, text, sizeof(text)), "10M");
	CHECK_STREQ(units_print_about(1e15, text, sizeof(text)), "909T");
	CHECK_STREQ(units_print_time(59, text, sizeof(text)), "59s");
	CHECK_STREQ(units_print_time(3 * 3600 + 5 * 60, text, sizeof(text)), "3h 5m");
	CHECK_STREQ(units_print_time(50 * 3600, text, sizeof(text)), "2d 2h");
}

TEST(macs_are_stable_and_local)
{
	uint8_t a[6], b[6], c[6];

	units_derive_mac("web", 0, a);
	units_derive_mac("web", 0, b);
	units_derive_mac("web2", 0, c);
	CHECK_MEMEQ(a, b, 6);
	CHECK(memcmp(a, c, 6));
	CHECK_EQ(a[0], 2);
}

TEST(nearest_word)
{
	const char *const words[] = {"start", "stop", "list", NULL};

	CHECK_STREQ(units_nearest("strat", words), "start");
	CHECK_STREQ(units_nearest("lst", words), "list");
	CHECK(!units_nearest("console", words));
}

TEST(boot_is_the_disk_or_refused)
{
	CHECK_EQ(parse("version = 1\nboot = disk\ndisk = /a.raw\ncloud_init = none\n"), 0);
	CHECK(got.boot_disk);
	CHECK(refuses("version = 1\nboot = uefi\ndisk = /a.raw\n", "cannot boot yet"));
	CHECK(refuses("version = 1\nboot = sda\ndisk = /a.raw\n", "is not 'disk'"));
	CHECK(refuses("version = 1\nboot = disk\nkernel = /k\ndisk = /a.raw\n", "take one out"));
	CHECK(refuses("version = 1\ndisk = /a.raw\ncloud_init = user.yaml\n", "absolute path"));
}
