// SPDX-License-Identifier: MIT
// sources: control-domain/hornero/settings_parse.c
/*
 * settings.conf of random bytes, in an allocation of exactly their size. What is taken ends, and
 * has no character that a shell or a JSON text would take for anything else; each mistake has a
 * place in the file and a reason.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../control-domain/hornero/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct heard {
	const char *text;
	size_t bytes;
	unsigned int mistakes;
};

static void demand(bool true_thing)
{
	if (!true_thing)
		abort();
}

static void plain(const char *value, size_t room)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"-.:/$=,";

	demand(memchr(value, 0, room) && !value[strspn(value, allowed)]);
}

/* How long the line of this number is, its end included. */
static size_t line_bytes(const struct heard *h, unsigned int number)
{
	const char *at = h->text, *end = h->text + h->bytes;

	for (;;) {
		const char *next = memchr(at, '\n', (size_t)(end - at));

		if (!--number || !next)
			return number ? 0 : (size_t)((next ? next + 1 : end) - at);
		at = next + 1;
	}
}

static void hear(void *arg, unsigned int line, unsigned int column, const char *text)
{
	struct heard *h = arg;

	h->mistakes++;
	demand(*text && !line == !column);
	demand(!line || column <= line_bytes(h, line) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = malloc(bytes ? bytes : 1);
	struct heard heard = {.text = text, .bytes = bytes};
	struct settings s;

	memcpy(text, data, bytes);
	demand(settings_parse(text, bytes, &s, hear, &heard) == heard.mistakes);
	plain(s.host_name, sizeof(s.host_name));
	plain(s.address, sizeof(s.address));
	plain(s.gateway, sizeof(s.gateway));
	plain(s.password_hash, sizeof(s.password_hash));
	plain(s.control_mem, sizeof(s.control_mem));
	for (int i = 0; i < SETTINGS_LIST_MAX; i++) {
		plain(s.dns[i], sizeof(s.dns[i]));
		plain(s.ntp[i], sizeof(s.ntp[i]));
	}
	demand(!*s.gateway || (*s.address && strcmp(s.address, "dhcp")));
	free(text);
	return 0;
}
