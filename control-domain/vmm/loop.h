// SPDX-License-Identifier: MIT
/*
 * An event loop over epoll: file descriptors with the function to call when they are ready.
 *
 * The main thread runs one (control socket, console, entropy, requests of vCPU threads); every disk
 * and network card has one of its own, so that a slow disk delays nobody else.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "reason.h"

struct loop {
	int epoll_fd;
	bool quit;
	pthread_t thread;
	char name[16];
};

struct loop_source {
	int fd;
	void (*ready)(struct loop_source *source, uint32_t events);
};

int loop_init(struct loop *loop, struct reason *why);

/*
 * Watches `source` for `events` (EPOLLIN ...); it must stay where it is until loop_remove().
 * loop_modify() changes the events. Any thread may call these; removal only from the loop's own
 * thread, and never of a source other than the one being called unless nothing else refers to it.
 */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_modify(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_source *source);

/* Serves events until `quit` is set from within a handler. */
void loop_run(struct loop *loop);

/* Runs the loop in a thread of its own, called `name` (at most 15 characters count). */
int loop_start(struct loop *loop, const char *name, struct reason *why);
