// SPDX-License-Identifier: MIT
/*
 * The three ways to stop.
 *
 * machine_refuse(): this machine or boot medium will not do; the user is told what is missing, what
 * was found and what to do, and the machine halts. panic() and BUG_ON(): we did wrong; a crash
 * record is written (reason, registers, backtrace with symbols, last log lines, this CPU's last
 * exits), shown on every console, the other CPUs are stopped, and `panic=` decides between reset
 * and halt.
 */
#pragma once

#include <types.h>

/** End with a message for the person in front of the machine, then halt all CPUs. Context: boot. */
void machine_refuse(const char *what, const char *fmt, ...) __noreturn __printf(2, 3);

struct trap_frame;

/** End with a crash record about @f (NULL: no exception, the caller's own state). Context: any. */
void crash(const struct trap_frame *f, const char *fmt, ...) __noreturn __printf(2, 3);

#define panic(...) crash(NULL, __VA_ARGS__)

#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(cond))                                                                \
			panic("%s:%d: %s", __FILE__, __LINE__, #cond);                             \
	} while (0)
