// SPDX-License-Identifier: MIT
/*
 * Locking the process in, in three steps between which everything is opened.
 *
 *	sandbox_fork()	 own PID namespace; a keeper stays outside and passes the exit status on
 *	(files, devices, sockets are opened)
 *	sandbox_enter()	 empty root, own mount, network, IPC and host-name namespaces, own user,
 *			 no privileges, resource limits
 *	(threads are started)
 *	sandbox_close()	 system calls: an allow-list for all threads; anything else ends the VM
 *
 * Started by root, the process becomes a user that nobody else is. Started by anyone else it uses a
 * user namespace. What cannot be had is an error, never a silent gap; --sandbox off skips all.
 */
#pragma once

#include "config.h"

/* In the keeper this does not return. `keeper` gets its process id. */
int sandbox_fork(const struct config *config, int *keeper, struct reason *why);
int sandbox_enter(const struct config *config, struct reason *why);
int sandbox_close(struct reason *why);
