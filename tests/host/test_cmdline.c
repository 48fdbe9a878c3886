// SPDX-License-Identifier: MIT
// sources: vmm/cmdline.c
/*
 * The hypervisor's command line: what is taken, and what is complained about and how.
 */
#include "test.h"
#include <stdarg.h>
#include <cmdline.h>
#include <log.h>

static unsigned int complaints;
static char last[300];

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	va_list ap;

	CHECK_EQ(level, LOG_WARN);
	CHECK(!strcmp(tag, "boot"));
	complaints++;
	va_start(ap, fmt);
	vsnprintf(last, sizeof(last), fmt, ap);
	va_end(ap);
}

static void parse(const char *text)
{
	complaints = 0;
	last[0] = 0;
	cmdline_parse(text);
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
	CHECK(!strcmp(last, "command line: 'colour=red' unknown option; ignored"));
	CHECK_EQ(cmdline_number("maxcpus", 0), 2);
	parse("loglevel=loud");
	CHECK(!strcmp(last,
		      "command line: 'loglevel=loud' not one of error, warn, info, debug; the "
		      "default 'info' is used"));
	CHECK_EQ(cmdline_level("loglevel"), 2);
	parse("panic");
	CHECK(!strcmp(last, "command line: 'panic' has no value; the default '10' is used"));
	parse("panic=");
	CHECK(!strcmp(last, "command line: 'panic=' has no value; the default '10' is used"));
	parse("maxcpus=2k");
	CHECK_EQ(complaints, 1);
	parse("control_mem=1T control_mem=M control_mem=99999999999999999999 control_mem=-1 "
	      "control_mem=17179869184G");
	CHECK_EQ(complaints, 5);
	CHECK_EQ(cmdline_number("control_mem", 5), 5);
	parse("maxcpus=3 maxcpus=many");
	CHECK_EQ(cmdline_number("maxcpus", 0), 3);
}

TEST(numbers)
{
	uint64_t v;

	CHECK(parse_number("0x3f8", false, &v) && v == 0x3f8);
	CHECK(parse_number("18446744073709551615", false, &v) && v == UINT64_MAX);
	CHECK(!parse_number("18446744073709551616", false, &v));
	CHECK(!parse_number("0x10000000000000000", false, &v));
	CHECK(!parse_number("0x", false, &v));
	CHECK(!parse_number("", false, &v));
	CHECK(!parse_number("1f", false, &v));
	CHECK(!parse_number("12 ", false, &v));
	CHECK(parse_number("3K", true, &v) && v == 3 * KIB);
	CHECK(!parse_number("3K", false, &v));
	CHECK(!parse_number("3KM", true, &v));
	CHECK(!parse_number("0x7fffffffffffffffM", true, &v));
}

TEST(words_without_end)
{
	char text[2 * CMDLINE_BYTES];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	parse(text);
	CHECK_EQ(complaints, 2); /* too long, and unknown */
	memcpy(text, "panic=3 console=", 16);
	parse(text);
	CHECK_EQ(complaints, 1);
	CHECK(!strcmp(last, "command line: what follows its byte 1023 is ignored"));
	CHECK_EQ(strlen(cmdline_get("console")), CMDLINE_BYTES - 17);
	CHECK_EQ(cmdline_number("panic", 0), 3);
}

TEST(words)
{
	char text[] = ",one,,two, three", *rest = text;

	CHECK(!strcmp(cut_word(&rest, ","), "one"));
	CHECK(!strcmp(cut_word(&rest, ", "), "two"));
	CHECK(!strcmp(cut_word(&rest, ", "), "three"));
	CHECK(cut_word(&rest, ", ") == NULL);
	CHECK(cut_word(&rest, ", ") == NULL);
}
