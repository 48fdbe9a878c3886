// SPDX-License-Identifier: MIT
/*
 * The hypervisor's log: a ring in memory that survives a warm reset, and the boot consoles.
 *
 * Each file that logs defines LOG_TAG before including this header. Lines go to the ring always, and
 * to the consoles while they are the hypervisor's (until the control domain starts) or in a crash.
 * What a guest or the control domain can trigger goes through a struct log_limit.
 */
#pragma once

#include <types.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DBG };

/** Rate limit: at most @burst lines a second per object; suppressed lines are counted and reported. */
struct log_limit {
	uint64_t window_start_tsc;
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

/** Stop printing to serial and screen: they are the control domain's from now on. */
void log_consoles_release(void);
