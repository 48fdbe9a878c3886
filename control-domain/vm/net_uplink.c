// SPDX-License-Identifier: MIT
/*
 * A network that takes the place of a network card: the card goes into a bridge, the bridge gets
 * its address. Whoever does that over the very card may lock himself out, so a process of its own
 * makes the change and takes it back after a minute, unless `vm net confirm` came before. Only a
 * confirmed network is recorded; the start-up script `network` makes its bridge at the next boot.
 * What is done to the card is in image/root/usr/lib/hornero/uplink.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

#define SCRIPT "/usr/lib/hornero/uplink"
enum { CONFIRM_S = 60 };

static const char *pending_path(char buffer[FILE_NAME_BYTES])
{
	return place(buffer, "/run/hornero/net/pending");
}

/* "NAME CARD PID START" of what waits for its confirmation, and the process that does. */
static int write_pending(const char *name, const char *card, pid_t guard, struct reason *why)
{
	char path[FILE_NAME_BYTES], text[96];

	snprintf(text, sizeof(text), "%s %s %d %llu\n", name, card, (int)guard,
		 (unsigned long long)runtime_start_ticks(guard));
	return write_text(pending_path(path), text, why);
}

/* False if nothing waits. @guarded: somebody will take it back in time. */
static bool read_pending(char name[16], char card[16], bool *guarded)
{
	char path[FILE_NAME_BYTES];
	char *text = read_text(pending_path(path), 96);
	unsigned long long start = 0;
	int pid = 0;
	bool found = text && sscanf(text, "%15s %15s %d %llu", name, card, &pid, &start) >= 2;

	free(text);
	*guarded = pid > 0 && start && runtime_start_ticks(pid) == start;
	return found;
}

const char *uplink_card(const char *name, char card[16])
{
	char path[FILE_NAME_BYTES], pending[16];
	bool guarded;
	char *text = read_text(net_record(path, name), 4096);
	const char *at = text ? strstr(text, "\nuplink = ") : NULL;

	if (!at || sscanf(at, "\nuplink = %15s", card) != 1)
		*card = '\0';
	free(text);
	if (!*card && (!read_pending(pending, card, &guarded) || strcmp(pending, name)))
		*card = '\0';
	return card;
}

static int change(const char *direction, const char *name, const char *card, struct reason *why)
{
	const char *const argv[] = {SCRIPT, direction, name, card, NULL};

	return is_elsewhere() ? 0 : run_program(argv, why);
}

static int check_card(const char *card)
{
	char path[96], name[16], other[16];
	bool is_bridge, guarded;

	if (!is_elsewhere() && access(SCRIPT, X_OK))
		return fail(EXIT_STATE, "--uplink: this system has network settings of its own; "
					"make a bridge there (systemd.netdev(5) or "
					"bridge-utils-interfaces(5)), then 'vm create NAME --net "
					"BRIDGE' puts a VM on it");
	if (read_pending(name, other, &guarded))
		return fail(
			EXIT_STATE,
			"network '%s' waits to be confirmed: 'vm net confirm', or wait a minute",
			name);
	if (strlen(card) > 15 || strchr(card, '/') || !net_exists(card, &is_bridge))
		return fail(EXIT_NOT_FOUND,
			    "--uplink: there is no network card '%s'; 'ip link' "
			    "lists those there are",
			    card);
	snprintf(path, sizeof(path), "/sys/class/net/%s/device", card);
	if (access(path, F_OK))
		return fail(EXIT_USAGE, "--uplink: %s is no network card but %s", card,
			    is_bridge ? "a network already" : "made by software");
	snprintf(path, sizeof(path), "/sys/class/net/%s/master", card);
	if (!access(path, F_OK))
		return fail(EXIT_STATE,
			    "--uplink: %s belongs to a network already; 'vm net' shows it", card);
	return EXIT_OK;
}

/* The process that outlives the login which started it. */
static void guard(const char *name, const char *card, int told)
{
	char path[FILE_NAME_BYTES], waits[16], other[16];
	struct reason why = {.text = ""};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool guarded;

	setsid();
	signal(SIGHUP, SIG_IGN);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (write_pending(name, card, getpid(), &why) || change("up", name, card, &why)) {
		struct reason ignored;

		unlink(pending_path(path));
		change("down", name, card, &ignored);
		if (write(told, why.text, strlen(why.text)) < 0)
			_exit(1);
		_exit(1);
	}
	close(told);
	poll(NULL, 0, CONFIRM_S * 1000);
	/* Whoever takes the file away decides, so this waits for no lock that somebody keeps. */
	if (!read_pending(waits, other, &guarded) || strcmp(waits, name) || strcmp(other, card) ||
	    unlink(pending_path(path)))
		_exit(0);
	change("down", name, card, &why);
	_exit(0);
}

static int start_guard(const char *name, const char *card, struct reason *why)
{
	char path[FILE_NAME_BYTES];
	char said[sizeof(why->text)];
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return reason_set(why, "%s", strerror(errno));
	child = fork();
	if (!child)
		guard(name, card, ends[1]);
	close(ends[1]);
	ssize_t bytes = child < 0 ? snprintf(said, sizeof(said), "fork: %s", strerror(errno))
				  : read(ends[0], said, sizeof(said) - 1);

	close(ends[0]);
	if (child < 0)
		unlink(pending_path(path));
	if (bytes <= 0)
		return 0;
	said[bytes] = '\0';
	return reason_set(why, "%s; everything is as before", said);
}

int uplink_create(const char *name, const char *card)
{
	char path[FILE_NAME_BYTES];
	struct reason why;
	int code = check_card(card);

	if (code)
		return code;
	if (make_folder(place(path, "/run/hornero/net"), &why) ||
	    write_pending(name, card, getpid(), &why) || start_guard(name, card, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	if (say_json)
		return net_list();
	say("Network '%s' has taken over %s and its address. If you can read this, keep it with\n"
	    "  vm net confirm\n"
	    "Without that, everything goes back in %d s.",
	    name, card, CONFIRM_S);
	return EXIT_OK;
}

int uplink_confirm(void)
{
	char path[FILE_NAME_BYTES], name[16], card[16], text[96];
	struct reason why;
	bool guarded;
	int code = EXIT_OK;

	if (store_lock(&why))
		return fail(EXIT_FAILED, "%s", why.text);
	/* Taken away first: the process that waits does nothing from then on. */
	if (!read_pending(name, card, &guarded) || unlink(pending_path(path)))
		code = fail(EXIT_STATE, "no network waits to be confirmed; 'vm net' lists those "
					"there are");
	else
		snprintf(text, sizeof(text), "version = 1\nuplink = %s\n", card);
	if (!code && (make_folder(place(path, "/var/lib/hornero/networks"), &why) ||
		      write_text(net_record(path, name), text, &why)))
		code = fail(EXIT_FAILED, "%s; network '%s' stays until the next boot only",
			    why.text, name);
	store_unlock();
	if (code)
		return code;
	if (say_json)
		return net_list();
	say("Network '%s' stays; 'vm create NAME --net %s' puts a VM on it.%s", name, name,
	    store_is_volatile() ? " It is lost at reboot: no volume 'hornero-data' is mounted."
				: "");
	return EXIT_OK;
}

void uplink_settle(void)
{
	char path[FILE_NAME_BYTES], name[16], card[16];
	struct reason why;
	bool guarded;

	if (!read_pending(name, card, &guarded) || guarded || unlink(pending_path(path)))
		return;
	if (change("down", name, card, &why))
		fprintf(stderr,
			"vm: note: network '%s' was not confirmed, but %s is still in it: %s\n",
			name, card, why.text);
	else
		fprintf(stderr,
			"vm: note: the process that waited for the confirmation of network '%s' was "
			"killed: %s has its address back\n",
			name, card);
}

int uplink_remove(const char *name, struct reason *why)
{
	char card[16];
	bool is_bridge;

	if (!*uplink_card(name, card) || !net_exists(name, &is_bridge))
		return 0;
	return change("down", name, card, why);
}
