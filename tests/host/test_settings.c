// SPDX-License-Identifier: MIT
// sources: control-domain/hornero/settings_parse.c
/*
 * settings.conf: what is accepted, what is refused and in which line, and that a mistake costs its
 * own line only.
 */
#include <stdio.h>
#include <string.h>

#include "../../control-domain/hornero/settings.h"
#include "test.h"

static struct settings got;
static char said[4096];

static void note(void *arg, unsigned int line, unsigned int column, const char *text)
{
	size_t used = strlen(said);

	(void)arg;
	snprintf(said + used, sizeof(said) - used, "%u:%u: %s\n", line, column, text);
}

static unsigned int parse(const char *text)
{
	said[0] = '\0';
	return settings_parse(text, strlen(text), &got, note, NULL);
}

/* One mistake, in that line, whose text has that word in it. */
static bool refuses(const char *text, unsigned int line, const char *word)
{
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%u:", line);
	return parse(text) == 1 && !strncmp(said, prefix, strlen(prefix)) && strstr(said, word);
}

TEST(complete_file)
{
	CHECK_EQ(parse("\xef\xbb\xbf# mine\r\n host_name\t= box-1\r\naddress = 192.0.2.5/24\n"
		       "gateway=192.0.2.1\ndns = 192.0.2.1, 2001:db8::1\nntp = ntp.example.org\n"
		       "password_hash = $6$salt$0123456789012345678901234567890123456789\n"
		       "control_mem = 1536M"),
		 0);
	CHECK(!strcmp(got.host_name, "box-1"));
	CHECK(!strcmp(got.address, "192.0.2.5/24"));
	CHECK(!strcmp(got.gateway, "192.0.2.1"));
	CHECK(!strcmp(got.dns[0], "192.0.2.1") && !strcmp(got.dns[1], "2001:db8::1"));
	CHECK(!got.dns[2][0]);
	CHECK(!strcmp(got.ntp[0], "ntp.example.org"));
	CHECK(!strncmp(got.password_hash, "$6$salt$", 8));
	CHECK(!strcmp(got.control_mem, "1536M"));
}

TEST(nobody_is_asked_for_the_time)
{
	CHECK_EQ(parse("ntp = none"), 0);
	CHECK(!strcmp(got.ntp[0], "none") && !got.ntp[1][0]);
}

TEST(empty_file_sets_nothing)
{
	CHECK_EQ(parse(""), 0);
	CHECK_EQ(parse("\n\n  # only a comment\n"), 0);
	CHECK(!got.host_name[0] && !got.address[0] && !got.dns[0][0]);
}

TEST(mistakes_are_named_with_their_line)
{
	CHECK(refuses("\nhostname = box", 2, "no setting 'hostname'"));
	CHECK(refuses("host_name box", 1, "key = value"));
	CHECK(refuses("host_name =", 1, "no value"));
	CHECK(refuses("host_name = a\nhost_name = b", 2, "line 1"));
	CHECK(refuses("host_name = -box", 1, "host_name"));
	CHECK(refuses("host_name = box.example", 1, "host_name"));
	CHECK(refuses("host_name = x'; reboot; '", 1, "host_name"));
	CHECK(refuses("address = 192.0.2.5", 1, "PREFIX"));
	CHECK(refuses("address = 192.0.2.5/33", 1, "32 bits"));
	CHECK(refuses("address = 192.0.2.5/0", 1, "32 bits"));
	CHECK(refuses("address = 192.0.2.256/24", 1, "not an IP address"));
	CHECK(refuses("address = 2001:db8::5/129", 1, "128 bits"));
	CHECK(refuses("dns = 192.0.2.1 ns.example.org", 1, "ns.example.org"));
	CHECK(refuses("dns = 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5", 1, "at most 4"));
	CHECK(refuses("ntp = a..b", 1, "a..b"));
	CHECK(refuses("ntp = none ntp.example.org", 1, "stands alone"));
	CHECK(refuses("control_mem = 1.5G", 1, "control_mem"));
	CHECK(refuses("control_mem = 0M", 1, "control_mem"));
	CHECK(refuses("host_name = \x07", 1, "control characters"));
}

/* One mistake, told to be there. */
static bool refuses_at(const char *text, const char *place)
{
	return parse(text) == 1 && !strncmp(said, place, strlen(place));
}

TEST(mistakes_are_named_with_their_column)
{
	CHECK(refuses_at("\n  hostname = box", "2:3: "));
	CHECK(refuses_at("\thost_name box", "1:2: "));
	CHECK(refuses_at("host_name = ", "1:12: "));
	CHECK(refuses_at("host_name = a\n host_name = b", "2:2: "));
	CHECK(refuses_at("\xef\xbb\xbfhost_name =  -box", "1:14: "));
	CHECK(refuses_at("dns = 192.0.2.1,  ns.example.org", "1:19: "));
	CHECK(refuses_at("dns = 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5", "1:39: "));
	CHECK(refuses_at("host_name = \x07", "1:13: "));
	CHECK(refuses_at("gateway = 192.0.2.1", "0:0: "));
}

TEST(password_must_be_a_hash_and_is_not_repeated)
{
	CHECK(refuses("password_hash = topsecret", 1, "not a hash"));
	CHECK(!strstr(said, "topsecret"));
	CHECK(refuses("password_hash = $6$salt$'; reboot; '012345678901234567890123456789", 1,
		      "hash"));
	CHECK(!got.password_hash[0]);
	CHECK(refuses("password_hash topsecret", 1, "key = value"));
	CHECK(!strstr(said, "topsecret"));
}

TEST(gateway_wants_a_fixed_address)
{
	CHECK(refuses("gateway = 192.0.2.1", 0, "fixed address"));
	CHECK(refuses("address = dhcp\ngateway = 192.0.2.1", 0, "fixed address"));
	CHECK(!got.gateway[0]);
	CHECK(refuses("address = 192.0.2.5/24\ngateway = 2001:db8::1", 0, "different kinds"));
}

TEST(a_mistake_costs_its_own_line_only)
{
	CHECK_EQ(parse("address = nonsense\nhost_name = box\nfoo\n"), 2);
	CHECK(!strcmp(got.host_name, "box"));
	CHECK(!got.address[0]);
}

TEST(overlong_lines_and_binary_do_no_harm)
{
	static char text[4000];

	memset(text, 'a', sizeof(text));
	said[0] = '\0';
	CHECK_EQ(settings_parse(text, sizeof(text), &got, note, NULL), 1);
	CHECK(strstr(said, "1:1024: the line is longer than"));
	memset(text, 0, sizeof(text));
	text[2000] = '\n';
	said[0] = '\0';
	CHECK_EQ(settings_parse(text + 1900, 200, &got, note, NULL), 2);
	CHECK(strstr(said, "control characters"));
}
