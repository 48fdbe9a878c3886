// SPDX-License-Identifier: MIT
/*
 * A 16550 serial port, polled, output only.
 *
 * Found by its scratch register, so that a machine without one does not wait for each character.
 * The control domain's driver owns the device later; reset() takes it back for a crash.
 */
#include <consoles.h>
#include <x86/asm.h>

enum {
	UART_DATA = 0,
	UART_IER = 1,
	UART_FCR = 2,
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_SCR = 7
};

#define LCR_8N1	  0x03
#define LCR_DLAB  0x80
#define LSR_EMPTY 0x20
#define PATIENCE  200000 /* polls; a port that stops sending must not stop us */

static void uart_reset(const struct console *uart)
{
	uint16_t base = uart->port;

	outb((uint16_t)(base + UART_IER), 0);
	outb((uint16_t)(base + UART_LCR), LCR_DLAB);
	outb((uint16_t)(base + UART_DATA), 1); /* 115200 baud */
	outb((uint16_t)(base + UART_IER), 0);
	outb((uint16_t)(base + UART_LCR), LCR_8N1);
	outb((uint16_t)(base + UART_FCR), 0x07);
	outb((uint16_t)(base + UART_MCR), 0x03);
}

static void put(uint16_t base, char c)
{
	for (int i = 0; i < PATIENCE; i++) {
		if (inb((uint16_t)(base + UART_LSR)) & LSR_EMPTY)
			break;
	}
	outb((uint16_t)(base + UART_DATA), (uint8_t)c);
}

static void uart_write(const struct console *uart, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n')
			put(uart->port, '\r');
		put(uart->port, s[i]);
	}
}

const struct console *uart_console(uint16_t port)
{
	static struct console uarts[3];
	struct console *c = uarts;

	outb((uint16_t)(port + UART_SCR), 0x5a);
	if (inb((uint16_t)(port + UART_SCR)) != 0x5a)
		return NULL;
	while (c < uarts + ARRAY_SIZE(uarts) && c->port && c->port != port)
		c++;
	if (c == uarts + ARRAY_SIZE(uarts))
		return NULL; /* as many as are shown on; another one must not take an earlier one's
				place */
	*c = (struct console){uart_reset, uart_write, port};
	uart_reset(c);
	return c;
}
