// SPDX-License-Identifier: MIT
/*
 * Address decoding. Ports are decoded byte by byte: the devices behind them have byte registers,
 * and a wider access is what it was on an 8-bit bus. The hot accesses (doorbells) do not come
 * through here.
 */
#include "board.h"

#include <string.h>
#include <time.h>

#include "layout.h"

#define I8042_COMMAND_PORT  (PORT_I8042 + 4)
#define I8042_PULSE_RESET   0xfe
#define SLEEP_ENABLE	    0x20
#define SLEEP_TYPE_SHIFT    2
#define SLEEP_TYPE_MASK	    7
#define SLEEP_TYPE_S5	    5 /* as \_S5 in dsdt.asl says */
#define RESET_VALUE	    1
#define HOST_BRIDGE_CLASS   0x060000
#define VENDOR_REDHAT	    0x1b36
#define DEVICE_GENERIC_HOST 0x0008

static void ioapic_send(void *context, uint64_t address, uint32_t data)
{
	irq_send(((struct board *)context)->irq, address, data);
}

static void ioapic_route(void *context, unsigned pin, bool used, uint64_t address, uint32_t data)
{
	irq_set_message(((struct board *)context)->irq, pin, used, address, data);
}

static const struct ioapic_ops ioapic_ops = {.send = ioapic_send, .route = ioapic_route};

static void uart_transmit(void *context, uint8_t byte)
{
	console_print(((struct board *)context)->console, CONSOLE_SERIAL, &byte, 1);
}

static void uart_interrupt(void *context, bool asserted)
{
	ioapic_set(&((struct board *)context)->ioapic, GSI_COM1, asserted);
}

static void uart_drained(void *context)
{
	console_wake(((struct board *)context)->console);
}

static const struct uart_ops uart_ops = {
	.transmit = uart_transmit, .interrupt = uart_interrupt, .drained = uart_drained};

static size_t serial_input(void *context, const uint8_t *data, size_t bytes)
{
	return uart_receive(&((struct board *)context)->uart, data, bytes);
}

static const struct console_port_ops serial_ops = {.input = serial_input};

void board_init(struct board *board, struct irq *irq, struct console *console,
		void (*event)(void *context, enum board_event event, const char *what),
		void *context)
{
	const struct pci_id host_bridge = {.vendor = VENDOR_REDHAT,
					   .device = DEVICE_GENERIC_HOST,
					   .class_revision = HOST_BRIDGE_CLASS << 8};

	board->irq = irq;
	board->console = console;
	board->event = event;
	board->context = context;
	pthread_mutex_init(&board->cmos_lock, NULL);
	cmos_reset(&board->cmos);
	pci_bus_init(&board->pci);
	pci_device_init(&board->host_bridge, NULL, &host_bridge);
	pci_add(&board->pci, &board->host_bridge);
	ioapic_init(&board->ioapic, &ioapic_ops, board);
	uart_init(&board->uart, &uart_ops, board);
	console_connect(console, CONSOLE_SERIAL, &serial_ops, board);
}

void board_reset(struct board *board)
{
	pthread_mutex_lock(&board->cmos_lock);
	cmos_reset(&board->cmos);
	pthread_mutex_unlock(&board->cmos_lock);
	pci_reset(&board->pci);
	ioapic_reset(&board->ioapic);
	uart_reset(&board->uart);
}

void board_press_power_button(struct board *board)
{
	ioapic_set(&board->ioapic, GSI_POWER_BUTTON, true);
	ioapic_set(&board->ioapic, GSI_POWER_BUTTON, false);
}

static uint8_t read_cmos(struct board *board, unsigned offset)
{
	pthread_mutex_lock(&board->cmos_lock);
	uint8_t value = cmos_read(&board->cmos, offset, time(NULL));

	pthread_mutex_unlock(&board->cmos_lock);
	return value;
}

static void write_cmos(struct board *board, unsigned offset, uint8_t value)
{
	pthread_mutex_lock(&board->cmos_lock);
	cmos_write(&board->cmos, offset, value);
	pthread_mutex_unlock(&board->cmos_lock);
}

static uint8_t read_port(struct board *board, unsigned port)
{
	if (port >= PORT_COM1 && port < PORT_COM1 + UART_PORTS)
		return uart_read(&board->uart, port - PORT_COM1);
	if (port == PORT_CMOS || port == PORT_CMOS + 1)
		return read_cmos(board, port - PORT_CMOS);
	if (port == PORT_POWER_SLEEP || port == PORT_POWER_STATUS)
		return 0;
	if (port >= PORT_PIT && port < PORT_PIT + PIT_PORTS)
		return 0; /* Linux tries 50,000 times to see a timer that reads FFh count down */
	return 0xff;
}

static void write_sleep_control(struct board *board, uint8_t value)
{
	if ((value & SLEEP_ENABLE) &&
	    (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == SLEEP_TYPE_S5)
		board->event(board->context, BOARD_POWER_OFF, "power-off by guest");
}

static void write_port(struct board *board, unsigned port, uint8_t value)
{
	if (port >= PORT_COM1 && port < PORT_COM1 + UART_PORTS)
		uart_write(&board->uart, port - PORT_COM1, value);
	else if (port == PORT_CMOS || port == PORT_CMOS + 1)
		write_cmos(board, port - PORT_CMOS, value);
	else if (port == I8042_COMMAND_PORT && value == I8042_PULSE_RESET)
		board->event(board->context, BOARD_RESET, "reset by guest (keyboard controller)");
	else if (port == PORT_POWER_RESET && value == POWER_RESET_VALUE)
		board->event(board->context, BOARD_RESET, "reset by guest");
	else if (port == PORT_POWER_SLEEP)
		write_sleep_control(board, value);
}

void board_port_read(struct board *board, uint16_t port, uint8_t *data, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		data[i] = read_port(board, port + i);
}

void board_port_write(struct board *board, uint16_t port, const uint8_t *data, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		write_port(board, port + i, data[i]);
}

void board_mmio_read(struct board *board, uint64_t gpa, uint8_t *data, unsigned bytes)
{
	uint64_t value = ~0ull;

	if (gpa >= LAYOUT_PCI_BASE && gpa - LAYOUT_PCI_BASE < LAYOUT_PCI_BYTES)
		pci_window_read(&board->pci, gpa, bytes, &value);
	else if (gpa >= LAYOUT_ECAM_BASE && gpa - LAYOUT_ECAM_BASE < LAYOUT_ECAM_BYTES)
		value = pci_ecam_read(&board->pci, gpa - LAYOUT_ECAM_BASE, bytes);
	else if (gpa >= LAYOUT_IOAPIC_BASE && gpa - LAYOUT_IOAPIC_BASE < LAYOUT_IOAPIC_BYTES)
		value = ioapic_read(&board->ioapic, gpa - LAYOUT_IOAPIC_BASE);
	memcpy(data, &value, bytes);
}

void board_mmio_write(struct board *board, uint64_t gpa, const uint8_t *data, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, data, bytes);
	if (gpa >= LAYOUT_PCI_BASE && gpa - LAYOUT_PCI_BASE < LAYOUT_PCI_BYTES)
		pci_window_write(&board->pci, gpa, bytes, value);
	else if (gpa >= LAYOUT_ECAM_BASE && gpa - LAYOUT_ECAM_BASE < LAYOUT_ECAM_BYTES)
		pci_ecam_write(&board->pci, gpa - LAYOUT_ECAM_BASE, bytes, value);
	else if (gpa >= LAYOUT_IOAPIC_BASE && gpa - LAYOUT_IOAPIC_BASE < LAYOUT_IOAPIC_BYTES)
		ioapic_write(&board->ioapic, gpa - LAYOUT_IOAPIC_BASE, (uint32_t)value);
}
