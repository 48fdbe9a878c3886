// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/uart.c control-domain/vmm/cmos.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE -pthread
/* Serial port, clock and console ring of the device model. */
#include "test.h"

#include "cmos.h"
#include "scrollback.h"
#include "uart.h"

/* ---- serial port */

static struct uart uart;
static char printed[32];
static unsigned printed_count, drained;
static bool irq;

static void on_transmit(void *context, uint8_t byte)
{
	(void)context;
	printed[printed_count++ % sizeof(printed)] = (char)byte;
}

static void on_interrupt(void *context, bool asserted)
{
	(void)context;
	CHECK(irq != asserted); /* changes only */
	irq = asserted;
}

static void on_drained(void *context)
{
	(void)context;
	drained++;
}

static const struct uart_ops uart_ops = {on_transmit, on_interrupt, on_drained};

TEST(uart_transmits)
{
	uart_init(&uart, &uart_ops, NULL);
	CHECK_EQ(uart_read(&uart, 5), 0x60);
	uart_write(&uart, 0, 'A');
	CHECK_EQ(printed[0], 'A');
	uart_write(&uart, 3, 0x80); /* the divisor is not data */
	uart_write(&uart, 0, 1);
	CHECK_EQ(printed_count, 1);
	CHECK_EQ(uart_read(&uart, 0), 1);
	uart_write(&uart, 3, 3);
	uart_write(&uart, 4, 8);
	uart_write(&uart, 1, 2);
	CHECK(irq);
	CHECK_EQ(uart_read(&uart, 2) & 0xf, 2); /* reading takes it back */
	CHECK(!irq);
	uart_write(&uart, 0, 'B');
	CHECK(irq);
}

TEST(uart_receives)
{
	uint8_t bytes[UART_FIFO + 8];

	memset(bytes, 'x', sizeof(bytes));
	bytes[0] = 'y';
	uart_init(&uart, &uart_ops, NULL);
	uart_write(&uart, 4, 8);
	uart_write(&uart, 1, 1);
	CHECK_EQ(uart_receive(&uart, bytes, sizeof(bytes)), UART_FIFO);
	CHECK(irq);
	CHECK_EQ(uart_read(&uart, 2) & 0xf, 4);
	CHECK_EQ(uart_read(&uart, 5) & 1, 1);
	CHECK_EQ(uart_read(&uart, 0), 'y');
	for (unsigned i = 1; i < UART_FIFO; i++)
		CHECK_EQ(uart_read(&uart, 0), 'x');
	CHECK(!irq);
	CHECK_EQ(drained, 1);
	CHECK_EQ(uart_read(&uart, 0), 0);
	CHECK_EQ(drained, 1);
}

TEST(uart_loopback)
{
	uart_init(&uart, &uart_ops, NULL);
	uart_write(&uart, 4, 0x1a); /* Linux looks for 90h in the modem status */
	CHECK_EQ(uart_read(&uart, 6) & 0xf0, 0x90);
	uart_write(&uart, 0, 'L');
	CHECK_EQ(printed_count, 0);
	CHECK_EQ(uart_read(&uart, 0), 'L');
	for (unsigned i = 0; i <= UART_FIFO; i++)
		uart_write(&uart, 0, 'L');
	CHECK_EQ(uart_read(&uart, 5) & 3, 3); /* overrun, once */
	CHECK_EQ(uart_read(&uart, 5) & 3, 1);
}

/* ---- clock */

static unsigned cmos_at(struct cmos *cmos, uint8_t index, int64_t now)
{
	cmos_write(cmos, 0, index);
	return cmos_read(cmos, 1, now);
}

TEST(cmos_time)
{
	const int64_t now = 1709251199; /* 2024-02-29 23:59:59 UTC, a Thursday */
	struct cmos cmos;

	cmos_reset(&cmos);
	CHECK_EQ(cmos_at(&cmos, 0, now), 0x59);
	CHECK_EQ(cmos_at(&cmos, 4, now), 0x23);
	CHECK_EQ(cmos_at(&cmos, 6, now), 0x05);
	CHECK_EQ(cmos_at(&cmos, 7, now), 0x29);
	CHECK_EQ(cmos_at(&cmos, 8, now), 0x02);
	CHECK_EQ(cmos_at(&cmos, 9, now), 0x24);
	CHECK_EQ(cmos_at(&cmos, 0x32, now), 0x20);
	CHECK_EQ(cmos_at(&cmos, 10, now) & 0x80, 0); /* never "in progress" */
	CHECK_EQ(cmos_at(&cmos, 13, now), 0x80);
	cmos_write(&cmos, 0, 11);
	cmos_write(&cmos, 1, 0x04 | 0x70);
	CHECK_EQ(cmos_at(&cmos, 11, now), 0x06); /* binary, no interrupts */
	CHECK_EQ(cmos_at(&cmos, 0, now), 59);
	for (unsigned index = 0; index < 256; index++) {
		cmos_write(&cmos, 0, (uint8_t)index);
		cmos_write(&cmos, 1, 0xff);
	}
	CHECK_EQ(cmos_at(&cmos, 9, now), 24);
	CHECK_EQ(cmos_at(&cmos, 0x40, now), 0xff);
}

/* ---- console ring */

TEST(scrollback)
{
	uint8_t data[16], model[200];
	struct scrollback ring = {.data = data, .bytes = sizeof(data)};
	size_t bytes;

	for (unsigned i = 0; i < sizeof(model); i++)
		model[i] = (uint8_t)i;
	for (unsigned chunk = 0; chunk < 20; chunk++) {
		uint64_t end = ring.end;

		if (end + chunk > sizeof(model))
			break;
		scrollback_append(&ring, model + end, chunk);
		CHECK_EQ(ring.end, end + chunk);
		for (uint64_t at = scrollback_start(&ring); at < ring.end; at += bytes) {
			const uint8_t *here = scrollback_peek(&ring, at, &bytes);

			CHECK(bytes);
			CHECK_MEMEQ(here, model + at, bytes);
		}
	}
	scrollback_append(&ring, model, 100); /* far more than fits */
	CHECK_EQ(ring.end - scrollback_start(&ring), sizeof(data));
	CHECK_EQ(*scrollback_peek(&ring, ring.end - 1, &bytes), 99);
}
