// SPDX-License-Identifier: MIT
/*
 * ssh: log into a guest on the NAT network. The address is the one that its DHCP lease has; the key
 * is our own, which guests of our images accept.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "machines.h"

enum { WORDS_MAX = 64 };

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
	argv[count++] = target;
	for (int i = 1; i < call->args && count < WORDS_MAX; i++)
		argv[count++] = call->arg[i];
	argv[count] = NULL;
	execvp(argv[0], (char *const *)argv);
	return fail(EXIT_FAILED, "dbclient: %s",
		    errno == ENOENT ? "this program is not installed here" : strerror(errno));
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
	if (!*machine_address(name, &definition, address, sizeof(address)))
		return fail(
			EXIT_STATE,
			"'%s' has no address yet: its DHCP client has not asked; 'vm console %s' "
			"shows how far it is",
			name, name);
	return connect_to(address, user ? user : "root", call);
}
