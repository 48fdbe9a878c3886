// SPDX-License-Identifier: MIT
/*
 * The client's side of the control socket: one JSON object a line, asked and answered. A device
 * model that does not answer within 5 s is said to be stuck; nothing here waits for ever.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime.h"

enum { ANSWER_BYTES = 64 * 1024, ANSWER_MS = 5000 };

int control_connect(const char *name, struct reason *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[FILE_NAME_BYTES];
	int fd;

	runtime_path(path, name, "control");
	if (strlen(path) >= sizeof(address.sun_path))
		return reason_set(why, "%s: the path is too long for a socket", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return reason_set(why, "%s: %s", path, strerror(errno));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	reason_set(why, "%s: %s%s", path, strerror(errno),
		   errno == EACCES ? "; run vm as root" : "");
	close(fd);
	return -1;
}

/* One line, without what follows it: a console's output begins right after. */
static int receive_line(int fd, char *line, struct reason *why)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	long long deadline = now_ms() + ANSWER_MS;
	size_t used = 0;

	for (;;) {
		long long left = deadline - now_ms();

		if (left <= 0 || poll(&ready, 1, (int)left) != 1)
			return reason_set(why,
					  "its device model does not answer; 'vm kill' ends it");
		ssize_t bytes = recv(fd, line + used, ANSWER_BYTES - 1 - used, MSG_PEEK);
		char *end = bytes > 0 ? memchr(line + used, '\n', (size_t)bytes) : NULL;

		if (bytes <= 0 || (!end && used + (size_t)bytes == ANSWER_BYTES - 1))
			return reason_set(why, "its device model closed the connection");
		size_t take = end ? (size_t)(end - line - (long)used) + 1 : (size_t)bytes;

		bytes = recv(fd, line + used, take, 0);
		used += bytes > 0 ? (size_t)bytes : 0;
		if (!end)
			continue;
		line[used - 1] = '\0';
		return 0;
	}
}

struct json_object *control_ask(int fd, const char *command, struct json_object *more,
				struct reason *why)
{
	static char line[ANSWER_BYTES];
	struct json_object *request = more ? more : json_object_new_object(), *answer, *value;
	const char *text;
	int length;

	json_object_object_add(request, "command", json_object_new_string(command));
	text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	length = snprintf(line, sizeof(line), "%s\n", text);
	json_object_put(request);
	if (send(fd, line, (size_t)length, MSG_NOSIGNAL) != length) {
		reason_set(why, "its device model closed the connection");
		return NULL;
	}
	if (receive_line(fd, line, why))
		return NULL;
	answer = json_tokener_parse(line);
	if (json_object_object_get_ex(answer, "ok", &value) && json_object_get_boolean(value))
		return answer;
	if (json_object_object_get_ex(answer, "error", &value))
		reason_set(why, "%s", json_object_get_string(value));
	else
		reason_set(why, "its device model answered '%.80s'", line);
	json_object_put(answer);
	return NULL;
}

int control_tell(const char *name, const char *command, struct reason *why)
{
	int fd = control_connect(name, why);
	struct json_object *answer = fd < 0 ? NULL : control_ask(fd, command, NULL, why);

	if (fd >= 0)
		close(fd);
	if (!answer)
		return -1;
	json_object_put(answer);
	return 0;
}
