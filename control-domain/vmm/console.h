// SPDX-License-Identifier: MIT
/*
 * The VM's console: what the guest prints (virtio console and serial port alike), kept in a ring
 * from the first byte, and any number of viewers that read it and type.
 *
 * A new viewer first gets all that the ring still has. A viewer that does not keep up slows the
 * virtio console down as long as it makes progress, so that nothing is lost; one that stands still
 * for a second is left behind and later told how many bytes it missed. Input goes to the virtio
 * console once the guest has printed there, to the serial port before.
 *
 * Context: main loop, except console_print() and console_wake().
 */
#pragma once

#include <pthread.h>

#include "loop.h"
#include "scrollback.h"

enum { CONSOLE_RING_BYTES = 1 << 20, CONSOLE_INPUT_BYTES = 4096 };

enum console_port { CONSOLE_SERIAL, CONSOLE_VIRTIO, CONSOLE_PORTS };

struct console_port_ops {
	/* Gives the guest input; returns how many bytes it took. It calls console_feed() for more.
	 */
	size_t (*input)(void *context, const uint8_t *data, size_t bytes);
	/* Viewers caught up: print again. May be NULL. */
	void (*resume)(void *context);
	/* The window changed. May be NULL. */
	void (*resize)(void *context, uint16_t columns, uint16_t rows);
};

struct console_viewer {
	struct loop_source in, out;
	struct console *console;
	struct console_viewer *next;
	uint64_t position;
	uint64_t position_before; /* at the last tick of the stall timer */
	bool left_behind;
	bool waits_for_room; /* `out` is being watched */
	bool dump;	     /* goes away when it has seen everything */
	bool terminal;	     /* our own: Ctrl-] ends the VM */
};

struct console {
	struct loop *loop;
	pthread_mutex_t lock; /* ring, active port */
	struct scrollback ring;
	enum console_port active;
	struct loop_source printed; /* eventfd: console_print() has news for the loop */
	struct loop_source stall;   /* timerfd */
	bool stall_armed;
	struct console_viewer *viewers;
	uint8_t input[CONSOLE_INPUT_BYTES];
	size_t input_bytes;
	bool input_blocked;
	const struct console_port_ops *ops[CONSOLE_PORTS];
	void *context[CONSOLE_PORTS];
	void (*quit)(void *context); /* Ctrl-] on our own terminal */
	void *quit_context;
};

int console_init(struct console *console, struct loop *loop, struct reason *why);
void console_connect(struct console *console, enum console_port port,
		     const struct console_port_ops *ops, void *context);

/* The guest printed. Any thread. */
void console_print(struct console *console, enum console_port port, const uint8_t *data,
		   size_t bytes);

/* Has the main loop show and deliver what waits. Any thread. */
void console_wake(struct console *console);

/* False while the guest should wait for viewers; ops->resume follows. */
bool console_has_room(struct console *console);

/* Tries to deliver typed bytes that had to wait. */
void console_feed(struct console *console);

/*
 * Adds a viewer that owns both descriptors (in_fd -1: it only looks). With `dump` it is dropped
 * once it has everything there is now.
 */
int console_attach(struct console *console, int in_fd, int out_fd, bool dump, bool terminal,
		   struct reason *why);

void console_resize(struct console *console, uint16_t columns, uint16_t rows);

/* Types on behalf of a viewer; what does not fit into the input buffer is lost. */
void console_type(struct console *console, const uint8_t *data, size_t bytes);

/* Bytes printed since the start. Any thread. */
uint64_t console_printed(struct console *console);

/* Bytes that a new viewer gets to see at once. Any thread. */
uint64_t console_kept(struct console *console);

/* Last chance to show everything: blocks for at most a second. */
void console_flush(struct console *console);

/* After a reset of the VM or of its virtio console: input goes to the serial port again until the
 * driver speaks. */
void console_reset(struct console *console);
