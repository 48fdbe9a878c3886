// SPDX-License-Identifier: MIT
/*
 * What all parts of the `vm` command share: exit codes, messages, where things lie.
 *
 *	/etc/hornero/vms/NAME.conf	definitions
 *	/var/lib/hornero/vms/NAME/	disks made by us
 *	/var/lib/hornero/images/	images
 *	/run/hornero/vms/NAME/		control socket, process id and log of a started VM
 *
 * HORNERO_ROOT in the environment puts all of them under another folder, HORNERO_VMM names another
 * device model: for tests, and for trying things out as an ordinary user. This system's network and
 * cgroups are then left alone: VMs have no network card.
 *
 * Reading order: main.c (the commands), cli.c (options), definition.h, store.h, runtime.h,
 *launch.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "../vmm/reason.h"

struct json_object;

/* Exit codes of every command; the manual page and --help list them. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,     /* it did not work; the message says why */
	EXIT_USAGE = 2,	     /* wrong command, option or value */
	EXIT_NOT_FOUND = 3,  /* there is no such VM, image or network */
	EXIT_STATE = 4,	     /* the VM is in the wrong state, or the name is taken */
	EXIT_TIMEOUT = 5,    /* it did not happen in time */
	EXIT_CRASHED = 6,    /* wait, run: the guest crashed, or its device model failed */
	EXIT_WAS_KILLED = 7, /* wait, run: it was killed */
};

/* Set by --json before a command runs: errors are then told as JSON as well. */
extern bool say_json;

/** Print "vm: ..." to the error stream. Returns @code, for `return fail(...)`. */
int fail(enum exit_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** A line for people, not printed with --json. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Print a JSON object with line breaks and free it. */
void print_json(struct json_object *object);

enum { FILE_NAME_BYTES = 512 };

/** A path below HORNERO_ROOT, in printf's manner. Returns @buffer. */
const char *place(char buffer[FILE_NAME_BYTES], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** Whether HORNERO_ROOT is set: this system itself is not to be changed. */
bool is_elsewhere(void);

/** Create a folder and its parents. 0, or -1 with @why. */
int make_folder(const char *path, struct reason *why);

/** The whole of a text file, to be freed; NULL with errno set. At most @limit bytes. */
char *read_text(const char *path, size_t limit);

/** Replace a file at once (a new one beside it, flushed, renamed). 0, or -1 with @why. */
int write_text(const char *path, const char *text, struct reason *why);

/** Monotonic milliseconds. */
long long now_ms(void);

/** Ask a yes/no question on the terminal. False without a terminal. */
bool ask(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * Read from a program's pipe; meanwhile the terminal is told, from the second second on, that @what
 * is being done.
 */
ssize_t read_with_progress(int fd, char *buffer, size_t size, const char *what);

/** Run a program to its end with standard error kept in @why. 0 if it exited with 0. */
int run_program(const char *const *argv, struct reason *why);

/** The same, with what it prints in @said (cut off at its size). */
int run_and_read(const char *const *argv, char *said, size_t size, struct reason *why);
