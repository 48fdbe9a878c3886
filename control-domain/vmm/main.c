// SPDX-License-Identifier: MIT
/*
 * The device model: one process is one virtual machine, from the command line to its end.
 *
 * Everything is checked and opened first, then the process locks itself in, then the guest runs. It
 * knows no other VM and keeps no state on disk.
 *
 * Read next: README.md (use), machine.h (states), vcpu.c (the run loop), virtio.h (devices).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "log_file.h"
#include "machine.h"
#include "sandbox.h"
#include "say.h"
#include "status.h"
#include "terminal.h"

static struct machine *termination_machine;

static int refuse(const struct reason *why)
{
	say_error("%s", why->text);
	return MACHINE_REFUSED;
}

static void terminated(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info))
		machine_stop(termination_machine, MACHINE_KILLED, "killed by a signal");
}

/* SIGTERM, SIGINT and SIGHUP end the VM as `kill` does. */
static int watch_termination(struct machine *machine, struct reason *why)
{
	static struct loop_source source = {.ready = terminated};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	termination_machine = machine;
	source.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (source.fd < 0 || loop_add(&machine->loop, &source, EPOLLIN))
		return reason_set(why, "signals: %s", strerror(errno));
	return 0;
}

int main(int argc, char **argv)
{
	static struct machine machine;
	static struct config config;
	struct reason why;
	int keeper;

	say_begin("vmm");
	tzset(); /* reads files, which later are out of reach */
	signal(SIGPIPE, SIG_IGN);
	if (config_parse(&config, argc, argv, &why))
		return refuse(&why);
	if (config.help) {
		fputs(config_help, stdout);
		return 0;
	}
	if (config.log && log_file_open(config.log, &why))
		return refuse(&why);
	say_begin(config.name);
	if (!config.check && status_open(&config, &why))
		return refuse(&why);
	if (sandbox_fork(&config, &keeper, &why) || machine_init(&machine, &config, &why))
		return refuse(&why);
	if (config.check) {
		say_info("would run: %u CPUs, %llu MiB, TSC %llu kHz", config.cpus,
			 (unsigned long long)config.memory_bytes >> 20,
			 (unsigned long long)machine.vcpus.tsc_khz);
		return 0;
	}
	machine.pid = keeper;
	if ((config.control && control_init(&machine, config.control, &why)) ||
	    (config.console == CONSOLE_ON_STDIO && terminal_attach(&machine, &why)) ||
	    watch_termination(&machine, &why) || sandbox_enter(&config, &why) ||
	    machine_start_threads(&machine, &why) || (config.sandbox && sandbox_close(&why))) {
		terminal_restore();
		return refuse(&why);
	}
	machine_run(&machine);
	terminal_restore();
	if (!config.sandbox && config.control)
		unlink(config.control); /* the keeper does it otherwise */
	/* Threads may still be in the kernel; nothing is left for them to do. */
	_exit((int)machine.end);
}
