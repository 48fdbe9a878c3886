// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/pic.c
/* The 8259A pair against its data sheet. */
#include "../../control-domain/driver/pic.h"
#include "test.h"

static struct pics pics;

/* As a PC's firmware and Linux do it: vectors 20h and 28h, cascade at line 2, normal EOI. */
static void initialize(uint8_t icw4)
{
	const uint8_t base[2] = {0x20, 0x28};

	pics_reset(&pics);
	for (unsigned int chip = 0; chip < 2; chip++) {
		uint16_t port = chip ? 0xa0 : 0x20;

		pics_write(&pics, port, 0x11);
		pics_write(&pics, port + 1, base[chip]);
		pics_write(&pics, port + 1, chip ? 2 : 4);
		pics_write(&pics, port + 1, icw4);
	}
}

static void end(unsigned int line)
{
	if (line >= 8)
		pics_write(&pics, 0xa0, 0x20);
	pics_write(&pics, 0x20, 0x20);
}

static uint8_t in_service(uint16_t port)
{
	pics_write(&pics, port, 0x0b);
	return pics_read(&pics, port);
}

TEST(edge_is_latched)
{
	initialize(1);
	CHECK(!pics_output(&pics));
	CHECK(pics_set(&pics, 3, true));
	CHECK(pics_set(&pics, 3, false));
	CHECK(pics_output(&pics));
	CHECK_EQ(pics_acknowledge(&pics), 0x23);
	CHECK(!pics_output(&pics));
	CHECK_EQ(in_service(0x20), 8);
	end(3);
	CHECK_EQ(in_service(0x20), 0);
	CHECK(!pics_output(&pics));
}

TEST(second_edge_merges)
{
	initialize(1);
	CHECK(pics_set(&pics, 3, true));
	pics_set(&pics, 3, false);
	CHECK(!pics_set(&pics, 3, true));
}

TEST(masked_waits)
{
	initialize(1);
	pics_write(&pics, 0x21, 0xff);
	pics_set(&pics, 5, true);
	CHECK(!pics_output(&pics));
	CHECK_EQ(pics_read(&pics, 0x21), 0xff);
	pics_write(&pics, 0x21, 0xdf);
	CHECK_EQ(pics_acknowledge(&pics), 0x25);
}

TEST(priority)
{
	initialize(1);
	pics_set(&pics, 5, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x25);
	pics_set(&pics, 6, true);
	CHECK(!pics_output(&pics)); /* lower than what is in service */
	pics_set(&pics, 1, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x21);
	CHECK_EQ(in_service(0x20), 0x22);
	end(1); /* non-specific: the highest */
	CHECK_EQ(in_service(0x20), 0x20);
	end(5);
	CHECK_EQ(pics_acknowledge(&pics), 0x26);
}

TEST(slave_through_cascade)
{
	initialize(1);
	pics_set(&pics, 12, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x2c);
	CHECK_EQ(in_service(0x20), 4);
	CHECK_EQ(in_service(0xa0), 0x10);
	pics_set(&pics, 8, true);   /* higher at the slave, but the master serves the cascade */
	CHECK(!pics_output(&pics)); /* without special fully nested mode */
	end(12);
	CHECK_EQ(pics_acknowledge(&pics), 0x28);
}

TEST(special_fully_nested)
{
	initialize(0x11);
	pics_set(&pics, 12, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x2c);
	pics_set(&pics, 8, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x28);
}

TEST(level_triggered)
{
	initialize(1);
	pics_write(&pics, 0x4d1, 0xff);
	CHECK_EQ(pics_read(&pics, 0x4d1), 0xde); /* lines 8 and 13 are edges for ever */
	pics_set(&pics, 11, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x2b);
	end(11);
	CHECK_EQ(pics_acknowledge(&pics), 0x2b); /* still high */
	pics_set(&pics, 11, false);
	end(11);
	CHECK(!pics_output(&pics));
}

TEST(spurious)
{
	initialize(1);
	pics_write(&pics, 0x4d0, 0x20);
	pics_set(&pics, 5, true);
	CHECK(pics_output(&pics));
	pics_set(&pics, 5, false);
	CHECK_EQ(pics_acknowledge(&pics), 0x27);
	CHECK_EQ(in_service(0x20), 0);
}

TEST(automatic_end_and_rotation)
{
	initialize(3);
	pics_write(&pics, 0x20, 0x80); /* rotate in automatic EOI mode */
	pics_set(&pics, 0, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x20);
	CHECK_EQ(in_service(0x20), 0);
	pics_set(&pics, 0, false);
	pics_set(&pics, 0, true);
	pics_set(&pics, 7, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x27); /* 0 is the lowest now */
}

TEST(specific_end_and_set_priority)
{
	initialize(1);
	pics_set(&pics, 1, true);
	pics_acknowledge(&pics);
	pics_write(&pics, 0x20, 0x61); /* EOI of line 1 */
	CHECK_EQ(in_service(0x20), 0);
	pics_write(&pics, 0x20, 0xc3); /* line 3 lowest, so 4 highest */
	pics_set(&pics, 0, true);
	pics_set(&pics, 4, true);
	CHECK_EQ(pics_acknowledge(&pics), 0x24);
}

TEST(poll)
{
	initialize(1);
	pics_write(&pics, 0x20, 0x0c);
	CHECK_EQ(pics_read(&pics, 0x20), 0);
	pics_set(&pics, 6, true);
	pics_write(&pics, 0x20, 0x0c);
	CHECK_EQ(pics_read(&pics, 0x20), 0x86);
	CHECK_EQ(in_service(0x20), 0x40);
}

/* Whatever a guest writes: no memory fault, no endless loop, and a vector of the right chip. */
TEST(random_accesses)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
	uint32_t seed = 1;

	initialize(1);
	for (unsigned int i = 0; i < 200000; i++) {
		seed = seed * 1664525 + 1013904223;
		uint16_t port = ports[(seed >> 8) % 6];

		CHECK(pics_port(port));
		switch (seed >> 28 & 3) {
		case 0:
			pics_write(&pics, port, (uint8_t)(seed >> 16));
			break;
		case 1:
			pics_read(&pics, port);
			break;
		case 2:
			pics_set(&pics, seed >> 16 & 15, seed >> 20 & 1);
			break;
		default:
			if (pics_output(&pics))
				pics_acknowledge(&pics);
		}
	}
}
