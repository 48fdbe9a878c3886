// SPDX-License-Identifier: MIT
/*
 * The device model's log: one line a message on standard error, with time and VM name.
 *
 * `vm logs` shows these lines. There is no log file handling here (log_file.h has it): standard
 * error is where they belong. What a guest can trigger goes through
 * say_limited(), so that no guest fills the control domain's disk.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Name of the VM in every line; kept by reference. */
void say_begin(const char *name);

__attribute__((format(printf, 1, 2))) void say_info(const char *format, ...);
__attribute__((format(printf, 1, 2))) void say_warn(const char *format, ...);
__attribute__((format(printf, 1, 2))) void say_error(const char *format, ...);

/* Budget of one kind of message; zero-initialised. */
struct say_limit {
	int64_t window_s;
	unsigned said;
};

/*
 * A warning about something the guest did: at most 5 lines a minute for each budget, then one that
 * says that more are left out. Context: callers serialise use of one budget, or accept that a
 * race costs or saves a line.
 */
__attribute__((format(printf, 2, 3))) void say_limited(struct say_limit *limit, const char *format,
						       ...);
