// SPDX-License-Identifier: MIT
/*
 * Modes are changed only if standard input is a terminal; a pipe is passed on as it is. The window
 * size follows SIGWINCH by a signalfd, so that no handler runs.
 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

static struct termios modes;
static bool modes_changed;
static int output_flags = -1;
static struct console *window_console;

static void tell_window_size(void)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		console_resize(window_console, size.ws_col, size.ws_row);
}

static void window_changed(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info))
		tell_window_size();
}

static void quit(void *context)
{
	machine_stop(context, MACHINE_KILLED, "ended from its terminal");
}

static int watch_window(struct machine *machine)
{
	static struct loop_source source = {.ready = window_changed};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	source.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	window_console = &machine->console;
	tell_window_size();
	return source.fd < 0 || loop_add(&machine->loop, &source, EPOLLIN);
}

int terminal_attach(struct machine *machine, struct reason *why)
{
	int in = dup(STDIN_FILENO), out = dup(STDOUT_FILENO);

	if (in < 0 || out < 0 || watch_window(machine))
		return reason_set(why, "--console stdio: %s", strerror(errno));
	output_flags = fcntl(out, F_GETFL);
	if (!tcgetattr(in, &modes)) {
		struct termios raw = modes;

		cfmakeraw(&raw);
		modes_changed = !tcsetattr(in, TCSANOW, &raw);
	}
	machine->console.quit = quit;
	machine->console.quit_context = machine;
	return console_attach(&machine->console, in, out, false, true, why);
}

void terminal_restore(void)
{
	if (modes_changed)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
	if (output_flags >= 0)
		fcntl(STDOUT_FILENO, F_SETFL, output_flags);
}
