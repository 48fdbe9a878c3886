// SPDX-License-Identifier: MIT
/*
 * One function a command, in a table. Keys are written out as the protocol has them.
 */
#include "control_commands.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000ll

static void add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_int64((int64_t)value));
}

static struct json_object *add_object(struct json_object *array)
{
	struct json_object *object = json_object_new_object();

	json_object_array_add(array, object);
	return object;
}

static struct json_object *add_array(struct json_object *object, const char *key)
{
	struct json_object *array = json_object_new_array();

	json_object_object_add(object, key, array);
	return array;
}

void control_add_state(struct json_object *object, const struct machine *machine)
{
	add_string(object, "state", machine_state_names[machine->state]);
	add_string(object, "why", machine->why);
	if (machine->state == MACHINE_ENDED)
		add_number(object, "status", machine->end);
}

static int do_status(struct machine *machine, struct json_object *request,
		     struct json_object *reply, struct reason *why)
{
	const struct config *config = machine->config;

	(void)request;
	(void)why;
	add_string(reply, "name", config->name);
	control_add_state(reply, machine);
	add_number(reply, "pid", (uint64_t)machine->pid);
	add_number(reply, "memory_bytes", config->memory_bytes);
	add_number(reply, "cpus", config->cpus);
	add_number(reply, "uptime_s",
		   (uint64_t)((machine_now_ns() - machine->started_ns) / NS_PER_S));
	add_number(reply, "resets", machine->resets);
	return 0;
}

static void add_vcpu_stats(struct json_object *reply, struct machine *machine)
{
	struct json_object *list = add_array(reply, "vcpus");

	for (unsigned i = 0; i < machine->vcpus.count; i++) {
		const struct vcpu *vcpu = &machine->vcpus.vcpu[i];
		struct json_object *item = add_object(list);
		struct json_object *exits = json_object_new_object();
		struct timespec used = {0};
		clockid_t clock;

		if (!pthread_getcpuclockid(vcpu->thread, &clock))
			clock_gettime(clock, &used);
		add_number(item, "cpu_ns", (uint64_t)(used.tv_sec * NS_PER_S + used.tv_nsec));
		for (int exit = 0; exit < VCPU_EXITS; exit++)
			add_number(exits, vcpu_exit_names[exit],
				   __atomic_load_n(&vcpu->exits[exit], __ATOMIC_RELAXED));
		json_object_object_add(item, "exits", exits);
	}
}

static void add_disk_stats(struct json_object *reply, struct machine *machine)
{
	struct json_object *list = add_array(reply, "disks");

	for (unsigned i = 0; i < machine->config->disks; i++) {
		struct virtio_block *disk = &machine->disk[i];
		struct json_object *item = add_object(list);

		pthread_mutex_lock(&disk->device.lock);
		struct virtio_block_stats stats = disk->stats;

		pthread_mutex_unlock(&disk->device.lock);
		add_string(item, "name", disk->device.name);
		add_string(item, "path", disk->config->path);
		add_number(item, "bytes", disk->sectors * 512);
		add_number(item, "reads", stats.reads);
		add_number(item, "read_bytes", stats.read_bytes);
		add_number(item, "writes", stats.writes);
		add_number(item, "written_bytes", stats.written_bytes);
		add_number(item, "flushes", stats.flushes);
		add_number(item, "discards", stats.discards);
		add_number(item, "errors", stats.errors);
	}
}

static void add_net_stats(struct json_object *reply, struct machine *machine)
{
	struct json_object *list = add_array(reply, "nets");

	for (unsigned i = 0; i < machine->config->nets; i++) {
		struct virtio_net *net = &machine->net[i];
		const uint8_t *mac = net->config->mac;
		struct json_object *item = add_object(list);
		char text[18];

		pthread_mutex_lock(&net->device.lock);
		struct virtio_net_stats stats = net->stats;

		pthread_mutex_unlock(&net->device.lock);
		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
			 mac[2], mac[3], mac[4], mac[5]);
		add_string(item, "name", net->device.name);
		add_string(item, "tap", net->config->tap);
		add_string(item, "mac", text);
		add_number(item, "received", stats.received);
		add_number(item, "received_bytes", stats.received_bytes);
		add_number(item, "sent", stats.sent);
		add_number(item, "sent_bytes", stats.sent_bytes);
		add_number(item, "dropped", stats.dropped);
	}
}

static int do_stats(struct machine *machine, struct json_object *request, struct json_object *reply,
		    struct reason *why)
{
	(void)request;
	(void)why;
	add_vcpu_stats(reply, machine);
	add_disk_stats(reply, machine);
	add_net_stats(reply, machine);
	add_number(reply, "console_bytes", console_printed(&machine->console));
	return 0;
}

static int do_pause(struct machine *machine, struct json_object *request, struct json_object *reply,
		    struct reason *why)
{
	(void)request;
	(void)reply;
	return machine_pause(machine, "on request", why);
}

static int do_resume(struct machine *machine, struct json_object *request,
		     struct json_object *reply, struct reason *why)
{
	(void)request;
	(void)reply;
	return machine_resume(machine, why);
}

static int do_powerbutton(struct machine *machine, struct json_object *request,
			  struct json_object *reply, struct reason *why)
{
	(void)request;
	(void)reply;
	return machine_press_power_button(machine, why);
}

static int do_reset(struct machine *machine, struct json_object *request, struct json_object *reply,
		    struct reason *why)
{
	(void)request;
	(void)reply;
	(void)why;
	machine_reset(machine, "reset on request");
	return 0;
}

static int do_kill(struct machine *machine, struct json_object *request, struct json_object *reply,
		   struct reason *why)
{
	(void)request;
	(void)reply;
	(void)why;
	machine_stop(machine, MACHINE_KILLED, "killed");
	return 0;
}

/* Window size, from "columns" and "rows"; without them it stays. */
static int do_resize(struct machine *machine, struct json_object *request,
		     struct json_object *reply, struct reason *why)
{
	struct json_object *columns, *rows;

	(void)reply;
	if (!json_object_object_get_ex(request, "columns", &columns) ||
	    !json_object_object_get_ex(request, "rows", &rows))
		return 0;
	int64_t width = json_object_get_int64(columns), height = json_object_get_int64(rows);

	if (width < 1 || width > UINT16_MAX || height < 1 || height > UINT16_MAX)
		return reason_set(why, "columns and rows must be from 1 to %d", UINT16_MAX);
	console_resize(&machine->console, (uint16_t)width, (uint16_t)height);
	return 0;
}

/* A viewer that types only once it has shown what was said before shows all of it. */
static int do_console(struct machine *machine, struct json_object *request,
		      struct json_object *reply, struct reason *why)
{
	add_number(reply, "scrollback_bytes", console_kept(&machine->console));
	return do_resize(machine, request, reply, why);
}

static int do_nothing(struct machine *machine, struct json_object *request,
		      struct json_object *reply, struct reason *why)
{
	(void)machine;
	(void)request;
	(void)reply;
	(void)why;
	return 0;
}

static int do_events(struct machine *machine, struct json_object *request,
		     struct json_object *reply, struct reason *why)
{
	(void)request;
	(void)why;
	control_add_state(reply, machine);
	return 0;
}

static const struct {
	const char *name;
	int (*execute)(struct machine *machine, struct json_object *request,
		       struct json_object *reply, struct reason *why);
	enum control_next next;
} commands[] = {
	{"status", do_status, CONTROL_GO_ON},
	{"stats", do_stats, CONTROL_GO_ON},
	{"pause", do_pause, CONTROL_GO_ON},
	{"resume", do_resume, CONTROL_GO_ON},
	{"powerbutton", do_powerbutton, CONTROL_GO_ON},
	{"reset", do_reset, CONTROL_GO_ON},
	{"kill", do_kill, CONTROL_GO_ON},
	{"resize", do_resize, CONTROL_GO_ON},
	{"events", do_events, CONTROL_EVENTS},
	{"console", do_console, CONTROL_CONSOLE},
	{"dump", do_nothing, CONTROL_DUMP},
};

static enum control_next fail(struct json_object *reply, const char *error)
{
	json_object_object_add(reply, "ok", json_object_new_boolean(false));
	add_string(reply, "error", error);
	return CONTROL_GO_ON;
}

enum control_next control_execute(struct machine *machine, struct json_object *request,
				  struct json_object *reply)
{
	struct json_object *name;
	struct reason why;

	if (!json_object_is_type(request, json_type_object) ||
	    !json_object_object_get_ex(request, "command", &name))
		return fail(reply, "a request is one line with a JSON object that has a "
				   "\"command\"");
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, json_object_get_string(name)))
			continue;
		if (commands[i].execute(machine, request, reply, &why))
			return fail(reply, why.text);
		json_object_object_add(reply, "ok", json_object_new_boolean(true));
		return commands[i].next;
	}
	return fail(reply, "unknown command; there are status, stats, pause, resume, powerbutton, "
			   "reset, kill, console, dump, resize and events");
}
