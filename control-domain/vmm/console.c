// SPDX-License-Identifier: MIT
/*
 * Viewers and flow control. Viewers belong to the main loop; only the ring is shared with vCPU
 * threads (the serial port prints from there) and so has a lock, which is never held over a
 * write().
 */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define KEY_QUIT	 0x1d /* Ctrl-] */
#define LAG_HIGH	 (CONSOLE_RING_BYTES / 2)
#define LAG_LOW		 (CONSOLE_RING_BYTES / 4)
#define CHUNK_BYTES	 4096
#define FLUSH_TIMEOUT_MS 1000

static uint64_t lag_locked(const struct console *console, const struct console_viewer *viewer)
{
	return console->ring.end - viewer->position;
}

static void arm_stall_timer(struct console *console, bool on)
{
	const struct itimerspec second = {.it_interval.tv_sec = on, .it_value.tv_sec = on};

	if (console->stall_armed == on)
		return;
	console->stall_armed = on;
	timerfd_settime(console->stall.fd, 0, &second, NULL);
}

bool console_has_room(struct console *console)
{
	bool room = true;

	pthread_mutex_lock(&console->lock);
	for (struct console_viewer *viewer = console->viewers; viewer; viewer = viewer->next)
		if (!viewer->left_behind && lag_locked(console, viewer) > LAG_HIGH)
			room = false;
	pthread_mutex_unlock(&console->lock);
	if (!room)
		arm_stall_timer(console, true);
	return room;
}

static void resume_guest(struct console *console)
{
	if (!console->stall_armed || !console_has_room(console))
		return;
	arm_stall_timer(console, false);
	for (int port = 0; port < CONSOLE_PORTS; port++)
		if (console->ops[port] && console->ops[port]->resume)
			console->ops[port]->resume(console->context[port]);
}

static void drop_viewer(struct console_viewer *viewer)
{
	struct console *console = viewer->console;
	struct console_viewer **link = &console->viewers;

	while (*link != viewer)
		link = &(*link)->next;
	*link = viewer->next;
	if (viewer->in.fd >= 0) {
		loop_remove(console->loop, &viewer->in);
		close(viewer->in.fd);
	}
	if (viewer->waits_for_room)
		loop_remove(console->loop, &viewer->out);
	close(viewer->out.fd);
	free(viewer);
	resume_guest(console);
}

/* Copies out what comes next for the viewer: missed bytes become a note. Returns its length. */
static size_t next_chunk(struct console_viewer *viewer, char *chunk, uint64_t *advance)
{
	struct console *console = viewer->console;
	size_t bytes;

	pthread_mutex_lock(&console->lock);
	uint64_t start = scrollback_start(&console->ring);

	if (viewer->position < start) {
		uint64_t lost = start - viewer->position;

		bytes = (size_t)snprintf(chunk, CHUNK_BYTES, "\r\n[%llu bytes lost here]\r\n",
					 (unsigned long long)lost);
		*advance = lost;
	} else {
		const uint8_t *data = scrollback_peek(&console->ring, viewer->position, &bytes);

		if (bytes > CHUNK_BYTES)
			bytes = CHUNK_BYTES;
		memcpy(chunk, data, bytes);
		*advance = bytes;
	}
	if (lag_locked(console, viewer) < LAG_LOW)
		viewer->left_behind = false;
	pthread_mutex_unlock(&console->lock);
	return bytes;
}

static void wait_for_room(struct console_viewer *viewer, bool wait)
{
	if (viewer->waits_for_room == wait)
		return;
	viewer->waits_for_room = wait;
	if (!wait)
		loop_remove(viewer->console->loop, &viewer->out);
	else
		loop_add(viewer->console->loop, &viewer->out, EPOLLOUT);
}

/* Writes until the viewer has everything or takes no more. False: the viewer is gone. */
static bool show(struct console_viewer *viewer)
{
	char chunk[CHUNK_BYTES];
	uint64_t advance;
	size_t bytes;

	while ((bytes = next_chunk(viewer, chunk, &advance))) {
		ssize_t done = write(viewer->out.fd, chunk, bytes);

		if (done < 0 && errno == EAGAIN) {
			wait_for_room(viewer, true);
			return true;
		}
		if (done < 0) {
			drop_viewer(viewer);
			return false;
		}
		/* A note about loss counts as shown even if it went out in part. */
		viewer->position += advance == bytes ? (uint64_t)done : advance;
	}
	if (viewer->dump) {
		drop_viewer(viewer);
		return false;
	}
	wait_for_room(viewer, false);
	resume_guest(viewer->console);
	return true;
}

static void show_all(struct console *console)
{
	struct console_viewer *next;

	for (struct console_viewer *viewer = console->viewers; viewer; viewer = next) {
		next = viewer->next;
		if (!viewer->waits_for_room)
			show(viewer);
	}
}

static void printed_ready(struct loop_source *source, uint32_t events)
{
	struct console *console =
		(struct console *)((char *)source - offsetof(struct console, printed));
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	show_all(console);
	console_feed(console);
}

static void out_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	show((struct console_viewer *)((char *)source - offsetof(struct console_viewer, out)));
}

static void stall_ready(struct loop_source *source, uint32_t events)
{
	struct console *console =
		(struct console *)((char *)source - offsetof(struct console, stall));
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	for (struct console_viewer *viewer = console->viewers; viewer; viewer = viewer->next) {
		if (viewer->position == viewer->position_before)
			viewer->left_behind = true;
		viewer->position_before = viewer->position;
	}
	resume_guest(console);
}

static void watch_input(struct console *console, bool on)
{
	console->input_blocked = !on;
	for (struct console_viewer *viewer = console->viewers; viewer; viewer = viewer->next)
		if (viewer->in.fd >= 0)
			loop_modify(console->loop, &viewer->in, on ? EPOLLIN : 0);
}

void console_feed(struct console *console)
{
	pthread_mutex_lock(&console->lock);
	enum console_port port = console->active;

	pthread_mutex_unlock(&console->lock);
	if (!console->input_bytes || !console->ops[port])
		return;
	size_t done = console->ops[port]->input(console->context[port], console->input,
						console->input_bytes);

	console->input_bytes -= done;
	memmove(console->input, console->input + done, console->input_bytes);
	if (console->input_blocked && console->input_bytes < CONSOLE_INPUT_BYTES / 2)
		watch_input(console, true);
}

static void in_ready(struct loop_source *source, uint32_t events)
{
	struct console_viewer *viewer =
		(struct console_viewer *)((char *)source - offsetof(struct console_viewer, in));
	struct console *console = viewer->console;
	size_t room = CONSOLE_INPUT_BYTES - console->input_bytes;
	uint8_t *at = console->input + console->input_bytes;
	ssize_t done = room ? read(source->fd, at, room) : -1;

	(void)events;
	if (!room) { /* hung up while blocked: epoll reports that always */
		drop_viewer(viewer);
		return;
	}
	if (done < 0 && errno == EAGAIN)
		return;
	if (done <= 0 && !viewer->terminal) {
		drop_viewer(viewer);
		return;
	}
	if (done <= 0) { /* end of our own standard input: keep showing output */
		loop_remove(console->loop, source);
		source->fd = -1;
		return;
	}
	if (viewer->terminal && isatty(source->fd) && memchr(at, KEY_QUIT, (size_t)done)) {
		console->quit(console->quit_context);
		return;
	}
	console->input_bytes += (size_t)done;
	if (console->input_bytes == CONSOLE_INPUT_BYTES)
		watch_input(console, false);
	console_feed(console);
}

int console_init(struct console *console, struct loop *loop, struct reason *why)
{
	memset(console, 0, sizeof(*console));
	console->loop = loop;
	pthread_mutex_init(&console->lock, NULL);
	console->ring.bytes = CONSOLE_RING_BYTES;
	console->ring.data = malloc(CONSOLE_RING_BYTES);
	console->printed = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
						.ready = printed_ready};
	console->stall = (struct loop_source){
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.ready = stall_ready};
	if (!console->ring.data || loop_add(loop, &console->printed, EPOLLIN) ||
	    loop_add(loop, &console->stall, EPOLLIN))
		return reason_set(why, "console: %s", strerror(errno));
	return 0;
}

void console_connect(struct console *console, enum console_port port,
		     const struct console_port_ops *ops, void *context)
{
	console->ops[port] = ops;
	console->context[port] = context;
}

void console_wake(struct console *console)
{
	uint64_t one = 1;

	if (write(console->printed.fd, &one, sizeof(one)) != sizeof(one))
		return; /* full: the loop has been told often enough */
}

void console_print(struct console *console, enum console_port port, const uint8_t *data,
		   size_t bytes)
{
	pthread_mutex_lock(&console->lock);
	scrollback_append(&console->ring, data, bytes);
	if (port == CONSOLE_VIRTIO)
		console->active = CONSOLE_VIRTIO;
	pthread_mutex_unlock(&console->lock);
	console_wake(console);
}

static void set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int console_attach(struct console *console, int in_fd, int out_fd, bool dump, bool terminal,
		   struct reason *why)
{
	struct console_viewer *viewer = calloc(1, sizeof(*viewer));

	if (!viewer)
		return reason_set(why, "console: out of memory");
	viewer->console = console;
	viewer->dump = dump;
	viewer->terminal = terminal;
	viewer->in = (struct loop_source){.fd = in_fd, .ready = in_ready};
	viewer->out = (struct loop_source){.fd = out_fd, .ready = out_ready};
	pthread_mutex_lock(&console->lock);
	viewer->position = scrollback_start(&console->ring);
	pthread_mutex_unlock(&console->lock);
	set_nonblocking(out_fd);
	/* A regular file cannot be watched: it is read no further (typing comes from terminals). */
	if (in_fd >= 0 && loop_add(console->loop, &viewer->in, EPOLLIN))
		viewer->in.fd = -1;
	viewer->next = console->viewers;
	console->viewers = viewer;
	show(viewer);
	return 0;
}

void console_type(struct console *console, const uint8_t *data, size_t bytes)
{
	size_t room = CONSOLE_INPUT_BYTES - console->input_bytes;

	if (bytes > room)
		bytes = room;
	memcpy(console->input + console->input_bytes, data, bytes);
	console->input_bytes += bytes;
	console_feed(console);
}

uint64_t console_printed(struct console *console)
{
	pthread_mutex_lock(&console->lock);
	uint64_t bytes = console->ring.end;

	pthread_mutex_unlock(&console->lock);
	return bytes;
}

uint64_t console_kept(struct console *console)
{
	pthread_mutex_lock(&console->lock);
	uint64_t bytes = console->ring.end - scrollback_start(&console->ring);

	pthread_mutex_unlock(&console->lock);
	return bytes;
}

void console_resize(struct console *console, uint16_t columns, uint16_t rows)
{
	for (int port = 0; port < CONSOLE_PORTS; port++)
		if (console->ops[port] && console->ops[port]->resize)
			console->ops[port]->resize(console->context[port], columns, rows);
}

void console_flush(struct console *console)
{
	struct console_viewer *next;

	for (struct console_viewer *viewer = console->viewers; viewer; viewer = next) {
		struct pollfd room = {.fd = viewer->out.fd, .events = POLLOUT};

		next = viewer->next;
		while (show(viewer) && viewer->waits_for_room)
			if (poll(&room, 1, FLUSH_TIMEOUT_MS) != 1)
				break;
	}
}

void console_reset(struct console *console)
{
	pthread_mutex_lock(&console->lock);
	console->active = CONSOLE_SERIAL;
	pthread_mutex_unlock(&console->lock);
}
