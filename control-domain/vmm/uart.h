// SPDX-License-Identifier: MIT
/*
 * The first serial port: a 16550A, for the console before (or without) a virtio driver.
 *
 * Pure state behind two callbacks. The transmitter is always empty and never full; timing, modem
 * lines and line errors are not modelled. Loopback mode is, because drivers test with it.
 *
 * Source: National Semiconductor PC16550D, "Registers".
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UART_PORTS = 8, UART_FIFO = 64 };

struct uart_ops {
	void (*transmit)(void *context, uint8_t byte);
	void (*interrupt)(void *context, bool asserted);
	/* The guest read the last byte of input; more would fit. Called without the lock. */
	void (*drained)(void *context);
};

struct uart {
	const struct uart_ops *ops;
	void *context;
	pthread_mutex_t lock;
	uint8_t ier, fcr, lcr, mcr, scr;
	uint16_t divisor;
	uint8_t fifo[UART_FIFO];
	unsigned fifo_first, fifo_count;
	bool overrun;
	bool thr_empty_pending; /* "transmitter empty" not yet seen in IIR */
	bool asserted;
};

void uart_init(struct uart *uart, const struct uart_ops *ops, void *context);
void uart_reset(struct uart *uart);
uint8_t uart_read(struct uart *uart, unsigned reg);
void uart_write(struct uart *uart, unsigned reg, uint8_t value);

/* Gives the guest input; returns how many bytes fitted. */
size_t uart_receive(struct uart *uart, const uint8_t *data, size_t bytes);
