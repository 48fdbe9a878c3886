// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/pci.c control-domain/vmm/ioapic.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE -pthread
/* PCI configuration space and IOAPIC of the device model. */
#include "test.h"

#include "ioapic.h"
#include "layout.h"
#include "pci.h"

/* ---- PCI */

static struct pci_bus bus;
static struct pci_device bridge, card;
static unsigned configured_calls;
static uint64_t last_written, last_offset;

static uint64_t card_read(struct pci_device *device, uint32_t offset, unsigned bytes)
{
	CHECK_EQ(device, &card);
	return offset + bytes;
}

static void card_write(struct pci_device *device, uint32_t offset, unsigned bytes, uint64_t value)
{
	CHECK_EQ(device, &card);
	CHECK(offset + bytes <= card.bar_bytes);
	last_offset = offset;
	last_written = value;
}

static void card_configured(struct pci_device *device, unsigned offset, unsigned bytes)
{
	CHECK_EQ(device, &card);
	CHECK(offset + bytes <= PCI_CONFIG_BYTES);
	configured_calls++;
}

static const struct pci_ops card_ops = {
	.read = card_read, .write = card_write, .configured = card_configured};

enum { CARD = 1 << 15 }; /* its place in ECAM */

static void make_bus(void)
{
	const struct pci_id id = {0x1af4, 0x1042, 0x1af4, 0x1042, 0x01800001};

	pci_bus_init(&bus);
	pci_device_init(&bridge, NULL, &(struct pci_id){.vendor = 0x1b36, .device = 8});
	CHECK_EQ(pci_add(&bus, &bridge), 0);
	pci_device_init(&card, &card_ops, &id);
	card.bar_bytes = 0x8000;
	pci_add_capability(&card, 9, 16);
	pci_add_capability(&card, 0x11, 12);
	CHECK_EQ(pci_add(&bus, &card), 1);
}

TEST(pci_identity)
{
	make_bus();
	CHECK_EQ(pci_ecam_read(&bus, CARD, 4), 0x10421af4);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 8, 4), 0x01800001);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 0x2c, 4), 0x10421af4);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 6, 2) & 0x10, 0x10);
	/* The list of capabilities: both, then the end. */
	uint64_t first = pci_ecam_read(&bus, CARD + 0x34, 1);
	uint64_t second = pci_ecam_read(&bus, CARD + first + 1, 1);

	CHECK_EQ(pci_ecam_read(&bus, CARD + first, 1), 0x11);
	CHECK_EQ(pci_ecam_read(&bus, CARD + second, 1), 9);
	CHECK_EQ(pci_ecam_read(&bus, CARD + second + 1, 1), 0);
}

TEST(pci_absent)
{
	make_bus();
	CHECK_EQ(pci_ecam_read(&bus, 2 << 15, 4) & 0xffffffff, 0xffffffff);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 0x1000, 4) & 0xffffffff, 0xffffffff); /* function 1 */
	CHECK_EQ(pci_ecam_read(&bus, LAYOUT_ECAM_BYTES, 4) & 0xffffffff, 0xffffffff);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 0x100, 4), 0); /* no extended capabilities */
	CHECK_EQ(pci_ecam_read(&bus, CARD + 0xfe, 4), 0);  /* across the border */
	pci_ecam_write(&bus, CARD + 0xfff, 8, ~0ull);
	pci_ecam_write(&bus, 2 << 15, 4, ~0ull);
}

TEST(pci_read_only_bits)
{
	make_bus();
	for (unsigned reg = 0; reg < 256; reg += 4)
		pci_ecam_write(&bus, CARD + reg, 4, 0xffffffff);
	CHECK_EQ(pci_ecam_read(&bus, CARD, 4), 0x10421af4);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 4, 2), 0x406);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 0x14, 4), 0); /* BAR 1 does not exist */
	CHECK(configured_calls);
}

TEST(pci_bar)
{
	uint64_t value = 0, bar;

	make_bus();
	bar = pci_ecam_read(&bus, CARD + 0x10, 4);
	CHECK_EQ(bar % 0x8000, 0);
	CHECK(!pci_window_read(&bus, bar, 4, &value)); /* not enabled */
	pci_ecam_write(&bus, CARD + 4, 2, PCI_COMMAND_MEMORY);
	CHECK(pci_window_read(&bus, bar + 8, 4, &value));
	CHECK_EQ(value, 12);
	CHECK(!pci_window_read(&bus, bar + 0x8000, 4, &value));
	CHECK(!pci_window_read(&bus, bar + 0x7ffd, 4, &value)); /* sticks out */
	CHECK(!pci_window_read(&bus, bar - 1, 4, &value));
	/* Size, then a move. */
	pci_ecam_write(&bus, CARD + 0x10, 4, 0xffffffff);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 0x10, 4), 0xffff8000);
	CHECK_EQ(pci_bar_address(&card), 0); /* outside the window: decodes nothing */
	pci_ecam_write(&bus, CARD + 0x10, 4, 0xc0100000);
	CHECK(pci_window_write(&bus, 0xc0100010, 4, 77));
	CHECK_EQ(last_offset, 0x10);
	CHECK_EQ(last_written, 77);
	pci_ecam_write(&bus, CARD + 0x10, 4, 0xfee00000); /* over the local APIC */
	CHECK_EQ(pci_bar_address(&card), 0);
	pci_ecam_write(&bus, CARD + 0x10, 4, 0xdfff8000); /* the last place */
	CHECK_EQ(pci_bar_address(&card), 0xdfff8000);
	pci_reset(&bus);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 0x10, 4), bar);
	CHECK_EQ(pci_ecam_read(&bus, CARD + 4, 2), 0);
}

/* ---- IOAPIC */

static struct ioapic ioapic;
static unsigned sent;
static uint64_t sent_address;
static uint32_t sent_data;
static bool routed[IOAPIC_PINS];

static void on_send(void *context, uint64_t address, uint32_t data)
{
	(void)context;
	sent++;
	sent_address = address;
	sent_data = data;
}

static void on_route(void *context, unsigned pin, bool used, uint64_t address, uint32_t data)
{
	(void)context;
	(void)address;
	(void)data;
	routed[pin] = used;
}

static const struct ioapic_ops ioapic_ops = {.send = on_send, .route = on_route};

static void write_entry(unsigned pin, uint64_t value)
{
	ioapic_write(&ioapic, 0, 0x11 + 2 * pin);
	ioapic_write(&ioapic, 0x10, (uint32_t)(value >> 32));
	ioapic_write(&ioapic, 0, 0x10 + 2 * pin);
	ioapic_write(&ioapic, 0x10, (uint32_t)value);
}

TEST(ioapic_edge)
{
	ioapic_init(&ioapic, &ioapic_ops, NULL);
	ioapic_set(&ioapic, 4, true);
	CHECK_EQ(sent, 0); /* masked */
	ioapic_set(&ioapic, 4, false);
	write_entry(4, 3ull << 56 | 0x35);
	CHECK(routed[4]);
	ioapic_set(&ioapic, 4, true);
	ioapic_set(&ioapic, 4, true);
	CHECK_EQ(sent, 1);
	CHECK_EQ(sent_address, 0xfee03000);
	CHECK_EQ(sent_data, 0x35);
	ioapic_set(&ioapic, 4, false);
	ioapic_set(&ioapic, 4, true);
	CHECK_EQ(sent, 2);
}

TEST(ioapic_level)
{
	ioapic_init(&ioapic, &ioapic_ops, NULL);
	write_entry(7, 0x8000 | 0x800 | 0x41);
	ioapic_set(&ioapic, 7, true);
	CHECK_EQ(sent, 1);
	CHECK_EQ(sent_address, 0xfee00004); /* logical */
	CHECK_EQ(sent_data, 0xc041);
	ioapic_eoi(&ioapic, 0x40); /* another vector */
	CHECK_EQ(sent, 1);
	ioapic_eoi(&ioapic, 0x41); /* still asserted */
	CHECK_EQ(sent, 2);
	ioapic_set(&ioapic, 7, false);
	ioapic_eoi(&ioapic, 0x41);
	ioapic_eoi(&ioapic, 0x41);
	CHECK_EQ(sent, 2);
	/* Asserted while masked: sent at the unmask. */
	write_entry(7, 0x10000 | 0x8000 | 0x41);
	ioapic_set(&ioapic, 7, true);
	CHECK_EQ(sent, 2);
	write_entry(7, 0x8000 | 0x41);
	CHECK_EQ(sent, 3);
}

TEST(ioapic_registers)
{
	ioapic_init(&ioapic, &ioapic_ops, NULL);
	ioapic_write(&ioapic, 0, 1);
	CHECK_EQ(ioapic_read(&ioapic, 0x10), 0x170011);
	/* Every index and offset is harmless; status bits are read only. */
	for (unsigned index = 0; index < 256; index++) {
		ioapic_write(&ioapic, 0, index);
		ioapic_write(&ioapic, 0x10, 0xffffffff);
		ioapic_read(&ioapic, 0x10);
		ioapic_read(&ioapic, index);
	}
	ioapic_write(&ioapic, 0, 0x10);
	CHECK_EQ(ioapic_read(&ioapic, 0x10), 0x1afff);
}
