// SPDX-License-Identifier: MIT
/*
 * The hypervisor's log: a ring in memory that survives a warm reset, and the boot consoles.
 *
 * Each file that logs defines LOG_TAG before including this header. Lines go to the ring always,
 * and to the consoles while they are the hypervisor's (until the control domain starts) or in a
 * crash. What a guest or the control domain can trigger goes through a struct log_limit.
 */
#pragma once

#include <types.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DBG };

/** Rate limit: at most @burst lines a second per object; suppressed lines are counted and reported.
 */
struct log_limit {
	uint64_t window_start_tsc; /* all zero: fresh */
	uint32_t in_window;
	uint32_t suppressed;
};

/**
 * Append one line (no newline in @fmt) to the log.
 * Context: any CPU, any state of interrupts; NMI-safe (a line from an NMI or #MC handler that
 * interrupts a writer goes to the ring without taking the console).
 */
void log_line(enum log_level level, const char *tag, const char *fmt, ...) __printf(3, 4);

/** True if a line may be logged now under @limit. Context: as log_line(). */
bool log_allowed(struct log_limit *limit);

#define log_err(...)  log_line(LOG_ERR, LOG_TAG, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, LOG_TAG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, LOG_TAG, __VA_ARGS__)
#define log_dbg(...)  log_line(LOG_DBG, LOG_TAG, __VA_ARGS__)

#define log_limited(limit, level, ...)                                                             \
	do {                                                                                       \
		if (log_allowed(limit))                                                            \
			log_line(level, LOG_TAG, __VA_ARGS__);                                     \
	} while (0)

/* --- reading, for the control domain's `hornero log` --- */

/** Position after the newest line. Positions count slots of the ring, not bytes. */
uint64_t log_head(void);

/**
 * Whole lines of text, newest last, from position *@pos on: at most @n bytes into @buf; *@pos moves
 * on. Lines that were overwritten meanwhile are skipped. Returns the bytes written. Context: any.
 */
size_t log_read(uint64_t *pos, char *buf, size_t n);

/* --- boot and crash --- */

/** A place where lines are shown while the hypervisor owns it. */
struct console {
	void (*reset)(const struct console *c); /* after the control domain had it */
	void (*write)(const struct console *c, const char *s, size_t n);
	uint16_t port; /* of a UART */
};

#define LOG_RING_BYTES (96 * KIB)
#define LOG_LINE_BYTES 280 /* more than any line takes */

/** Move the log from its early buffer to @ring (LOG_RING_BYTES, page-aligned, zeroed). */
void log_use_ring(void *ring);

/** Show lines of @level and worse on the consoles; the ring keeps all. */
void log_set_level(enum log_level level);

/** Let @c show what has been logged since the first line, and all that follows. */
void log_console_add(const struct console *c);

/** Call @fn when an emergency begins: NULL once there are consoles. Context: boot. */
void log_on_emergency(void (*fn)(void));

/** Raw text to every console, whoever owns them now. Context: refusal or crash, one CPU. */
void log_emergency_begin(void);
void log_emergency_write(const char *s);

/** Stop printing to serial and screen: they are the control domain's from now on. */
void log_consoles_release(void);
