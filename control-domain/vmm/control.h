// SPDX-License-Identifier: MIT
/*
 * The control socket: one JSON object a line in, one out; README.md has the list of commands.
 *
 * Who may connect is decided by the socket's permissions (its owner alone). A connection that asks
 * for the console becomes a viewer, one that asks for events gets a line at each change of state.
 *
 * Context: main loop.
 */
#pragma once

#include "machine.h"

/* Creates the socket at `path` and serves it. A stale one of a dead process is replaced. */
int control_init(struct machine *machine, const char *path, struct reason *why);
