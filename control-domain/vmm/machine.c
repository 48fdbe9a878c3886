// SPDX-License-Identifier: MIT
/*
 * Putting the parts together, and the states. Order matters at creation: devices before vCPUs, for
 * the kernel's routing table must exist when a vCPU first runs; descriptors before the sandbox.
 */
#include "machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "acpi.h"
#include "say.h"
#include "status.h"

const char *const machine_state_names[] = {
	[MACHINE_CREATED] = "created",
	[MACHINE_RUNNING] = "running",
	[MACHINE_PAUSED] = "paused",
	[MACHINE_ENDED] = "ended",
};

int64_t machine_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void post(struct machine *machine, enum machine_event event, const char *what)
{
	uint64_t one = 1;

	pthread_mutex_lock(&machine->event_lock);
	if (event > machine->event) {
		machine->event = event;
		snprintf(machine->event_what, sizeof(machine->event_what), "%s", what);
	}
	pthread_mutex_unlock(&machine->event_lock);
	if (write(machine->event_source.fd, &one, sizeof(one)) != sizeof(one))
		return; /* the loop has been told often enough */
}

static void board_event(void *context, enum board_event event, const char *what)
{
	post(context, event == BOARD_POWER_OFF ? EVENT_POWER_OFF : EVENT_RESET, what);
}

static void vcpu_crashed(void *context, const char *what)
{
	post(context, EVENT_CRASH, what);
}

static void set_state(struct machine *machine, enum machine_state state, const char *what)
{
	machine->state = state;
	snprintf(machine->why, sizeof(machine->why), "%s", what);
	status_write(machine);
	if (machine->state_changed)
		machine->state_changed(machine->context);
}

static void tell_state(struct machine *machine, enum machine_state state, const char *what)
{
	say_info("%s%s%s", machine_state_names[state], *what ? ": " : "", what);
	set_state(machine, state, what);
}

/* A guest may reset itself without end; the log need not say each time. */
static void tell_reset(struct machine *machine, const char *what)
{
	static struct say_limit limit;

	say_limited(&limit, "%s: %s", machine_state_names[MACHINE_RUNNING], what);
	set_state(machine, MACHINE_RUNNING, what);
}

static int load(struct machine *machine, struct reason *why)
{
	struct boot_request request = {
		.memory = &machine->memory,
		.kernel = &machine->kernel,
		.initrd = machine->config->initrd ? &machine->initrd : NULL,
		.cmdline = machine->cmdline,
		.rsdp = acpi_write_tables(&machine->memory, machine->config->cpus),
	};
	struct boot_start start;

	if (boot_load(&request, &start, why))
		return -1;
	return vcpus_set_start(&machine->vcpus, &start, why);
}

static void event_ready(struct loop_source *source, uint32_t events)
{
	struct machine *machine =
		(struct machine *)((char *)source - offsetof(struct machine, event_source));
	struct reason ignored;
	char what[sizeof(machine->event_what)];
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&machine->event_lock);
	enum machine_event event = machine->event;

	machine->event = EVENT_NONE;
	memcpy(what, machine->event_what, sizeof(what));
	pthread_mutex_unlock(&machine->event_lock);

	switch (event) {
	case EVENT_NONE:
		break;
	case EVENT_PAUSE:
		machine_pause(machine, what, &ignored);
		break;
	case EVENT_RESET:
		machine_reset(machine, what);
		break;
	case EVENT_POWER_OFF:
		machine_stop(machine, MACHINE_POWERED_OFF, what);
		break;
	case EVENT_CRASH:
		machine_stop(machine, MACHINE_CRASHED, what);
		break;
	}
}

/*
 * Linux takes the clock frequency from CPUID leaf 15h only on Intel's CPUs. On others it would
 * measure it with timers that this machine does not have, so it is told on the command line.
 */
static int make_cmdline(struct machine *machine, struct reason *why)
{
	const char *given = machine->config->cmdline;
	bool tell = !machine->vcpus.tells_frequency && !strstr(given, "tsc_early_khz=");
	char clock[48] = "";

	if (tell)
		snprintf(clock, sizeof(clock), " tsc_early_khz=%llu",
			 (unsigned long long)machine->vcpus.tsc_khz);
	int length = snprintf(machine->cmdline, sizeof(machine->cmdline), "%s%s", given, clock);

	if (length >= (int)sizeof(machine->cmdline))
		return reason_set(why, "--cmdline: %d characters are too many; %zu at most", length,
				  sizeof(machine->cmdline) - 1);
	return 0;
}

static int open_files(struct machine *machine, struct reason *why)
{
	const struct config *config = machine->config;

	if (boot_file_open(&machine->kernel, "kernel", config->kernel, why))
		return -1;
	if (config->initrd && boot_file_open(&machine->initrd, "initrd", config->initrd, why))
		return -1;
	for (unsigned i = 0; i < config->disks; i++)
		if (virtio_block_open(&machine->disk[i], &config->disk[i], why))
			return -1;
	for (unsigned i = 0; i < config->nets; i++)
		if (virtio_net_open(&machine->net[i], &config->net[i], why))
			return -1;
	return 0;
}

static void disk_stuck(void *context, const char *what)
{
	post(context, EVENT_PAUSE, what);
}

static int create_devices(struct machine *machine, struct reason *why)
{
	const struct guest_memory *memory = &machine->memory;
	const struct kvm *kvm = &machine->kvm;
	struct irq *irq = &machine->irq;
	struct pci_bus *bus = &machine->board.pci;

	if (virtio_console_init(&machine->virtio_console, &machine->console, memory, kvm, irq, bus,
				why) ||
	    virtio_entropy_init(&machine->entropy, &machine->loop, memory, kvm, irq, bus, why))
		return -1;
	machine->device[machine->devices++] = &machine->virtio_console.device;
	machine->device[machine->devices++] = &machine->entropy.device;
	for (unsigned i = 0; i < machine->config->disks; i++) {
		if (virtio_block_init(&machine->disk[i], i, disk_stuck, machine, memory, kvm, irq,
				      bus, why))
			return -1;
		machine->device[machine->devices++] = &machine->disk[i].device;
	}
	for (unsigned i = 0; i < machine->config->nets; i++) {
		if (virtio_net_init(&machine->net[i], i, memory, kvm, irq, bus, why))
			return -1;
		machine->device[machine->devices++] = &machine->net[i].device;
	}
	return 0;
}

int machine_init(struct machine *machine, const struct config *config, struct reason *why)
{
	memset(machine, 0, sizeof(*machine));
	machine->config = config;
	pthread_mutex_init(&machine->event_lock, NULL);
	machine->event_source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	machine->event_source.ready = event_ready;
	if (loop_init(&machine->loop, why) ||
	    loop_add(&machine->loop, &machine->event_source, EPOLLIN) || open_files(machine, why) ||
	    console_init(&machine->console, &machine->loop, why) || kvm_open(&machine->kvm, why) ||
	    guest_memory_map(&machine->memory, &machine->kvm, config->memory_bytes, why) ||
	    kvm_add_memory(&machine->kvm, &machine->memory, why))
		return -1;
	kvm_name(&machine->kvm, config->name);
	irq_init(&machine->irq, &machine->kvm);
	board_init(&machine->board, &machine->irq, &machine->console, board_event, machine);
	if (create_devices(machine, why) ||
	    vcpus_init(&machine->vcpus, &machine->kvm, &machine->board, config->cpus, vcpu_crashed,
		       machine, why) ||
	    make_cmdline(machine, why))
		return -1;
	return load(machine, why);
}

int machine_start_threads(struct machine *machine, struct reason *why)
{
	for (unsigned i = 0; i < machine->config->disks; i++)
		if (loop_start(&machine->disk[i].loop, machine->disk[i].device.name, why))
			return -1;
	for (unsigned i = 0; i < machine->config->nets; i++)
		if (loop_start(&machine->net[i].loop, machine->net[i].device.name, why))
			return -1;
	return vcpus_start_threads(&machine->vcpus, why);
}

void machine_run(struct machine *machine)
{
	machine->started_ns = machine_now_ns();
	tell_state(machine, MACHINE_RUNNING, "");
	vcpus_run(&machine->vcpus);
	loop_run(&machine->loop);
	console_flush(&machine->console);
}

int machine_pause(struct machine *machine, const char *what, struct reason *why)
{
	if (machine->state != MACHINE_RUNNING)
		return reason_set(why, "%s is %s, not running", machine->config->name,
				  machine_state_names[machine->state]);
	vcpus_stop(&machine->vcpus);
	tell_state(machine, MACHINE_PAUSED, what);
	return 0;
}

static void resume_disks(struct machine *machine)
{
	for (unsigned i = 0; i < machine->config->disks; i++)
		virtio_block_resume(&machine->disk[i]);
}

int machine_resume(struct machine *machine, struct reason *why)
{
	if (machine->state != MACHINE_PAUSED)
		return reason_set(why, "%s is %s, not paused", machine->config->name,
				  machine_state_names[machine->state]);
	tell_state(machine, MACHINE_RUNNING, "resumed");
	resume_disks(machine);
	vcpus_run(&machine->vcpus);
	return 0;
}

int machine_press_power_button(struct machine *machine, struct reason *why)
{
	if (machine->state != MACHINE_RUNNING)
		return reason_set(why, "%s is %s; the power button works while it runs",
				  machine->config->name, machine_state_names[machine->state]);
	say_info("power button pressed");
	board_press_power_button(&machine->board);
	return 0;
}

static void reset_devices(struct machine *machine)
{
	for (unsigned i = 0; i < machine->devices; i++) {
		virtio_reset(machine->device[i]);
		msix_reset(&machine->device[i]->msix);
	}
	board_reset(&machine->board);
	console_reset(&machine->console);
}

void machine_reset(struct machine *machine, const char *what)
{
	struct reason why;

	if (machine->config->reset_ends) {
		machine_stop(machine, MACHINE_POWERED_OFF, what);
		return;
	}
	vcpus_stop(&machine->vcpus);
	reset_devices(machine);
	if (load(machine, &why)) {
		machine_stop(machine, MACHINE_HOST_FAILED, why.text);
		return;
	}
	machine->resets++;
	tell_reset(machine, what);
	vcpus_run(&machine->vcpus);
}

void machine_stop(struct machine *machine, enum machine_end end, const char *what)
{
	if (machine->state == MACHINE_ENDED)
		return;
	vcpus_stop(&machine->vcpus);
	machine->end = end;
	machine->loop.quit = true;
	tell_state(machine, MACHINE_ENDED, what);
}
