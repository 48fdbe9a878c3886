// SPDX-License-Identifier: MIT
/*
 * console: this terminal becomes a viewer of the VM's console. The device model keeps the
 * scrollback and serves any number of viewers; here bytes are only passed on, in raw mode. Ctrl-]
 * detaches.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "machines.h"

#define KEY_DETACH 0x1d /* Ctrl-] */
enum { CHUNK_BYTES = 16384, END_MS = 5000 };

static struct termios modes;
static bool modes_changed;

static void set_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &modes))
		return;
	raw = modes;
	cfmakeraw(&raw);
	modes_changed = !tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void restore(void)
{
	if (modes_changed)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
	modes_changed = false;
}

static struct json_object *window_size(void)
{
	struct json_object *size = json_object_new_object();
	struct winsize window;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) && window.ws_col && window.ws_row) {
		json_object_object_add(size, "columns", json_object_new_int(window.ws_col));
		json_object_object_add(size, "rows", json_object_new_int(window.ws_row));
	}
	return size;
}

static void tell_resize(const char *name)
{
	struct reason ignored;
	int fd = control_connect(name, &ignored);

	if (fd < 0)
		return;
	json_object_put(control_ask(fd, "resize", window_size(), &ignored));
	close(fd);
}

static int watch_window(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool write_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t done = write(fd, data, bytes);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		data += done;
		bytes -= (size_t)done;
	}
	return true;
}

enum step { GO_ON, DETACHED, ENDED };

static enum step pass_output(int fd, uint64_t *awaited)
{
	char chunk[CHUNK_BYTES];
	ssize_t bytes = read(fd, chunk, sizeof(chunk));

	if (bytes < 0 && errno == EINTR)
		return GO_ON;
	if (bytes <= 0)
		return ENDED;
	*awaited -= (uint64_t)bytes < *awaited ? (uint64_t)bytes : *awaited;
	return write_all(STDOUT_FILENO, chunk, (size_t)bytes) ? GO_ON : DETACHED;
}

/* *watched becomes -1 at the end of a script on standard input: output is still shown. */
static enum step pass_input(int fd, int *watched)
{
	char chunk[1024];
	ssize_t bytes = read(STDIN_FILENO, chunk, sizeof(chunk));

	if (bytes < 0 && errno == EINTR)
		return GO_ON;
	if (bytes <= 0) {
		bool terminal = isatty(STDIN_FILENO);

		*watched = -1;
		return terminal ? DETACHED : GO_ON;
	}
	char *detach = memchr(chunk, KEY_DETACH, (size_t)bytes);

	if (detach)
		bytes = detach - chunk;
	if (bytes && send(fd, chunk, (size_t)bytes, MSG_NOSIGNAL) != bytes)
		return ENDED;
	return detach ? DETACHED : GO_ON;
}

/* @scrollback bytes are shown before a key counts: a script's Ctrl-] must not outrun them. */
static enum step view(const char *name, int fd, uint64_t scrollback)
{
	struct pollfd events[] = {{.fd = fd, .events = POLLIN},
				  {.fd = STDIN_FILENO, .events = POLLIN},
				  {.fd = watch_window(), .events = POLLIN}};
	struct signalfd_siginfo info;
	enum step step = GO_ON;

	while (step == GO_ON && scrollback && poll(events, 1, END_MS) == 1)
		step = pass_output(fd, &scrollback);
	while (step == GO_ON) {
		if (poll(events, 3, -1) < 0 && errno != EINTR)
			return DETACHED;
		if (events[0].revents)
			step = pass_output(fd, &scrollback);
		if (step == GO_ON && events[1].revents)
			step = pass_input(fd, &events[1].fd);
		if (events[2].revents && read(events[2].fd, &info, sizeof(info)) > 0)
			tell_resize(name);
	}
	close(events[2].fd);
	return step;
}

static void tell_end(const char *name, enum step step, bool *ended)
{
	struct runtime runtime;

	if (step == ENDED)
		machine_wait(name, END_MS);
	runtime_read(name, &runtime);
	*ended = runtime.state == VM_STOPPED;
	if (*ended)
		fprintf(stderr, "\n[%s has ended%s%s]\n", name, *runtime.why ? ": " : "",
			runtime.why);
	else if (step == ENDED)
		fprintf(stderr, "\n[%s dropped this viewer; 'vm console %s' attaches again]\n",
			name, name);
	else
		fprintf(stderr, "\n[detached; %s runs on, 'vm console %s' attaches again]\n", name,
			name);
}

int console_attach(const char *name, bool *ended)
{
	struct json_object *answer, *kept;
	uint64_t scrollback = 0;
	enum step step;
	struct reason why;
	int fd = control_connect(name, &why);

	if (fd < 0)
		return fail(EXIT_FAILED, "'%s': %s", name, why.text);
	fprintf(stderr, "[attached to %s; Ctrl-] detaches]\n", name);
	answer = control_ask(fd, "console", window_size(), &why);
	if (!answer) {
		close(fd);
		return fail(EXIT_FAILED, "'%s': %s", name, why.text);
	}
	if (json_object_object_get_ex(answer, "scrollback_bytes", &kept))
		scrollback = json_object_get_uint64(kept);
	json_object_put(answer);
	set_raw();
	step = view(name, fd, scrollback);
	restore();
	close(fd);
	tell_end(name, step, ended);
	return EXIT_OK;
}

static int dump(const char *name)
{
	uint64_t unused = 0;
	struct reason why;
	int fd = control_connect(name, &why);
	struct json_object *answer = fd < 0 ? NULL : control_ask(fd, "dump", NULL, &why);

	if (!answer) {
		if (fd >= 0)
			close(fd);
		return fail(EXIT_FAILED, "'%s': %s", name, why.text);
	}
	json_object_put(answer);
	while (pass_output(fd, &unused) == GO_ON)
		continue;
	close(fd);
	return EXIT_OK;
}

int console_main(struct cli_call *call)
{
	const char *name = call->arg[0];
	struct definition definition;
	bool ended;

	if (say_json)
		return fail(EXIT_USAGE, "console: a console is no JSON; leave --json out");
	if (!runtime_pid(name)) {
		int code = store_load(name, &definition);

		return code ? code
			    : fail(EXIT_STATE,
				   "'%s' is not running; 'vm run %s' starts it and attaches", name,
				   name);
	}
	return cli_has(call, "dump") ? dump(name) : console_attach(name, &ended);
}
