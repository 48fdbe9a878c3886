// SPDX-License-Identifier: MIT
/*
 * The text of a definition: reading it line by line, editing it in place. What each key means is
 * in definition_keys.c.
 */
#include "definition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "1"
enum { LINE_BYTES = DEFINITION_VALUE_BYTES + 64 };

const struct definition_key *definition_find_key(const char *name)
{
	for (unsigned int i = 0; i < definition_key_count; i++)
		if (!strcmp(definition_keys[i].name, name))
			return &definition_keys[i];
	return NULL;
}

int definition_set(struct definition *definition, const char *key, const char *value,
		   struct reason *why)
{
	const struct definition_key *entry = definition_find_key(key);
	const char *names[32] = {NULL};
	struct reason inner;

	if (!entry) {
		for (unsigned int i = 0; i < definition_key_count && i < 31; i++)
			names[i] = definition_keys[i].name;
		const char *near = units_nearest(key, names);

		return near ? reason_set(why, "there is no key '%s'; did you mean '%s'?", key, near)
			    : reason_set(why, "there is no key '%s'; 'vm help set' lists them",
					 key);
	}
	if (!*value)
		return reason_set(why, "%s has no value; leave the line out to get the default",
				  key);
	if (strpbrk(value, "\r\n"))
		return reason_set(why, "%s: a value is one line", key);
	if (entry->set(definition, value, &inner))
		return reason_set(why, "%s: %s", key, inner.text);
	return 0;
}

/* Splits off a line without its end; false at the end of the text. */
static bool next_line(const char **text, char *line, size_t size, bool *fits)
{
	size_t length = strcspn(*text, "\n");

	if (!**text)
		return false;
	*fits = length < size;
	memcpy(line, *text, *fits ? length : 0);
	line[*fits ? length : 0] = '\0';
	*text += length + ((*text)[length] == '\n');
	return true;
}

static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t");
	length = strlen(text);
	while (length && strchr(" \t\r", text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* Cuts @line into key and value. False if it is empty or a comment; @value NULL without '='. */
static bool split(char *line, char **key, char **value)
{
	char *equals;

	*key = trim(line);
	*value = NULL;
	if (!**key || **key == '#')
		return false;
	equals = strchr(*key, '=');
	if (equals) {
		*equals = '\0';
		*key = trim(*key);
		*value = trim(equals + 1);
	}
	return true;
}

static int parse_line(struct definition *definition, char *line, uint64_t *seen, struct reason *why)
{
	const uint64_t version_bit = 1ull << 63;
	char *key, *value;

	if (!split(line, &key, &value))
		return 0;
	if (!value)
		return reason_set(why, "'%s' is no setting: write 'key = value'", key);
	const struct definition_key *entry = definition_find_key(key);
	bool is_version = !strcmp(key, "version");
	uint64_t bit = is_version ? version_bit : entry ? 1ull << (entry - definition_keys) : 0;

	if ((*seen & bit) && (is_version || !entry->repeats))
		return reason_set(why, "%s is set twice; keep one of the lines", key);
	*seen |= bit;
	if (!is_version)
		return definition_set(definition, key, value, why);
	if (strcmp(value, VERSION))
		return reason_set(
			why, "version %s is not known; this program reads version " VERSION, value);
	return 0;
}

int definition_parse(const char *file, const char *text, struct definition *definition,
		     struct reason *why)
{
	char line[LINE_BYTES];
	uint64_t seen = 0;
	bool fits;
	struct reason inner;

	definition_defaults(definition);
	for (unsigned int number = 1; next_line(&text, line, sizeof(line), &fits); number++) {
		if (!fits)
			return reason_set(why, "%s:%u: the line is longer than %d bytes", file,
					  number, LINE_BYTES - 1);
		if (parse_line(definition, line, &seen, &inner))
			return reason_set(why, "%s:%u: %s", file, number, inner.text);
	}
	if (!(seen >> 63))
		return reason_set(why, "%s: 'version = " VERSION "' is missing; add that line",
				  file);
	if (definition_check(definition, &inner))
		return reason_set(why, "%s: %s", file, inner.text);
	return 0;
}

struct output {
	char *text;
	size_t length, size;
	bool failed;
};

static void put(struct output *out, const char *text, size_t length)
{
	if (out->length + length + 1 > out->size) {
		size_t size = (out->size + length) * 2 + 256;
		char *grown = realloc(out->text, size);

		if (!grown) {
			out->failed = true;
			return;
		}
		out->text = grown;
		out->size = size;
	}
	memcpy(out->text + out->length, text, length);
	out->length += length;
	out->text[out->length] = '\0';
}

static void put_setting(struct output *out, const char *key, const char *value)
{
	if (out->length && out->text[out->length - 1] != '\n')
		put(out, "\n", 1);
	put(out, key, strlen(key));
	put(out, " = ", 3);
	put(out, value, strlen(value));
	put(out, "\n", 1);
}

static char *finish(struct output *out)
{
	put(out, "", 0);
	if (!out->failed)
		return out->text;
	free(out->text);
	return NULL;
}

char *definition_edit(const char *text, const char *key, const char *const *values,
		      unsigned int count)
{
	struct output out = {0};
	char line[LINE_BYTES], *found, *value;
	bool fits, written = false;

	while (*text) {
		const char *start = text;

		next_line(&text, line, sizeof(line), &fits);
		if (!fits || !split(line, &found, &value) || strcmp(found, key)) {
			put(&out, start, (size_t)(text - start));
			continue;
		}
		for (unsigned int i = 0; i < count && !written; i++)
			put_setting(&out, key, values[i]);
		written = true;
	}
	for (unsigned int i = 0; i < count && !written; i++)
		put_setting(&out, key, values[i]);
	return finish(&out);
}

char *definition_write(const struct definition *definition, const char *comment)
{
	char buffer[DEFINITION_VALUE_BYTES];
	struct output out = {0};
	const char *value;

	if (comment) {
		put(&out, "# ", 2);
		put(&out, comment, strlen(comment));
		put(&out, "\n", 1);
	}
	put_setting(&out, "version", VERSION);
	for (unsigned int i = 0; i < definition_key_count; i++)
		for (unsigned int n = 0;
		     (value = definition_keys[i].get(definition, n, buffer, sizeof(buffer))); n++)
			put_setting(&out, definition_keys[i].name, value);
	return finish(&out);
}
