// SPDX-License-Identifier: MIT
/*
 * A started VM: one process, found again by what it left in /run/hornero/vms/NAME/: `process` (its
 * id and start time, so that a reused id is not taken for it), `control` (its socket; protocol in
 * ../vmm/README.md), `status` (../vmm/status.h) and `log` (what it said, its end included). Nothing
 * else remembers anything.
 *
 * Read next: launch.c, which writes these files.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm.h"

enum vm_state { VM_STOPPED, VM_RUNNING, VM_PAUSED };

/* How a VM ended; the exit statuses of the device model. */
enum vm_end {
	END_NONE = -1, /* it was never started, or runs */
	END_POWERED_OFF = 0,
	END_REFUSED = 1,
	END_HOST_FAILED = 2,
	END_CRASHED = 3,
	END_KILLED = 4,
};

struct runtime {
	enum vm_state state;
	bool answers; /* its control socket does */
	pid_t pid;    /* 0 if stopped */
	uint64_t uptime_s;
	char why[256]; /* of the pause, or of the last end; may be empty */
	enum vm_end end;
};

/* What the status file of a running VM says; the sandbox can write anything into it. */
struct runtime_status {
	enum vm_state state;
	uint64_t uptime_s, memory_bytes, cpus;
	char net[64], mac[18]; /* as launch.c labelled it */
	char why[256];
};

/** Read the status file, which asks nobody. False if no living VM has said anything there yet. */
bool runtime_read_status(const char *name, struct runtime_status *status);

extern const char *const vm_state_names[];

/** A file of a started VM, such as "log". */
const char *runtime_path(char buffer[FILE_NAME_BYTES], const char *name, const char *file);

/** How things are. Never fails: what cannot be read counts as stopped. */
void runtime_read(const char *name, struct runtime *runtime);

/** The file that names the VM's process. */
const char *runtime_process_path(char buffer[FILE_NAME_BYTES], const char *name);

/**
 * The file that names the `vm run --rm` which takes the VM away at its end. They lie in a folder of
 * their own, which every command looks into: most of the time there is none.
 */
#define RUNTIME_OWNERS "/run/hornero/transient"
const char *runtime_owner_path(char buffer[FILE_NAME_BYTES], const char *name);

/** The process of a started VM, or 0. Asks only the kernel. */
pid_t runtime_pid(const char *name);

/** Write such a file for @pid. 0, or -1 with @why. */
int runtime_record(const char *path, pid_t pid, struct reason *why);

/** The process that such a file names, or 0 if it has ended. */
pid_t runtime_recorded(const char *path);

/** Start time of a process since boot, in clock ticks; 0 if there is none. */
uint64_t runtime_start_ticks(pid_t pid);

/** A descriptor that becomes readable when the VM's process has ended; -1 if it has already. */
int runtime_watch(const char *name);

/** Connect to the control socket: a descriptor, or -1 with @why. */
int control_connect(const char *name, struct reason *why);

/**
 * Send {"command": @command} with the keys of @more added (consumed; may be NULL) and read one
 * answer. The answer (to be put) or NULL with @why; an answer with "ok": false counts as failed.
 */
struct json_object *control_ask(int fd, const char *command, struct json_object *more,
				struct reason *why);

/** Connect, ask, close. 0, or -1 with @why. */
int control_tell(const char *name, const char *command, struct reason *why);

/** The last sentence of @name's log with "ended: " or "error: " in it, without these words. */
bool log_last_end(const char *name, char *text, size_t size, enum vm_end *end);

/** Append a line of ours to the log, as the device model would. */
void log_append(const char *name, const char *text);

/** Write the same line into a file of its own, which does not get lost as a log does. */
void log_keep(const char *name, const char *file, const char *text);
