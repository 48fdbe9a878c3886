// SPDX-License-Identifier: MIT
// sources: vmm/cmdline.c
/*
 * The hypervisor's command line: what is taken, and what is complained about and how.
 */
#include "test.h"
#include <cmdline.h>

static unsigned int complaints;
static char last[200];

static void complain(const char *word, const char *why, const char *fallback)
{
	complaints++;
	snprintf(last, sizeof(last), "%s|%s|%s", word, why, fallback);
}

static void parse(const char *text)
{
	complaints = 0;
	last[0] = 0;
	cmdline_parse(text, complain);
}

TEST(defaults)
{
	parse("  ");
	CHECK_EQ(complaints, 0);
	CHECK(!strcmp(cmdline_get("console"), "com1,screen"));
	CHECK(!strcmp(cmdline_get("panic"), "10"));
	CHECK_EQ(cmdline_level("loglevel"), 2);
	CHECK_EQ(cmdline_number("control_mem", 77), 77);
	CHECK(cmdline_get("nonsense") == NULL);
}

TEST(values)
{
	parse("control_mem=512M\tmaxcpus=3 loglevel=debug panic=halt console=none control_mem=1g");
	CHECK_EQ(complaints, 0);
	CHECK_EQ(cmdline_number("control_mem", 0), 1 << 30);
	CHECK_EQ(cmdline_number("maxcpus", 0), 3);
	CHECK_EQ(cmdline_level("loglevel"), 3);
	CHECK(!strcmp(cmdline_get("panic"), "halt"));
	parse("loglevel=0");
	CHECK_EQ(cmdline_level("loglevel"), 0);
	CHECK_EQ(cmdline_number("maxcpus", 9), 9);
}

TEST(unknown_and_malformed)
{
	parse("maxcpus=2 colour=red");
	CHECK_EQ(complaints, 1);
	CHECK(!strcmp(last, "colour=red|unknown option|"));
	CHECK_EQ(cmdline_number("maxcpus", 0), 2);
	parse("loglevel=loud");
	CHECK(!strcmp(last, "loglevel=loud|not one of error, warn, info, debug|info"));
	CHECK_EQ(cmdline_level("loglevel"), 2);
	parse("panic");
	CHECK(!strcmp(last, "panic|has no value|10"));
	parse("panic=");
	CHECK(!strcmp(last, "panic=|has no value|10"));
	parse("maxcpus=2k");
	CHECK_EQ(complaints, 1);
	parse("control_mem=1T control_mem=M control_mem=99999999999999999999 control_mem=-1 "
	      "control_mem=17179869184G");
	CHECK_EQ(complaints, 5);
	CHECK_EQ(cmdline_number("control_mem", 5), 5);
	parse("maxcpus=3 maxcpus=many");
	CHECK_EQ(cmdline_number("maxcpus", 0), 3);
}

TEST(words_without_end)
{
	char text[1000];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	parse(text);
	CHECK_EQ(complaints, 1);
	memcpy(text, "console=", 8);
	text[8 + CMDLINE_VALUE_BYTES] = ' ';
	parse(text);
	CHECK_EQ(complaints, 2);
	CHECK(!strcmp(cmdline_get("console"), "com1,screen"));
	text[8 + CMDLINE_VALUE_BYTES - 1] = ' ';
	text[8 + CMDLINE_VALUE_BYTES] = 0;
	parse(text);
	CHECK_EQ(complaints, 0);
	CHECK_EQ(strlen(cmdline_get("console")), CMDLINE_VALUE_BYTES - 1);
}

TEST(lists)
{
	CHECK(cmdline_list_has("-ept,-vpid", "-vpid"));
	CHECK(cmdline_list_has("-ept", "-ept"));
	CHECK(!cmdline_list_has("-ept,-vpid", "-vp"));
	CHECK(!cmdline_list_has("", "-vp"));
	CHECK(!cmdline_list_has("-eptx", "-ept"));
}
