// SPDX-License-Identifier: MIT
/*
 * Connections and lines. Answers are short; a client that does not take its answer is dropped, the
 * VM waits for nobody. JSON by json-c. What the commands do is in control_commands.c.
 */
#include "control.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control_commands.h"
#include "say.h"

enum { LINE_BYTES = 4096, CLIENTS_MAX = 64, JSON_DEPTH = 4 };

struct client {
	struct loop_source source;
	struct machine *machine;
	struct client *next;
	bool wants_events;
	size_t used;
	char line[LINE_BYTES];
};

static struct loop_source listener;
static struct machine *listener_machine;
static struct client *clients;
static unsigned client_count;

static void drop_client(struct client *client, bool close_it)
{
	struct client **link = &clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	client_count--;
	loop_remove(&client->machine->loop, &client->source);
	if (close_it)
		close(client->source.fd);
	free(client);
}

/* Sends one line and gives the object up. False when the client does not take it. */
static bool send_object(const struct client *client, struct json_object *object)
{
	size_t bytes;
	const char *text =
		json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &bytes);
	bool sent =
		send(client->source.fd, text, bytes, MSG_DONTWAIT | MSG_MORE) == (ssize_t)bytes &&
		send(client->source.fd, "\n", 1, MSG_DONTWAIT) == 1;

	json_object_put(object);
	return sent;
}

static void send_state(const struct client *client)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "event", json_object_new_string("state"));
	control_add_state(object, client->machine);
	/* Not dropped here: it may be the one whose command caused the change. */
	if (!send_object(client, object))
		shutdown(client->source.fd, SHUT_RDWR);
}

static void state_changed(void *context)
{
	(void)context;
	for (const struct client *client = clients; client; client = client->next)
		if (client->wants_events)
			send_state(client);
}

/* The connection becomes a viewer; what was read past the command is typed. */
static void hand_over(struct client *client, size_t consumed, bool dump)
{
	struct machine *machine = client->machine;
	int fd = client->source.fd, out = dup(fd);
	char rest[LINE_BYTES];
	size_t bytes = client->used - consumed;
	struct reason why;

	memcpy(rest, client->line + consumed, bytes);
	drop_client(client, false);
	if (out < 0 || console_attach(&machine->console, dump ? -1 : fd, out, dump, false, &why)) {
		close(fd);
		return;
	}
	if (dump)
		close(fd);
	else
		console_type(&machine->console, (const uint8_t *)rest, bytes);
}

/* Answers one line. False when the client is gone or is a viewer now. */
static bool answer(struct client *client, char *line, size_t consumed)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
	struct json_object *request = json_tokener_parse_ex(tokener, line, -1);
	struct json_object *reply = json_object_new_object();
	enum control_next next = control_execute(client->machine, request, reply);

	json_tokener_free(tokener);
	json_object_put(request);
	if (!send_object(client, reply)) {
		drop_client(client, true);
		return false;
	}
	switch (next) {
	case CONTROL_GO_ON:
		return true;
	case CONTROL_EVENTS:
		client->wants_events = true;
		return true;
	case CONTROL_CONSOLE:
	case CONTROL_DUMP:
		hand_over(client, consumed, next == CONTROL_DUMP);
		return false;
	}
	return true;
}

static void client_ready(struct loop_source *source, uint32_t events)
{
	struct client *client = (struct client *)((char *)source - offsetof(struct client, source));
	ssize_t bytes = recv(source->fd, client->line + client->used, LINE_BYTES - client->used,
			     MSG_DONTWAIT);
	char *end;

	if (bytes < 0 && errno == EAGAIN)
		return;
	if (bytes == 0 && client->wants_events && !(events & EPOLLHUP)) {
		/* It asks for nothing more, but still listens. */
		loop_modify(&client->machine->loop, source, 0);
		return;
	}
	if (bytes <= 0) {
		drop_client(client, true);
		return;
	}
	client->used += (size_t)bytes;
	while ((end = memchr(client->line, '\n', client->used))) {
		size_t consumed = (size_t)(end - client->line) + 1;

		*end = 0;
		if (!answer(client, client->line, consumed))
			return;
		client->used -= consumed;
		memmove(client->line, client->line + consumed, client->used);
	}
	if (client->used == LINE_BYTES)
		drop_client(client, true); /* no command is that long */
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	(void)events;
	if (fd < 0)
		return;
	client = client_count < CLIENTS_MAX ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	client->machine = listener_machine;
	client->source = (struct loop_source){.fd = fd, .ready = client_ready};
	client->next = clients;
	clients = client;
	client_count++;
	if (loop_add(&listener_machine->loop, &client->source, EPOLLIN))
		drop_client(client, true);
}

/* Whether a living process serves the socket. */
static bool is_served(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool served = fd >= 0 && !connect(fd, (const struct sockaddr *)address, sizeof(*address));

	close(fd);
	return served;
}

int control_init(struct machine *machine, const char *path, struct reason *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct sockaddr *generic = (const struct sockaddr *)&address;

	if (strlen(path) >= sizeof(address.sun_path))
		return reason_set(why, "--control %s: longer than %zu characters", path,
				  sizeof(address.sun_path) - 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (is_served(&address))
		return reason_set(why, "--control %s: another VM is running there", path);
	unlink(path);

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0077);
	int error = fd < 0 || bind(fd, generic, sizeof(address)) || listen(fd, 16) ? errno : 0;

	umask(mask);
	if (error)
		return reason_set(why, "--control %s: %s", path, strerror(error));
	listener = (struct loop_source){.fd = fd, .ready = listener_ready};
	listener_machine = machine;
	machine->state_changed = state_changed;
	machine->context = machine;
	if (loop_add(&machine->loop, &listener, EPOLLIN))
		return reason_set(why, "--control %s: %s", path, strerror(errno));
	return 0;
}
