// SPDX-License-Identifier: MIT
/*
 * The hypervisor's command line. See cmdline.h for the table of options.
 */
#include <cmdline.h>
#include <stdio.h>
#include <string.h>
#include <log.h>

#define LOG_TAG "boot"

static const struct option {
	const char *name;
	enum cmdline_form form;
	const char *fallback;
} options[] = {
#define X(name, form, fallback, help) {#name, form, fallback},
	CMDLINE_OPTIONS(X)
#undef X
};

static const char *const expected[] = {
	[OPT_SIZE] = "not a size like 512M",
	[OPT_NUMBER] = "not a number",
	[OPT_LEVEL] = "not one of error, warn, info, debug",
	[OPT_SECONDS] = "neither a number of seconds nor 'halt'",
};

static char words[CMDLINE_BYTES];
static const char *given[ARRAY_SIZE(options)]; /* values inside of words */

char *cut_word(char **text, const char *separators)
{
	char *word = *text;

	while (*word && memchr(separators, *word, strlen(separators)))
		word++;
	if (!*word)
		return NULL;
	*text = word + strcspn(word, separators);
	if (**text)
		*(*text)++ = 0;
	return word;
}

bool parse_number(const char *s, bool suffix, uint64_t *v)
{
	static const char digits[] = "0123456789abcdef", units[] = "kmg";
	bool hex = s[0] == '0' && s[1] == 'x';
	const char *unit, *digit, *first = s += hex ? 2 : 0;
	uint64_t base = hex ? 16 : 10;

	for (*v = 0; (digit = memchr(digits, *s | 0x20, base)); s++)
		if (__builtin_mul_overflow(*v, base, v) ||
		    __builtin_add_overflow(*v, (uint64_t)(digit - digits), v))
			return false;
	if (s == first)
		return false;
	unit = suffix ? memchr(units, *s | 0x20, 3) : NULL;
	for (long i = 0; unit && i <= unit - units; i++)
		if (__builtin_mul_overflow(*v, KIB, v))
			return false;
	return !s[unit != NULL];
}

static int parse_level(const char *s)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};

	for (int i = 0; i < (int)ARRAY_SIZE(levels); i++)
		if (!strcmp(s, levels[i]) || (s[0] == '0' + i && !s[1]))
			return i;
	return -1;
}

static bool well_formed(enum cmdline_form form, const char *value)
{
	uint64_t v;

	switch (form) {
	case OPT_TEXT:
		return true;
	case OPT_LEVEL:
		return parse_level(value) >= 0;
	case OPT_SECONDS:
		return !strcmp(value, "halt") || parse_number(value, false, &v);
	default:
		return parse_number(value, form == OPT_SIZE, &v);
	}
}

static int find(const char *name, size_t len)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++) {
		if (strlen(options[i].name) == len && !memcmp(options[i].name, name, len))
			return (int)i;
	}
	return -1;
}

static const char *problem(const char *value, int i)
{
	if (i < 0)
		return "unknown option";
	if (!*value)
		return "has no value";
	return well_formed(options[i].form, value) ? NULL : expected[options[i].form];
}

void cmdline_parse(const char *line)
{
	char *text = words, *word;

	memset(given, 0, sizeof(given));
	if (snprintf(words, sizeof(words), "%s", line) >= CMDLINE_BYTES)
		log_warn("command line: what follows its byte %u is ignored", CMDLINE_BYTES - 1);
	while ((word = cut_word(&text, " \t\r\n"))) {
		size_t len = strcspn(word, "=");
		const char *value = word + len + (word[len] != 0), *why;
		int i = find(word, len);

		why = problem(value, i);
		if (!why)
			given[i] = value;
		else if (i < 0 || !*options[i].fallback)
			log_warn("command line: '%s' %s; ignored", word, why);
		else
			log_warn("command line: '%s' %s; the default '%s' is used", word, why,
				 options[i].fallback);
	}
}

const char *cmdline_get(const char *name)
{
	int i = find(name, strlen(name));

	if (i < 0)
		return NULL;
	return given[i] ? given[i] : options[i].fallback;
}

uint64_t cmdline_number(const char *name, uint64_t fallback)
{
	uint64_t v;

	return parse_number(cmdline_get(name), true, &v) ? v : fallback;
}

unsigned int cmdline_level(const char *name)
{
	return (unsigned int)parse_level(cmdline_get(name));
}
