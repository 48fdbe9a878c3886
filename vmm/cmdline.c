// SPDX-License-Identifier: MIT
/*
 * The hypervisor's command line. See cmdline.h for the table of options.
 */
#include <cmdline.h>
#include <string.h>

static const struct option {
	const char *name;
	enum cmdline_form form;
	const char *fallback;
} options[] = {
#define X(name, form, fallback, help) {#name, form, fallback},
	CMDLINE_OPTIONS(X)
#undef X
};

static char values[ARRAY_SIZE(options)][CMDLINE_VALUE_BYTES];
static bool given[ARRAY_SIZE(options)];

static const char *const levels[] = {"error", "warn", "info", "debug"};

/* @s as a decimal number, with a size suffix if @suffix. */
static bool parse_number(const char *s, bool suffix, uint64_t *v)
{
	unsigned int shift = 0;

	*v = 0;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (*v > (UINT64_MAX >> 4) / 10)
			return false;
		*v = *v * 10 + (uint64_t)(*s - '0');
	}
	if (suffix && *s) {
		switch (*s++ | 0x20) {
		case 'k':
			shift = 10;
			break;
		case 'm':
			shift = 20;
			break;
		case 'g':
			shift = 30;
			break;
		default:
			return false;
		}
	}
	if (*s || *v > UINT64_MAX >> shift)
		return false;
	*v <<= shift;
	return true;
}

static int parse_level(const char *s)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(levels); i++) {
		if (!strcmp(s, levels[i]) || (s[0] == (char)('0' + i) && !s[1]))
			return (int)i;
	}
	return -1;
}

static const char *malformed(const struct option *o, const char *value)
{
	uint64_t v;

	switch (o->form) {
	case OPT_SIZE:
		return parse_number(value, true, &v) ? NULL : "not a size like 512M";
	case OPT_NUMBER:
		return parse_number(value, false, &v) ? NULL : "not a number";
	case OPT_LEVEL:
		return parse_level(value) >= 0 ? NULL : "not one of error, warn, info, debug";
	case OPT_SECONDS:
		return !strcmp(value, "halt") || parse_number(value, false, &v)
			       ? NULL
			       : "neither a number of seconds nor 'halt'";
	case OPT_TEXT:
		break;
	}
	return NULL;
}

static int find(const char *name, size_t len)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++) {
		if (strlen(options[i].name) == len && !strncmp(options[i].name, name, len))
			return (int)i;
	}
	return -1;
}

static void take_word(const char *word,
		      void (*complain)(const char *word, const char *why, const char *fallback))
{
	const char *equals = strchr(word, '=');
	const char *why;
	int i = find(word, equals ? (size_t)(equals - word) : strlen(word));

	if (i < 0) {
		complain(word, "unknown option", "");
		return;
	}
	if (!equals || !equals[1]) {
		complain(word, "has no value", options[i].fallback);
		return;
	}
	why = malformed(&options[i], equals + 1);
	if (!why && strlen(equals + 1) >= CMDLINE_VALUE_BYTES)
		why = "value too long";
	if (why) {
		complain(word, why, options[i].fallback);
		return;
	}
	memcpy(values[i], equals + 1, strlen(equals + 1) + 1);
	given[i] = true;
}

void cmdline_parse(const char *text,
		   void (*complain)(const char *word, const char *why, const char *fallback))
{
	char word[CMDLINE_VALUE_BYTES + 32];

	memset(given, 0, sizeof(given));
	for (;;) {
		size_t len;

		text += strspn(text, " \t\r\n");
		if (!*text)
			return;
		len = strcspn(text, " \t\r\n");
		if (len < sizeof(word)) {
			memcpy(word, text, len);
			word[len] = 0;
			take_word(word, complain);
		} else {
			memcpy(word, text, sizeof(word) - 1);
			word[sizeof(word) - 1] = 0;
			complain(word, "too long", "");
		}
		text += len;
	}
}

const char *cmdline_get(const char *name)
{
	int i = find(name, strlen(name));

	if (i < 0)
		return NULL;
	return given[i] ? values[i] : options[i].fallback;
}

uint64_t cmdline_number(const char *name, uint64_t fallback)
{
	uint64_t v;
	const char *s = cmdline_get(name);

	return s && parse_number(s, true, &v) ? v : fallback;
}

unsigned int cmdline_level(const char *name)
{
	int level = parse_level(cmdline_get(name));

	return level >= 0 ? (unsigned int)level : 0;
}

bool cmdline_list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*list) {
		size_t len = strcspn(list, ",");

		if (len == n && !strncmp(list, word, n))
			return true;
		list += len;
		list += *list == ',';
	}
	return false;
}
