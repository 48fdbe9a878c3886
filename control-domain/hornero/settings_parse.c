// SPDX-License-Identifier: MIT
/*
 * The parser of settings.conf. Values end up in shell scripts and command lines, so each key
 * accepts the characters that it needs and no others. Nothing here looks anything up or touches the
 * system.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

#define LINE_MAX_BYTES 1024
#define LOWER	       "abcdefghijklmnopqrstuvwxyz"
#define UPPER	       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	       "0123456789"

struct parser {
	struct settings *out;
	settings_error_fn *report;
	void *arg;
	unsigned int line;
	unsigned int errors;
	const char *begin; /* of the line */
	const char *at;	   /* what a mistake is about */
};

static void mistake(struct parser *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void mistake(struct parser *p, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	p->errors++;
	p->report(p->arg, p->line, p->line ? (unsigned int)(p->at - p->begin) + 1 : 0, text);
}

static bool only(const char *value, const char *allowed)
{
	return value[strspn(value, allowed)] == '\0';
}

static bool is_address(const char *value)
{
	unsigned char room[16];

	return inet_pton(AF_INET, value, room) == 1 || inet_pton(AF_INET6, value, room) == 1;
}

/* A DNS name: labels of letters, digits and inner hyphens (RFC 1123). */
static bool is_name(const char *value, size_t longest)
{
	size_t label = 0;

	if (!*value || strlen(value) > longest || !only(value, LOWER UPPER DIGITS "-."))
		return false;
	for (const char *c = value; *c; c++) {
		if (*c == '.' && (!label || c[-1] == '-'))
			return false;
		if (*c == '-' && !label)
			return false;
		label = *c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label && value[strlen(value) - 1] != '-';
}

static void set_host_name(struct parser *p, char *value)
{
	if (!is_name(value, sizeof(p->out->host_name) - 1) || strchr(value, '.'))
		mistake(p, "host_name '%s': use letters, digits and inner hyphens, at most 63",
			value);
	else
		strcpy(p->out->host_name, value);
}

static void set_address(struct parser *p, char *value)
{
	char plain[64];
	char *slash = strchr(value, '/');
	unsigned long prefix, longest;

	if (!strcmp(value, "dhcp")) {
		strcpy(p->out->address, value);
		return;
	}
	if (!slash || (size_t)(slash - value) >= sizeof(plain) || !only(slash + 1, DIGITS) ||
	    !slash[1] || strlen(slash + 1) > 3) {
		mistake(p, "address '%s': write 'dhcp' or ADDRESS/PREFIX, such as 192.0.2.5/24",
			value);
		return;
	}
	memcpy(plain, value, (size_t)(slash - value));
	plain[slash - value] = '\0';
	prefix = strtoul(slash + 1, NULL, 10);
	longest = strchr(plain, ':') ? 128 : 32;
	if (!is_address(plain))
		mistake(p, "address '%s': '%s' is not an IP address", value, plain);
	else if (!prefix || prefix > longest)
		mistake(p, "address '%s': the prefix has 1 to %lu bits", value, longest);
	else
		strcpy(p->out->address, value);
}

static void set_gateway(struct parser *p, char *value)
{
	if (is_address(value))
		strcpy(p->out->gateway, value);
	else
		mistake(p, "gateway '%s' is not an IP address", value);
}

static void set_dns(struct parser *p, char *value)
{
	unsigned int count = 0;

	for (char *word = strtok(value, " \t,"); word; word = strtok(NULL, " \t,")) {
		p->at = word;
		if (!is_address(word))
			mistake(p, "dns '%s' is not an IP address", word);
		else if (count == SETTINGS_LIST_MAX)
			mistake(p, "dns '%s': at most %d servers", word, SETTINGS_LIST_MAX);
		else
			strcpy(p->out->dns[count++], word);
	}
}

static void set_ntp(struct parser *p, char *value)
{
	unsigned int count = 0;

	for (char *word = strtok(value, " \t,"); word; word = strtok(NULL, " \t,")) {
		p->at = word;
		if (!is_address(word) && !is_name(word, sizeof(p->out->ntp[0]) - 1))
			mistake(p, "ntp '%s' is neither a host name nor an IP address", word);
		else if (count == SETTINGS_LIST_MAX)
			mistake(p, "ntp '%s': at most %d servers", word, SETTINGS_LIST_MAX);
		else
			strcpy(p->out->ntp[count++], word);
	}
	for (unsigned int i = 0; count > 1 && i < count; i++)
		if (!strcmp(p->out->ntp[i], "none"))
			mistake(p, "ntp 'none' means no server, so it stands alone");
}

static void set_password_hash(struct parser *p, char *value)
{
	bool known =
		!strncmp(value, "$y$", 3) || !strncmp(value, "$6$", 3) || !strncmp(value, "$5$", 3);

	/* the value is not repeated: consoles are read by others */
	if (!known || strlen(value) < 40 || strlen(value) >= sizeof(p->out->password_hash) ||
	    !only(value, LOWER UPPER DIGITS "./$=,"))
		mistake(p, "password_hash is not a hash: make one with 'mkpasswd -m sha512'");
	else
		strcpy(p->out->password_hash, value);
}

static void set_control_mem(struct parser *p, char *value)
{
	size_t digits = strspn(value, DIGITS);

	if (!digits || digits > 9 || (strcmp(value + digits, "M") && strcmp(value + digits, "G")) ||
	    !strtoul(value, NULL, 10))
		mistake(p, "control_mem '%s': write a number and M or G, such as 1536M", value);
	else
		strcpy(p->out->control_mem, value);
}

static const struct key {
	const char *name;
	void (*set)(struct parser *p, char *value);
} keys[] = {
	{"host_name", set_host_name},
	{"address", set_address},
	{"gateway", set_gateway},
	{"dns", set_dns},
	{"ntp", set_ntp},
	{"password_hash", set_password_hash},
	{"control_mem", set_control_mem},
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t");
	length = strlen(text);
	while (length && strchr(" \t", text[length - 1]))
		text[--length] = '\0';
	return text;
}

static void parse_line(struct parser *p, char *line, unsigned int *seen)
{
	char *equals, *name, *value;

	p->begin = line;
	line = trim(line);
	p->at = line;
	if (!*line || *line == '#')
		return;
	equals = strchr(line, '=');
	if (!equals) {
		/* the first word only: the rest may be a secret */
		mistake(p, "'%.*s' is no setting: write 'key = value'", (int)strcspn(line, " \t"),
			line);
		return;
	}
	*equals = '\0';
	name = trim(line);
	value = trim(equals + 1);
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(name, keys[i].name))
			continue;
		if (seen[i]) {
			mistake(p, "'%s' is set in line %u already", name, seen[i]);
		} else {
			p->at = value;
			if (*value)
				keys[i].set(p, value);
			else
				mistake(p, "'%s' has no value", name);
		}
		seen[i] = seen[i] ? seen[i] : p->line;
		return;
	}
	mistake(p, "there is no setting '%s'", name);
}

static void check_whole(struct parser *p)
{
	bool fixed = *p->out->address && strcmp(p->out->address, "dhcp");

	p->line = 0;
	if (*p->out->gateway && !fixed)
		mistake(p,
			"a gateway needs a fixed address; with DHCP the server names the gateway");
	else if (*p->out->gateway && !strchr(p->out->gateway, ':') != !strchr(p->out->address, ':'))
		mistake(p, "gateway %s and address %s are of different kinds", p->out->gateway,
			p->out->address);
	else
		return;
	p->out->gateway[0] = '\0';
}

/* How much of it is printable text, beyond ASCII as well (comments). */
static size_t text_span(const char *line, size_t length)
{
	size_t i = 0;

	while (i < length && ((unsigned char)line[i] >= ' ' || line[i] == '\t') && line[i] != 0x7f)
		i++;
	return i;
}

unsigned int settings_parse(const char *text, size_t length, struct settings *out,
			    settings_error_fn *report, void *arg)
{
	struct parser p = {.out = out, .report = report, .arg = arg};
	unsigned int seen[KEYS] = {0};
	char line[LINE_MAX_BYTES];

	memset(out, 0, sizeof(*out));
	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		length -= 3;
	}
	while (length) {
		const char *end = memchr(text, '\n', length);
		size_t bytes = end ? (size_t)(end - text) : length;
		size_t visible = bytes && text[bytes - 1] == '\r' ? bytes - 1 : bytes;

		p.line++;
		p.begin = text;
		p.at = text + text_span(text, visible);
		if (visible >= sizeof(line)) {
			p.at = text + sizeof(line) - 1;
			mistake(&p, "the line is longer than %d bytes", LINE_MAX_BYTES - 1);
		} else if (p.at != text + visible) {
			mistake(&p, "the line has control characters: save the file as plain text");
		} else {
			memcpy(line, text, visible);
			line[visible] = '\0';
			parse_line(&p, line, seen);
		}
		text += bytes + (end ? 1 : 0);
		length -= bytes + (end ? 1 : 0);
	}
	check_whole(&p);
	return p.errors;
}
