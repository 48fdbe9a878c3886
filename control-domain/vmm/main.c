// SPDX-License-Identifier: MIT
/*
 * The device model: one process is one virtual machine, from the command line to its end.
 *
 * Everything is checked and opened first, then the process locks itself in, then the guest runs. It
 * knows no other VM and keeps no state on disk.
 *
 * Read next: README.md (use), machine.h (states), vcpu.c (the run loop), virtio.h (devices).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "machine.h"
#include "say.h"
#include "terminal.h"

static int refuse(const struct reason *why)
{
	say_error("%s", why->text);
	return MACHINE_REFUSED;
}

int main(int argc, char **argv)
{
	static struct machine machine;
	static struct config config;
	struct reason why;

	say_begin("vmm");
	signal(SIGPIPE, SIG_IGN);
	if (config_parse(&config, argc, argv, &why))
		return refuse(&why);
	if (config.help) {
		fputs(config_help, stdout);
		return 0;
	}
	say_begin(config.name);
	if (machine_init(&machine, &config, &why))
		return refuse(&why);
	if (config.check) {
		say_info("would run: %u CPUs, %llu MiB, TSC %llu kHz", config.cpus,
			 (unsigned long long)config.memory_bytes >> 20,
			 (unsigned long long)machine.vcpus.tsc_khz);
		return 0;
	}
	if (config.console == CONSOLE_ON_STDIO && terminal_attach(&machine, &why))
		return refuse(&why);
	if (machine_start(&machine, &why))
		return refuse(&why);
	machine_run(&machine);
	terminal_restore();
	/* Threads may still be in the kernel; nothing is left for them to do. */
	_exit(machine.end);
}
