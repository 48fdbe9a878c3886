// SPDX-License-Identifier: MIT
/*
 * Reading hornero.conf; see conf.h.
 *
 * A line is a comment, [name] or key = value. The text is cut in place: values become strings where
 * they stand. Everything is checked here, so that whoever boots an entry finds it whole; what is
 * wrong is named by line and column, and nothing is guessed.
 */
#include "conf.h"
#include <string.h>

struct parse {
	struct conf *out;
	struct conf_error *error;
	char *line; /* start of the current one, for the column */
	unsigned int number;
	char *wanted; /* value of `default` */
	unsigned int wanted_line, wanted_column;
	bool have_timeout;
};

static bool fail(struct parse *p, const char *at, const char *what)
{
	*p->error = (struct conf_error){p->number, (unsigned int)(at - p->line) + 1, what};
	return false;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(char *s)
{
	while (blank(*s))
		s++;
	return s;
}

/* Ends the string at its last character that is not a blank. */
static void trim(char *s)
{
	size_t n = strlen(s);

	while (n && blank(s[n - 1]))
		n--;
	s[n] = 0;
}

static void cut_comment(char *s)
{
	for (char *c = s; *c; c++)
		if (*c == '#' && (c == s || blank(c[-1]))) {
			*c = 0;
			return;
		}
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

static bool take_name(struct parse *p, char *s)
{
	struct conf *out = p->out;
	char *name = skip_blanks(s + 1), *end = name;

	while (name_char(*end))
		end++;
	if (end == name)
		return fail(p, name, "an entry needs a name of letters, digits, - _ . in brackets");
	char *close = skip_blanks(end);

	if (*close != ']')
		return fail(p, close, "the name of the entry is not closed by ]");
	if (close[1])
		return fail(p, close + 1, "nothing may follow the ]");
	if (out->n_entries == CONF_MAX_ENTRIES)
		return fail(p, s, "there are more than 9 entries");
	*end = 0;
	for (unsigned int i = 0; i < out->n_entries; i++)
		if (!strcmp(out->entries[i].name, name))
			return fail(p, name, "there is an entry of this name already");
	out->entries[out->n_entries++] = (struct conf_entry){.name = name, .line = p->number};
	return true;
}

static bool take_timeout(struct parse *p, const char *value)
{
	unsigned int n = 0;

	for (const char *c = value; *c; c++) {
		if (*c < '0' || *c > '9')
			return fail(p, c, "timeout is a number of seconds");
		n = n * 10 + (unsigned int)(*c - '0');
		if (n > CONF_MAX_TIMEOUT)
			return fail(p, value, "timeout is at most 3600 seconds");
	}
	p->out->timeout = n;
	return true;
}

static bool take_global(struct parse *p, const char *key, char *value)
{
	if (!strcmp(key, "default")) {
		if (p->wanted)
			return fail(p, key, "default is given twice");
		p->wanted = value;
		p->wanted_line = p->number;
		p->wanted_column = (unsigned int)(value - p->line) + 1;
		return true;
	}
	if (!strcmp(key, "timeout")) {
		if (p->have_timeout)
			return fail(p, key, "timeout is given twice");
		p->have_timeout = true;
		return take_timeout(p, value);
	}
	return fail(p, key, "before the first [entry] only default and timeout are known");
}

static bool take_setting(struct parse *p, const char *key, char *value)
{
	struct conf_entry *e = &p->out->entries[p->out->n_entries - 1];
	const struct {
		const char *key;
		const char **to;
		size_t most;
	} known[] = {
		{"title", &e->title, 60},
		{"hypervisor", &e->hypervisor, 200},
		{"cmdline", &e->cmdline, CONF_MAX_CMDLINE},
		{"kernel", &e->kernel, 200},
		{"kernel_cmdline", &e->kernel_cmdline, CONF_MAX_KERNEL_LINE},
		{"initramfs", &e->initramfs, 200},
		{"microcode", &e->microcode, 200},
	};

	for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(key, known[i].key))
			continue;
		if (*known[i].to)
			return fail(p, key, "this is given twice in one entry");
		if (strlen(value) > known[i].most)
			return fail(p, value, "this value is too long");
		*known[i].to = value;
		return true;
	}
	return fail(p, key,
		    "not known; an entry has title, hypervisor, cmdline, kernel, kernel_cmdline, "
		    "initramfs, microcode");
}

static bool take_line(struct parse *p)
{
	char *key, *end, *equals, *value;

	for (char *c = p->line; *c; c++)
		if ((*c < ' ' && *c != '\t') || *c > '~')
			return fail(p, c, "only ASCII text is understood");
	cut_comment(p->line);
	trim(p->line);
	key = skip_blanks(p->line);
	if (!*key)
		return true;
	if (*key == '[')
		return take_name(p, key);
	for (end = key; name_char(*end); end++)
		;
	equals = skip_blanks(end);
	if (end == key || *equals != '=')
		return fail(p, equals, "expected: key = value");
	*end = 0;
	value = skip_blanks(equals + 1);
	if (!p->out->n_entries && !*value)
		return fail(p, value, "the value is missing");
	if (!*value && strcmp(key, "cmdline") && strcmp(key, "kernel_cmdline"))
		return fail(p, value, "the value is missing");
	return p->out->n_entries ? take_setting(p, key, value) : take_global(p, key, value);
}

static bool complete(struct parse *p)
{
	struct conf *out = p->out;

	*p->error = (struct conf_error){p->number, 1, "there is no [entry]"};
	if (!out->n_entries)
		return false;
	for (unsigned int i = 0; i < out->n_entries; i++) {
		struct conf_entry *e = &out->entries[i];

		*p->error = (struct conf_error){e->line, 1, "this entry names no hypervisor"};
		if (!e->hypervisor)
			return false;
		p->error->what = "this entry names no kernel";
		if (!e->kernel)
			return false;
		e->title = e->title ? e->title : e->name;
		e->cmdline = e->cmdline ? e->cmdline : "";
		e->kernel_cmdline = e->kernel_cmdline ? e->kernel_cmdline : "";
		if (p->wanted && !strcmp(p->wanted, e->name)) {
			out->chosen = i;
			p->wanted = NULL;
		}
	}
	*p->error = (struct conf_error){p->wanted_line, p->wanted_column,
					"no entry has the name that default asks for"};
	return !p->wanted;
}

bool conf_parse(char *text, size_t bytes, struct conf *out, struct conf_error *error)
{
	struct parse p = {.out = out, .error = error, .line = text};
	char *end = text + bytes;

	memset(out, 0, sizeof(*out));
	out->timeout = CONF_DEFAULT_TIMEOUT;
	*end = 0;
	while (p.line < end) {
		char *newline = memchr(p.line, '\n', (size_t)(end - p.line));
		char *next = newline ? newline : end;

		*next = 0;
		p.number++;
		if (next > p.line && next[-1] == '\r' && newline)
			next[-1] = 0;
		if (strlen(p.line) + 1 < (size_t)(next - p.line))
			return fail(&p, p.line + strlen(p.line), "only ASCII text is understood");
		if (!take_line(&p))
			return false;
		p.line = next + 1;
	}
	return complete(&p);
}
