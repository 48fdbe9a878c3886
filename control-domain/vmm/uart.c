// SPDX-License-Identifier: MIT
/*
 * Register by register. The interrupt line is recomputed after every access from the enabled
 * causes; only its changes are passed on.
 */
#include "uart.h"

#include <string.h>

enum reg { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RECEIVE  0x01
#define IER_TRANSMIT 0x02
#define IER_LINE     0x04

#define IIR_NONE      0x01
#define IIR_TRANSMIT  0x02
#define IIR_RECEIVE   0x04
#define IIR_LINE      0x06
#define IIR_FIFO_MODE 0xc0

#define FCR_ENABLE	  0x01
#define FCR_CLEAR_RECEIVE 0x02

#define LCR_DIVISOR  0x80
#define MCR_OUT2     0x08
#define MCR_LOOPBACK 0x10

#define LSR_READY	     0x01
#define LSR_OVERRUN	     0x02
#define LSR_TRANSMITTER_IDLE 0x60

#define MSR_CONNECTED 0xb0 /* carrier, data set ready, clear to send */

static uint8_t interrupt_cause_locked(const struct uart *uart)
{
	if ((uart->ier & IER_LINE) && uart->overrun)
		return IIR_LINE;
	if ((uart->ier & IER_RECEIVE) && uart->fifo_count)
		return IIR_RECEIVE;
	if ((uart->ier & IER_TRANSMIT) && uart->thr_empty_pending)
		return IIR_TRANSMIT;
	return IIR_NONE;
}

static void update_interrupt_locked(struct uart *uart)
{
	bool asserted = interrupt_cause_locked(uart) != IIR_NONE && (uart->mcr & MCR_OUT2) &&
			!(uart->mcr & MCR_LOOPBACK);

	if (asserted == uart->asserted)
		return;
	uart->asserted = asserted;
	uart->ops->interrupt(uart->context, asserted);
}

static bool receive_locked(struct uart *uart, uint8_t byte)
{
	if (uart->fifo_count == UART_FIFO)
		return false;
	uart->fifo[(uart->fifo_first + uart->fifo_count++) % UART_FIFO] = byte;
	return true;
}

static uint8_t read_data_locked(struct uart *uart)
{
	if (!uart->fifo_count)
		return 0;
	uint8_t byte = uart->fifo[uart->fifo_first];

	uart->fifo_first = (uart->fifo_first + 1) % UART_FIFO;
	uart->fifo_count--;
	return byte;
}

static uint8_t read_iir_locked(struct uart *uart)
{
	uint8_t cause = interrupt_cause_locked(uart);

	if (cause == IIR_TRANSMIT)
		uart->thr_empty_pending = false;
	return cause | (uart->fcr & FCR_ENABLE ? IIR_FIFO_MODE : 0);
}

static uint8_t read_lsr_locked(struct uart *uart)
{
	uint8_t status = LSR_TRANSMITTER_IDLE;

	if (uart->fifo_count)
		status |= LSR_READY;
	if (uart->overrun)
		status |= LSR_OVERRUN;
	uart->overrun = false;
	return status;
}

/* In loopback mode the modem outputs come back as inputs. */
static uint8_t read_msr_locked(const struct uart *uart)
{
	if (!(uart->mcr & MCR_LOOPBACK))
		return MSR_CONNECTED;
	return (uint8_t)((uart->mcr & 0x02) << 3 | (uart->mcr & 0x01) << 5 |
			 (uart->mcr & 0x0c) << 4);
}

static uint8_t read_locked(struct uart *uart, unsigned reg)
{
	bool divisor = uart->lcr & LCR_DIVISOR;

	switch ((enum reg)reg) {
	case REG_DATA:
		return divisor ? (uint8_t)uart->divisor : read_data_locked(uart);
	case REG_IER:
		return divisor ? (uint8_t)(uart->divisor >> 8) : uart->ier;
	case REG_IIR_FCR:
		return read_iir_locked(uart);
	case REG_LCR:
		return uart->lcr;
	case REG_MCR:
		return uart->mcr;
	case REG_LSR:
		return read_lsr_locked(uart);
	case REG_MSR:
		return read_msr_locked(uart);
	case REG_SCR:
		return uart->scr;
	}
	return 0xff;
}

static void write_data_locked(struct uart *uart, uint8_t value)
{
	uart->thr_empty_pending = true;
	if (!(uart->mcr & MCR_LOOPBACK))
		uart->ops->transmit(uart->context, value);
	else if (!receive_locked(uart, value))
		uart->overrun = true;
}

static void write_ier_locked(struct uart *uart, uint8_t value)
{
	/* Enabling the transmitter interrupt raises it at once: the transmitter is empty. */
	if ((value & IER_TRANSMIT) && !(uart->ier & IER_TRANSMIT))
		uart->thr_empty_pending = true;
	uart->ier = value & 0x0f;
}

static void write_locked(struct uart *uart, unsigned reg, uint8_t value)
{
	bool divisor = uart->lcr & LCR_DIVISOR;

	switch ((enum reg)reg) {
	case REG_DATA:
		if (divisor)
			uart->divisor = (uart->divisor & 0xff00) | value;
		else
			write_data_locked(uart, value);
		break;
	case REG_IER:
		if (divisor)
			uart->divisor = (uint16_t)((uart->divisor & 0xff) | value << 8);
		else
			write_ier_locked(uart, value);
		break;
	case REG_IIR_FCR:
		if (value & FCR_CLEAR_RECEIVE)
			uart->fifo_count = 0;
		uart->fcr = value;
		break;
	case REG_LCR:
		uart->lcr = value;
		break;
	case REG_MCR:
		uart->mcr = value & 0x1f;
		break;
	case REG_SCR:
		uart->scr = value;
		break;
	case REG_LSR:
	case REG_MSR:
		break;
	}
}

void uart_init(struct uart *uart, const struct uart_ops *ops, void *context)
{
	memset(uart, 0, sizeof(*uart));
	uart->ops = ops;
	uart->context = context;
	pthread_mutex_init(&uart->lock, NULL);
	uart_reset(uart);
}

void uart_reset(struct uart *uart)
{
	pthread_mutex_lock(&uart->lock);
	uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->scr = 0;
	uart->divisor = 12;
	uart->fifo_count = 0;
	uart->overrun = uart->thr_empty_pending = false;
	update_interrupt_locked(uart);
	pthread_mutex_unlock(&uart->lock);
}

uint8_t uart_read(struct uart *uart, unsigned reg)
{
	pthread_mutex_lock(&uart->lock);
	bool had_input = uart->fifo_count;
	uint8_t value = read_locked(uart, reg);
	bool drained = had_input && !uart->fifo_count;

	update_interrupt_locked(uart);
	pthread_mutex_unlock(&uart->lock);
	if (drained)
		uart->ops->drained(uart->context);
	return value;
}

void uart_write(struct uart *uart, unsigned reg, uint8_t value)
{
	pthread_mutex_lock(&uart->lock);
	write_locked(uart, reg, value);
	update_interrupt_locked(uart);
	pthread_mutex_unlock(&uart->lock);
}

size_t uart_receive(struct uart *uart, const uint8_t *data, size_t bytes)
{
	size_t taken = 0;

	pthread_mutex_lock(&uart->lock);
	while (taken < bytes && receive_locked(uart, data[taken]))
		taken++;
	update_interrupt_locked(uart);
	pthread_mutex_unlock(&uart->lock);
	return taken;
}
