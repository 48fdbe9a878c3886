// SPDX-License-Identifier: MIT
/*
 * The virtual machine as a whole: its parts, its states, and what happens between them.
 *
 *	created -> running <-> paused -> ended
 *
 * vCPU threads and devices only post events; the main loop carries them out, so states change in
 *one thread. Parts are created in machine_init(), before the sandbox closes; nothing is opened
 * afterwards.
 */
#pragma once

#include <pthread.h>

#include "board.h"
#include "boot.h"
#include "config.h"
#include "console.h"
#include "kvm.h"
#include "loop.h"
#include "vcpu.h"
#include "virtio_block.h"
#include "virtio_console.h"
#include "virtio_entropy.h"
#include "virtio_net.h"

enum machine_state { MACHINE_CREATED, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_ENDED };

extern const char *const machine_state_names[];

/* Also the process's exit status. */
enum machine_end {
	MACHINE_POWERED_OFF = 0,
	MACHINE_REFUSED = 1,
	MACHINE_HOST_FAILED = 2,
	MACHINE_CRASHED = 3,
	MACHINE_KILLED = 4,
};

enum machine_event {
	EVENT_NONE,
	EVENT_PAUSE, /* a device cannot go on without help from outside */
	EVENT_RESET,
	EVENT_POWER_OFF,
	EVENT_CRASH,
};

struct machine {
	const struct config *config;
	struct loop loop;
	struct kvm kvm;
	struct irq irq;
	struct guest_memory memory;
	struct board board;
	struct console console;
	struct virtio_console virtio_console;
	struct virtio_entropy entropy;
	struct virtio_block disk[CONFIG_DISKS_MAX];
	struct virtio_net net[CONFIG_NETS_MAX];
	/* All of the above, in the order of their PCI slots. */
	struct virtio_device *device[2 + CONFIG_DISKS_MAX + CONFIG_NETS_MAX];
	unsigned devices;
	struct vcpus vcpus;
	struct boot_file kernel, initrd;
	char cmdline[4096];

	enum machine_state state;
	enum machine_end end;
	char why[768]; /* of pause or end */
	int64_t started_ns;
	unsigned resets;
	int pid; /* by which the world outside the sandbox knows this VM */
	/* Called in the main loop after each change of state. */
	void (*state_changed)(void *context);
	void *context;

	pthread_mutex_t event_lock;
	struct loop_source event_source;
	enum machine_event event; /* the most serious one not yet carried out */
	char event_what[768];
};

/* Opens and creates everything; `why` says what is missing. */
int machine_init(struct machine *machine, const struct config *config, struct reason *why);

/* Starts the threads; nothing runs yet. After this, the sandbox may close. */
int machine_start_threads(struct machine *machine, struct reason *why);

/* Runs until the end: machine->end and machine->why say how. */
void machine_run(struct machine *machine);

/* From the main loop. */
int machine_pause(struct machine *machine, const char *what, struct reason *why);
int machine_resume(struct machine *machine, struct reason *why);
int machine_press_power_button(struct machine *machine, struct reason *why);
void machine_reset(struct machine *machine, const char *what);
void machine_stop(struct machine *machine, enum machine_end end, const char *what);

/* Monotonic nanoseconds. */
int64_t machine_now_ns(void);
