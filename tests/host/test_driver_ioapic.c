// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/ioapic.c
/* The driver's IOAPIC: registers, edges, levels and their ends. */
#include "../../control-domain/driver/ioapic.h"
#include "test.h"

static struct kvm_ioapic_state ioapic;

static int write_register(uint8_t index, uint32_t value)
{
	ioapic_write(&ioapic, 0, index);
	return ioapic_write(&ioapic, 0x10, value);
}

static uint32_t read_register(uint8_t index)
{
	ioapic_write(&ioapic, 0, index);
	return ioapic_read(&ioapic, 0x10);
}

static void set_entry(unsigned int pin, uint64_t entry)
{
	CHECK_EQ(write_register((uint8_t)(0x11 + 2 * pin), (uint32_t)(entry >> 32)), pin);
	CHECK_EQ(write_register((uint8_t)(0x10 + 2 * pin), (uint32_t)entry), pin);
}

TEST(registers)
{
	ioapic_reset(&ioapic);
	CHECK_EQ(read_register(1), 0x170011);
	CHECK_EQ(write_register(0, 0xff000000), -1);
	CHECK_EQ(read_register(0), 0x0f000000);
	CHECK_EQ(read_register(2), 0x0f000000);
	CHECK_EQ(read_register(0x10), 0x10000); /* masked */
	set_entry(23, 0xabcdef0123456789);
	CHECK_EQ(read_register(0x3f), 0xab000000); /* reserved bits read as 0 */
	CHECK_EQ(read_register(0x3e), 0x00012789);
	CHECK_EQ(read_register(0x40), 0);
	CHECK_EQ(write_register(0x40, 1), -1);
	CHECK_EQ(ioapic_read(&ioapic, 0x20), 0);
}

TEST(edge)
{
	struct ioapic_message message;
	bool send;

	ioapic_reset(&ioapic);
	CHECK(!ioapic_set(&ioapic, 4, true, &send)); /* masked: lost */
	CHECK(!send);
	CHECK(ioapic_set(&ioapic, 4, false, &send));
	set_entry(4, 0x0500000000000831); /* to 5, logical */
	CHECK(!ioapic_waits(&ioapic, 4));
	CHECK(ioapic_set(&ioapic, 4, true, &send));
	CHECK(send);
	message = ioapic_send(&ioapic, 4);
	CHECK_EQ(message.address, 0xfee05004);
	CHECK_EQ(message.data, 0x31);
	CHECK(!ioapic_set(&ioapic, 4, true, &send)); /* no edge */
	CHECK_EQ(ioapic_end(&ioapic, 0x31), 0);
}

TEST(level)
{
	uint64_t vectors[4];
	bool send;

	ioapic_reset(&ioapic);
	set_entry(9, 0x8042);
	ioapic_eoi_vectors(&ioapic, vectors);
	CHECK_EQ(vectors[1], 4);
	CHECK_EQ(vectors[0] | vectors[2] | vectors[3], 0);
	CHECK(ioapic_set(&ioapic, 9, true, &send));
	CHECK(send);
	CHECK_EQ(ioapic_send(&ioapic, 9).data, 0xc042);
	CHECK_EQ(read_register(0x22), 0xc042); /* remote IRR */
	CHECK(!ioapic_set(&ioapic, 9, true, &send));
	CHECK(!send);
	CHECK_EQ(ioapic_end(&ioapic, 0x41), 0);
	CHECK_EQ(ioapic_end(&ioapic, 0x42), 1u << 9);
	CHECK(ioapic_waits(&ioapic, 9)); /* still high: again */
	ioapic_send(&ioapic, 9);
	ioapic_set(&ioapic, 9, false, &send);
	CHECK_EQ(ioapic_end(&ioapic, 0x42), 1u << 9);
	CHECK(!ioapic_waits(&ioapic, 9));
}

TEST(level_waits_behind_mask)
{
	bool send;

	ioapic_reset(&ioapic);
	set_entry(9, 0x18042);
	ioapic_set(&ioapic, 9, true, &send);
	CHECK(!send);
	CHECK(!ioapic_waits(&ioapic, 9));
	set_entry(9, 0x8042);
	CHECK(ioapic_waits(&ioapic, 9));
}

/* Linux ends a level interrupt by hand: masked edge, then level again. */
TEST(switching_to_edge_clears_remote_irr)
{
	bool send;

	ioapic_reset(&ioapic);
	set_entry(9, 0x8042);
	ioapic_set(&ioapic, 9, true, &send);
	ioapic_send(&ioapic, 9);
	set_entry(9, 0x10042);
	set_entry(9, 0x8042);
	CHECK(ioapic_waits(&ioapic, 9));
}

TEST(only_interrupts_that_end_are_asked_for)
{
	uint64_t vectors[4];

	ioapic_reset(&ioapic);
	set_entry(1, 0x8420); /* NMI */
	set_entry(2, 0x8121); /* lowest priority */
	set_entry(3, 0x0022); /* edge */
	set_entry(4, 0x180f0);
	ioapic_eoi_vectors(&ioapic, vectors);
	CHECK_EQ(vectors[0], 1ull << 0x21);
	CHECK_EQ(vectors[3], 1ull << 0x30);
}
