// SPDX-License-Identifier: MIT
// sources: boot/efi/conf.c
/*
 * hornero.conf: what it may say, and where it says that something is wrong. The text is an
 * allocation of exactly its size and the one byte more that the parser asks for.
 */
#include "test.h"
#include <boot/efi/conf.h>

#define ENTRY "[a]\nhypervisor = h\nkernel = k\n"

static struct conf conf;
static struct conf_error error;
static char *text;

static bool parse_bytes(const char *from, size_t n)
{
	text = malloc(n + 1);
	memcpy(text, from, n);
	return conf_parse(text, n, &conf, &error);
}

static bool parse(const char *from)
{
	return parse_bytes(from, strlen(from));
}

static void refused(const char *from, unsigned int line, unsigned int column, const char *what)
{
	CHECK(!parse(from));
	CHECK(strstr(error.what, what));
	CHECK_EQ(error.line, line);
	CHECK_EQ(error.column, column);
	free(text);
}

TEST(everything)
{
	CHECK(parse("# machine 7\r\ndefault = b\ntimeout=12  # s\n\n" ENTRY
		    "  [ b ]\t# second\n\ttitle =  Two words \nhypervisor=x\\y.elf\n"
		    "cmdline = a=b c#d\nkernel = .linux\nkernel_cmdline =\ninitramfs = i\n"
		    "microcode = m"));
	CHECK_EQ(conf.n_entries, 2);
	CHECK_EQ(conf.chosen, 1);
	CHECK_EQ(conf.timeout, 12);
	CHECK_STREQ(conf.entries[0].title, "a");
	CHECK_STREQ(conf.entries[0].cmdline, "");
	CHECK(!conf.entries[0].initramfs && !conf.entries[0].microcode);
	CHECK_STREQ(conf.entries[1].name, "b");
	CHECK_STREQ(conf.entries[1].title, "Two words");
	CHECK_STREQ(conf.entries[1].hypervisor, "x\\y.elf");
	CHECK_STREQ(conf.entries[1].cmdline, "a=b c#d");
	CHECK_STREQ(conf.entries[1].kernel, ".linux");
	CHECK_STREQ(conf.entries[1].kernel_cmdline, "");
	CHECK_STREQ(conf.entries[1].initramfs, "i");
	CHECK_STREQ(conf.entries[1].microcode, "m");
	free(text);
}

TEST(defaults)
{
	CHECK(parse(ENTRY));
	CHECK_EQ(conf.chosen, 0);
	CHECK_EQ(conf.timeout, CONF_DEFAULT_TIMEOUT);
	free(text);
}

TEST(lines_that_make_no_sense)
{
	refused("", 0, 1, "no [entry]");
	refused("# nothing\n", 1, 1, "no [entry]");
	refused(ENTRY "nonsense\n", 4, 9, "key = value");
	refused(ENTRY "  = x\n", 4, 3, "key = value");
	refused(ENTRY "kernal = k\n", 4, 1, "not known");
	refused(ENTRY "kernel = k\n", 4, 1, "twice");
	refused(ENTRY "initramfs = # none\n", 4, 12, "missing");
	refused("hypervisor = h\n", 1, 1, "before the first");
	refused("timeout = 5s\n", 1, 12, "number of seconds");
	refused("timeout = 3601\n", 1, 11, "3600");
	refused("timeout = 99999999999999999999\n", 1, 11, "3600");
	refused("timeout = 1\n timeout = 1\n", 2, 2, "twice");
	refused("default =\n", 1, 10, "missing");
	refused("default = b\n" ENTRY, 1, 11, "no entry has the name");
	refused("[a\n", 1, 3, "not closed");
	refused("[]\n", 1, 2, "needs a name");
	refused("[a] b\n", 1, 4, "nothing may follow");
	refused(ENTRY ENTRY, 4, 2, "already");
	refused("[a]\nkernel = k\n[b]\n", 1, 1, "no hypervisor");
	refused(ENTRY "[b]\nhypervisor = h\n", 4, 1, "no kernel");
	refused(ENTRY "title = gr\xc3\xbcn\n", 4, 11, "ASCII");
}

TEST(a_nul_is_no_text)
{
	CHECK(!parse_bytes("[a]\nhyper\0visor = h\n", 20));
	CHECK_EQ(error.line, 2);
	CHECK_EQ(error.column, 6);
	free(text);
}

TEST(limits)
{
	char big[CONF_MAX_CMDLINE + 64] = ENTRY "cmdline = ";
	size_t at = strlen(big);

	memset(big + at, 'x', CONF_MAX_CMDLINE);
	CHECK(parse(big));
	CHECK_EQ(strlen(conf.entries[0].cmdline), CONF_MAX_CMDLINE);
	free(text);
	big[at + CONF_MAX_CMDLINE] = 'x';
	refused(big, 4, 11, "too long");

	char many[1000] = "";

	for (int i = 0; i <= CONF_MAX_ENTRIES; i++)
		sprintf(many + strlen(many), "[e%d]\nhypervisor=h\nkernel=k\n", i);
	refused(many, 3 * CONF_MAX_ENTRIES + 1, 1, "more than 9");
	*strstr(many, "[e9]") = 0;
	CHECK(parse(many));
	CHECK_EQ(conf.n_entries, CONF_MAX_ENTRIES);
	free(text);
}
