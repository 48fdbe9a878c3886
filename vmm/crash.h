// SPDX-License-Identifier: MIT
/*
 * The crash record: what is written when the hypervisor itself fails, and how it is found again.
 *
 * It lies at the end of the heap, whose place depends only on the machine and the image
 * (vmm/memmap.h, memmap_quiet_top()), and is
 * checksummed; where the firmware leaves RAM alone over a warm reset, the next boot finds it and
 * keeps a copy.
 */
#pragma once

#include <types.h>

#define CRASH_BYTES (12 * KIB)

/** True once a CPU writes a crash record or a refusal: who gets its INIT stands still. Context:
 * any. */
bool crash_begun(void);

/** Make the other CPUs stand still, for a refusal. Context: boot. */
void crash_stop_others(void);

/** Use @record (CRASH_BYTES, end of the heap) from now on. What the last boot left there is first
 * copied to
 * @copy (CRASH_BYTES) if it is whole. */
void crash_init(void *record, void *copy);

/** Text of the previous boot's crash record, NUL-terminated, or NULL. */
const char *crash_previous(void);

/** Name of the function that @va lies in and the offset into it; NULL if in none. */
const char *symbol_name(uint64_t va, uint64_t *offset);

/** Show this CPU's last VM exits, a line (without newline) at a time. Supplied by the VMX side.
 * Context: crash. */
void virt_crash_exits(void (*emit)(const char *));

/** The same for the last exit of each other CPU, so many at most: whether it was stopped, and out
 * of what. The record is small, the log's last lines have to fit as well. */
#define CRASH_OTHERS 16
void virt_crash_others(void (*emit)(const char *));
