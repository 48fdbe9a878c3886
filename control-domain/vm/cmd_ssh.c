// SPDX-License-Identifier: MIT
/*
 * ssh: log into a guest on the NAT network. The address is the one that its DHCP lease has; the key
 * is our own, which guests of our images accept.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machines.h"

enum { WORDS_MAX = 64, GUEST_MS = 60000, STEP_MS = 200 };

static int connect_to(const char *address, const char *user, struct cli_call *call)
{
	const char *argv[WORDS_MAX + 8];
	char key[FILE_NAME_BYTES], target[160];
	int count = 0;

	snprintf(target, sizeof(target), "%.60s@%.90s", user, address);
	argv[count++] = "dbclient";
	argv[count++] = "-i";
	argv[count++] = guest_key_path(key);
	/* Twice: a guest's host key is new at each start, and the bridge is ours. */
	argv[count++] = "-yy";
	if (!isatty(STDIN_FILENO))
		argv[count++] = "-T";
	argv[count++] = target;
	for (int i = 1; i < call->args && count < WORDS_MAX; i++)
		argv[count++] = call->arg[i];
	argv[count] = NULL;
	execvp(argv[0], (char *const *)argv);
	return fail(EXIT_FAILED, "dbclient: %s",
		    errno == ENOENT ? "this program is not installed here" : strerror(errno));
}

static bool listens(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(22)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	int error = -1;
	socklen_t size = sizeof(error);

	if (inet_aton(address, &to.sin_addr) && fd >= 0 &&
	    (!connect(fd, (struct sockaddr *)&to, sizeof(to)) || errno == EINPROGRESS) &&
	    poll(&ready, 1, STEP_MS) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (fd >= 0)
		close(fd);
	return !error;
}

/* A guest that has just been started gets its address, and then its SSH server, in a moment. */
static bool await_guest(const char *name, const struct definition *definition, char *address,
			size_t size)
{
	long long began = now_ms();
	bool told = false;

	while (!*machine_address(name, definition, address, size) || !listens(address)) {
		if (!runtime_pid(name) || now_ms() - began > GUEST_MS)
			return false;
		if (!told && now_ms() - began > 1000) {
			fprintf(stderr, "waiting for the SSH server of '%s'\n", name);
			told = true;
		}
		poll(NULL, 0, STEP_MS);
	}
	return true;
}

int ssh_main(struct cli_call *call)
{
	const char *name = call->arg[0], *user = cli_value(call, "user");
	struct definition definition;
	char address[64];
	int code = store_load(name, &definition);

	if (code)
		return code;
	if (say_json)
		return fail(EXIT_USAGE, "ssh: a login is no JSON; leave --json out");
	if (!runtime_pid(name))
		return fail(EXIT_STATE, "'%s' is not running; 'vm start %s' starts it", name, name);
	if (!strcmp(definition.net, "none"))
		return fail(EXIT_STATE,
			    "'%s' has no network (net = none); 'vm console %s' reaches it", name,
			    name);
	if (strcmp(definition.net, "nat"))
		return fail(EXIT_STATE,
			    "'%s' is on network '%s', whose addresses are not known here; "
			    "'vm console %s' shows its own, 'ssh ADDRESS' reaches it",
			    name, definition.net, name);
	if (!await_guest(name, &definition, address, sizeof(address)))
		return fail(EXIT_TIMEOUT, "'%s' %s; 'vm console %s' shows how far it is", name,
			    *address ? "has an address, but no SSH server answers there"
				     : "has no address: its DHCP client has not asked for one",
			    name);
	return connect_to(address, user ? user : "root", call);
}
