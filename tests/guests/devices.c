// SPDX-License-Identifier: MIT
/*
 * A guest that turns on its device model: every port, addresses where nothing is, and rings that no
 * driver would make, for each virtio device that it finds. "seed=N devices=M" on the command line.
 * It passes if it gets to its summary; that nobody else noticed is for the test to see.
 *
 * Buffers that devices may write lie in this guest's memory above 8 MiB, where nothing else is.
 */
#include "guest.h"

#define ECAM	      UINT64_C(0xe0000000)
#define BARS	      0xc0000000u
#define BAR_ROOM      0x100000u
#define SCRATCH	      UINT64_C(0x800000)
#define SCRATCH_BYTES UINT64_C(0x400000)
#define RING_BYTES    0x4000
#define ROUNDS	      24
#define FLOOD	      5000
#define SERIAL	      0x3f8
#define FAR	      UINT64_C(0x200000000) /* virtual: 1 GiB of wherever is to be touched */

/* Common configuration of a virtio device over PCI (virtio 1.2, 4.1.4.3). */
enum {
	FEATURE_SELECT = 8,
	FEATURES = 12,
	CONFIG_VECTOR = 16,
	QUEUES = 18,
	STATUS = 20,
	QUEUE_SELECT = 22,
	QUEUE_SIZE = 24,
	QUEUE_VECTOR = 26,
	QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFFSET = 30,
	QUEUE_DESCRIPTORS = 32,
	QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
};

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

static uint64_t seed = 1;
static uint64_t expected; /* virtio devices; 0: two are always there */

static uint32_t random32(void)
{
	return (uint32_t)next_random(&seed);
}

static void write8(uint64_t at, uint8_t value)
{
	*(volatile uint8_t *)at = value;
}

static void write16(uint64_t at, uint16_t value)
{
	*(volatile uint16_t *)at = value;
}

static uint16_t read16(uint64_t at)
{
	return *(volatile uint16_t *)at;
}

static void write32(uint64_t at, uint32_t value)
{
	*(volatile uint32_t *)at = value;
}

static uint32_t read32(uint64_t at)
{
	return *(volatile uint32_t *)at;
}

/* --- ports and addresses --- */

/* The console's, those that end the machine, and the keyboard controller's reset. */
static bool port_ends_it(uint32_t port)
{
	return (port >= 0x3f8 && port < 0x400) || (port >= 0x5fd && port < 0x604) || port == 0x64 ||
	       (port >= 0x60 && port < 0x65) || (port >= 0xcf6 && port <= 0xcf9);
}

static void every_port(void)
{
	uint32_t written = 0;

	for (uint32_t port = 0; port < 0x10000; port++) {
		written++;
		if (port_ends_it(
			    port)) { /* what does nothing, but for a line's end on the console */
			outb((uint16_t)port, port == SERIAL ? '\n' : 0);
			inb((uint16_t)port);
			continue;
		}
		switch (port & 3) {
		case 0:
			asm volatile("outl %0, %w1" : : "a"(random32()), "d"(port));
			break;
		case 2:
			asm volatile("outw %w0, %w1" : : "a"(random32()), "d"(port));
			break;
		default:
			asm volatile("outb %b0, %w1" : : "a"(random32()), "d"(port));
		}
		inl((uint16_t)port);
	}
	report(written == 65536, "%u ports written and read", (uint64_t)written);
}

/* Where there is no memory nothing can be kept, whatever the address. */
static void every_address(void)
{
	struct cpuid sizes = cpuid(0x80000008, 0);
	unsigned int bits = sizes.a & 0xff, kept = 0, tried = 0, faults = 0;
	uint32_t value;

	for (unsigned int bit = 30; bit < bits; bit++)
		for (unsigned int i = 0; i < 64; i++) {
			uint64_t at = UINT64_C(1) << bit | (next_random(&seed) & 0x3ffffff8);

			pdpt[FAR >> 30] = (at & ~UINT64_C(0x3fffffff)) | 0x83;
			flush_tlb();
			if ((at & ~UINT64_C(0x3fffffff)) == 0xc0000000)
				continue; /* devices have registers there */
			at = FAR + (at & 0x3fffffff);
			faults += ATTEMPT("movl %1, (%0)", OUT(),
					  IN("r"(at), "r"(0x5ec2e700 + i))) != NO_FAULT;
			faults += ATTEMPT("movl (%1), %0", OUT("=&r"(value)), IN("r"(at))) !=
				  NO_FAULT;
			kept += value == 0x5ec2e700 + i;
			tried++;
		}
	report(!kept && !faults, "%u addresses without memory: %u keep a value, %u fault",
	       (uint64_t)tried, (uint64_t)kept, (uint64_t)faults);
}

/* --- virtio --- */

static struct {
	uint64_t common, notify;
	uint32_t multiplier;
} device;

/* Places the memory BARs at @base, finds the registers; false if this is no virtio device. */
static bool find_registers(uint64_t config, uint32_t base)
{
	uint32_t bar[6] = {0}, size;

	if ((read32(config) & 0xffff) != 0x1af4)
		return false;
	for (unsigned int i = 0; i < 6; i++) {
		uint64_t at = config + 0x10 + i * 4;

		write32(at, UINT32_MAX);
		size = ~(read32(at) & ~15u) + 1;
		if (!size)
			continue;
		write32(at, bar[i] = base);
		base += size < 0x1000 ? 0x1000 : size;
		if (read32(at) & 4)
			write32(config + 0x10 + ++i * 4, 0);
	}
	write16(config + 4, 6); /* memory, bus master */
	device.common = device.notify = 0;
	for (uint8_t at = (uint8_t)read32(config + 0x34); at;
	     at = read32(config + at) >> 8 & 0xff) {
		uint32_t head = read32(config + at), where = read32(config + at + 4) & 0xff;

		if ((head & 0xff) != 9 || where > 5)
			continue;
		if (head >> 24 == 1)
			device.common = bar[where] + read32(config + at + 8);
		if (head >> 24 == 2) {
			device.notify = bar[where] + read32(config + at + 8);
			device.multiplier = read32(config + at + 16);
		}
	}
	return device.common && device.notify;
}

/* Memory, its very end, beyond it, and what wraps. */
static uint64_t random_address(void)
{
	uint64_t r = next_random(&seed);

	switch (r >> 61) {
	case 0:
		return r;
	case 1:
		return ram_end - (r & 0x1f);
	case 2:
		return ~(r & 0xfff);
	case 3:
		return UINT64_C(0xfee00000) + (r & 0xff0);
	default:
		return SCRATCH + RING_BYTES * 8 + r % (SCRATCH_BYTES / 2);
	}
}

static uint32_t random_bytes(void)
{
	uint32_t r = random32();

	return r & 1 ? r >> 1 & 0xfff : r & 2 ? UINT32_MAX - (r >> 28) : r & 4 ? 0 : r;
}

static void malformed_ring(uint64_t ring, uint16_t entries)
{
	struct descriptor *d = (struct descriptor *)ring;
	uint16_t *available = (uint16_t *)(ring + 0x2000);

	for (unsigned int i = 0; i < entries; i++) {
		d[i].address = random_address();
		d[i].bytes = random_bytes();
		d[i].flags = (uint16_t)(random32() & (random32() & 1 ? 3 : 0xffff));
		d[i].next = (uint16_t)(random32() & 1 ? i + 1 : random32()); /* loops too */
	}
	for (unsigned int i = 0; i < entries; i++)
		available[2 + i] = (uint16_t)(random32() & 7 ? random32() % entries : random32());
	available[0] = (uint16_t)(random32() & 1);
	available[1] = (uint16_t)(random32() & 3 ? random32() % entries : random32());
}

static void set_queue(uint64_t c, uint16_t queue)
{
	uint64_t ring = SCRATCH + (queue & 7) * RING_BYTES;
	uint16_t entries;
	bool sane = random32() & 7;

	write16(c + QUEUE_SELECT, sane ? queue : (uint16_t)random32());
	entries = read16(c + QUEUE_SIZE);
	entries = entries && entries <= 256 ? entries : 8;
	if (!sane)
		write16(c + QUEUE_SIZE, (uint16_t)random32());
	malformed_ring(ring, entries);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t at =
			random32() & 15 ? ring + i * 0x2000 - (i == 2) * 0x1000 : random_address();

		write32(c + QUEUE_DESCRIPTORS + i * 8, (uint32_t)at);
		write32(c + QUEUE_DESCRIPTORS + i * 8 + 4, (uint32_t)(at >> 32));
	}
	write16(c + QUEUE_VECTOR, (uint16_t)random32());
	write16(c + QUEUE_ENABLE, 1);
}

static void abuse_device(void)
{
	uint64_t c = device.common;
	uint16_t queues = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		write8(c + STATUS, 0);
		write8(c + STATUS, 1);
		write8(c + STATUS, 3);
		write32(c + FEATURE_SELECT, 0);
		write32(c + FEATURES, random32());
		write32(c + FEATURE_SELECT, 1);
		write32(c + FEATURES, 1 | (random32() & 7 ? 0 : random32()));
		write8(c + STATUS, 11);
		queues = read16(c + QUEUES);
		for (uint16_t q = 0; q < queues && q < 8; q++)
			set_queue(c, q);
		write8(c + STATUS, 15);
		for (unsigned int i = 0; i < 64; i++) {
			uint16_t q = (uint16_t)(random32() % (queues + 1u));

			write16(device.notify + q * device.multiplier, q);
			if (!(i & 7)) /* more of it, while the device looks */
				((volatile uint16_t *)(SCRATCH + (q & 7) * RING_BYTES +
						       0x2000))[1]++;
			if (!(i & 31))
				write32(c + (random32() & 0x3c), random32());
		}
	}
	for (unsigned int i = 0; i < FLOOD;
	     i++) /* it may have given up: that is no reason to stop */
		write16(device.notify + i % (queues + 1u) * device.multiplier, (uint16_t)i);
	write8(c + STATUS, 0);
}

static void every_device(void)
{
	unsigned int found = 0;

	for (unsigned int function = 0; function < 256; function++) {
		uint64_t config = ECAM + function * 4096;

		if (!find_registers(config, BARS + found * BAR_ROOM))
			continue;
		print("device %x\n", (uint64_t)(read32(config) >> 16));
		abuse_device();
		found++;
	}
	report(expected ? found == expected : found >= 2, "%u virtio devices with malformed rings",
	       (uint64_t)found);
}

/* Faster than anybody reads. */
static void flood_console(void)
{
	for (unsigned int i = 1; i <= FLOOD; i++)
		outb(SERIAL, i % 100 ? '.' : '\n');
	report(true, "%u bytes to the serial port", (uint64_t)FLOOD);
}

/* The configuration space last: afterwards nothing is where it was. */
static void every_register(void)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < 4000; i++) {
		uint64_t at = ECAM + (random32() & 0x1fffc);

		sum += read32(at);
		write32(at, random32());
		at = 0xfec00000 + (random32() & 0xffc);
		sum += read32(at);
		write32(at, random32());
	}
	report(true, "configuration space and IOAPIC, %x", (uint64_t)(sum & 1));
}

/* The number that follows @name on the command line, where others may have written too; else
 * @value. */
static uint64_t number(const char *name, uint64_t value)
{
	for (const char *s = guest_cmdline; *s; s++) {
		const char *a = s, *b = name;

		while (*b && *a == *b)
			a++, b++;
		if (*b)
			continue;
		for (value = 0; *a >= '0' && *a <= '9'; a++)
			value = value * 10 + (uint64_t)(*a - '0');
		return value;
	}
	return value;
}

void guest_main(void)
{
	seed = number("seed=", seed);
	expected = number("devices=", 0);
	every_device();
	flood_console();
	every_port();
	every_address();
	every_register();
}
