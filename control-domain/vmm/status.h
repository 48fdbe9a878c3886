// SPDX-License-Identifier: MIT
/*
 * The status file: what `vm list` shows of a running VM in one small file, so that it asks nobody.
 *
 *	COUNT STATE STARTED MEMORY CPUS LABEL
 *	why it is in that state; may be empty
 *	COUNT
 *
 * STARTED is in seconds since boot, MEMORY in bytes, LABEL what --label said. Written anew at each
 * change of state; COUNT then differs, so a reader who sees two different ones has met a change.
 * The keeper, or without a sandbox the device model, holds a write lock (fcntl's, of the open file)
 * for as long as it lives: a file without one is what is left of an earlier VM. Nothing in here is
 *to be trusted further than the sandbox: it is for showing.
 */
#pragma once

#include "machine.h"

enum { STATUS_BYTES = 1024 };

/* Creates and locks the file that --status names; refused if another VM has it. Before the fork. */
int status_open(const struct config *config, struct reason *why);

/* The file is the keeper's from now on. Context: device model, just forked. */
void status_leave(void);

/* Writes the state that @machine has now. Context: main loop. */
void status_write(const struct machine *machine);
