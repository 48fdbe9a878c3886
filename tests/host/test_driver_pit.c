// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/pit.c
/* The 8254 by the clock. A tick is 838.1 ns. */
#include "../../control-domain/driver/pit.h"
#include "test.h"

#define TICK_NS(n) ((uint64_t)(n)*1000000000 / 1193182 + 1)

static struct pit pit;

static void program(unsigned int channel, unsigned int mode, uint16_t count, uint64_t now_ns)
{
	pit_write(&pit, 3, (uint8_t)(channel << 6 | 0x30 | mode << 1), now_ns);
	CHECK(!pit_write(&pit, channel, (uint8_t)count, now_ns));
	CHECK_EQ(pit_write(&pit, channel, (uint8_t)(count >> 8), now_ns), channel == 0);
}

static uint16_t read_word(unsigned int channel, uint64_t now_ns)
{
	uint16_t low = pit_read(&pit, channel, now_ns);

	return low | pit_read(&pit, channel, now_ns) << 8;
}

TEST(intervals)
{
	bool repeats;

	pit_reset(&pit, 0);
	CHECK_EQ(pit_interval_ns(&pit, &repeats), 54925401); /* 18.2 Hz */
	CHECK(repeats);
	program(0, 2, 11932, 0);
	CHECK_EQ(pit_interval_ns(&pit, &repeats), 10000150);
	program(0, 4, 1193, 0);
	CHECK_EQ(pit_interval_ns(&pit, &repeats), 999847);
	CHECK(!repeats);
	program(0, 1, 1193, 0); /* waits for a gate that never moves */
	CHECK_EQ(pit_interval_ns(&pit, &repeats), 0);
}

TEST(counts_down)
{
	pit_reset(&pit, 0);
	program(0, 2, 1000, 5000);
	CHECK_EQ(read_word(0, 5000), 1000);
	CHECK_EQ(read_word(0, 5000 + TICK_NS(400)), 600);
	CHECK_EQ(read_word(0, 5000 + TICK_NS(1400)), 600);
	program(0, 3, 1000, 0);
	CHECK_EQ(read_word(0, TICK_NS(100)), 800);
	CHECK_EQ(read_word(0, TICK_NS(600)), 800);
	program(0, 0, 100, 0);
	CHECK_EQ(read_word(0, TICK_NS(101)), 0xffff); /* goes on below 0 */
}

TEST(latches)
{
	pit_reset(&pit, 0);
	program(0, 2, 1000, 0);
	pit_write(&pit, 3, 0x00, TICK_NS(400));
	CHECK_EQ(read_word(0, TICK_NS(500)), 600);
	CHECK_EQ(read_word(0, TICK_NS(500)), 500);
	program(2, 0, 1000, 0);
	pit_write(&pit, 3, 0xc8, TICK_NS(10)); /* read back: status and count of counter 2 */
	CHECK_EQ(pit_read(&pit, 2, TICK_NS(20)), 0x30);
	CHECK_EQ(read_word(2, TICK_NS(20)), 990);
	pit_write(&pit, 3, 0xe8, TICK_NS(1000));
	CHECK_EQ(pit_read(&pit, 2, TICK_NS(1000)), 0xb0); /* output is high */
}

TEST(one_byte_accesses)
{
	pit_reset(&pit, 0);
	pit_write(&pit, 3, 0x14, 0);
	CHECK(pit_write(&pit, 0, 200, 0));
	CHECK_EQ(pit_read(&pit, 0, TICK_NS(50)), 150);
	pit_write(&pit, 3, 0x24, 0);
	CHECK(pit_write(&pit, 0, 2, 0));
	CHECK_EQ(pit_read(&pit, 0, TICK_NS(256)), 1);
	pit_write(&pit, 3, 0x00, TICK_NS(256));
	CHECK_EQ(pit_read(&pit, 0, 0), 1);
}

/* How calibration loops measure: gate counter 2, wait until its output rises. */
TEST(speaker)
{
	pit_reset(&pit, 0);
	pit_speaker_write(&pit, 1, 0);
	program(2, 0, 11932, 1000);
	CHECK(!(pit_speaker_read(&pit, 1000 + TICK_NS(11931)) & 0x20));
	CHECK_EQ(pit_speaker_read(&pit, 1000 + TICK_NS(11932)) & 0x23, 0x21);
	pit_speaker_write(&pit, 2, 0);
	CHECK_EQ(pit_speaker_read(&pit, 0) & 3, 2);
	CHECK((pit_speaker_read(&pit, 0) ^ pit_speaker_read(&pit, 15085)) & 0x10);
}

TEST(hostile_state)
{
	struct kvm_pit_state2 state;
	bool repeats;

	memset(&state, 0xff, sizeof(state));
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		state.channels[i].count = i ? 0 : 0xffffffff;
	pit_restore(&pit, &state, 77);
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		CHECK_EQ(pit.state.channels[i].count, 0x10000);
		CHECK(pit.state.channels[i].mode <= 5);
		read_word(i, 1234567890123);
	}
	CHECK(pit_interval_ns(&pit, &repeats) < 60000000);
	pit_speaker_read(&pit, 0); /* before it was loaded */
}
