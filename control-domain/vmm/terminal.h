// SPDX-License-Identifier: MIT
/*
 * Our own terminal as a viewer of the console: raw mode, window size, and back to how it was.
 */
#pragma once

#include "machine.h"

/* Standard input and output become a viewer. Ctrl-] on a terminal ends the VM. */
int terminal_attach(struct machine *machine, struct reason *why);

/* Gives the terminal back as it was found. */
void terminal_restore(void);
