// SPDX-License-Identifier: MIT
/*
 * One event at a time: a handler may free another source, and an event already fetched for it would
 * then call into freed memory. One epoll_wait() an event is a price that interrupts coalesce away.
 */
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

int loop_init(struct loop *loop, struct reason *why)
{
	loop->quit = false;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return reason_set(why, "epoll: %s", strerror(errno));
	return 0;
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event);
}

void loop_modify(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

void loop_run(struct loop *loop)
{
	while (!loop->quit) {
		struct epoll_event event;

		if (epoll_wait(loop->epoll_fd, &event, 1, -1) != 1)
			continue; /* EINTR */
		struct loop_source *source = event.data.ptr;

		source->ready(source, event.events);
	}
}

static void *loop_thread(void *arg)
{
	struct loop *loop = arg;

	prctl(PR_SET_NAME, loop->name);
	loop_run(loop);
	return NULL;
}

int loop_start(struct loop *loop, const char *name, struct reason *why)
{
	int error;

	snprintf(loop->name, sizeof(loop->name), "%s", name);
	error = pthread_create(&loop->thread, NULL, loop_thread, loop);
	if (error)
		return reason_set(why, "thread %s: %s", name, strerror(error));
	return 0;
}
