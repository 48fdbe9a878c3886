// SPDX-License-Identifier: GPL-2.0-only
/* The 8254, see pit.h. A count is where it must be by the clock; nothing ticks. */
#include "pit.h"

#ifdef __KERNEL__
#include <linux/math64.h>
#else
#define mul_u64_u32_div(a, mul, div) ((uint64_t)((unsigned __int128)(a) * (mul) / (div)))
#define div_u64_rem(a, b, rem)	     (*(rem) = (uint32_t)((a) % (b)), (a) / (b))
#endif

#define PIT_HZ	   1193182u
#define NS_PER_SEC 1000000000u
#define REFRESH_NS 15085 /* half a period of the memory refresh, seen at bit 4 of port 61h */
#define FULL_COUNT 0x10000u

#define READ_BACK     3
#define KEEP_COUNT    0x20
#define KEEP_STATUS   0x10
#define SPEAKER_GATE  0x01
#define SPEAKER_DATA  0x02
#define SPEAKER_CLOCK 0x10
#define SPEAKER_OUT   0x20

enum access { LATCH = 0, LOW = 1, HIGH = 2, WORD = 3, WORD_HIGH = 4 };
enum mode { ON_COUNT = 0, ONE_SHOT = 1, RATE = 2, SQUARE = 3, STROBE = 4, HARD_STROBE = 5 };

static uint64_t elapsed(const struct kvm_pit_channel_state *channel, uint64_t now_ns)
{
	return mul_u64_u32_div(now_ns - (uint64_t)channel->count_load_time, PIT_HZ, NS_PER_SEC);
}

static uint32_t phase(const struct kvm_pit_channel_state *channel, uint64_t ticks)
{
	uint32_t rest;

	(void)div_u64_rem(ticks, channel->count, &rest);
	return rest;
}

static uint16_t count_now(const struct kvm_pit_channel_state *channel, uint64_t now_ns)
{
	uint64_t ticks = elapsed(channel, now_ns);

	switch (channel->mode) {
	case RATE:
		return (uint16_t)(channel->count - phase(channel, ticks));
	case SQUARE: /* counts by two, twice in a period */
		return (uint16_t)(channel->count - phase(channel, 2 * ticks));
	default:
		return (uint16_t)(channel->count - ticks);
	}
}

static bool output(const struct kvm_pit_channel_state *channel, uint64_t now_ns)
{
	uint64_t ticks = elapsed(channel, now_ns);

	switch (channel->mode) {
	case ON_COUNT:
	case ONE_SHOT:
		return ticks >= channel->count;
	case RATE:
		return phase(channel, ticks) != channel->count - 1;
	case SQUARE:
		return phase(channel, ticks) < (channel->count + 1) / 2;
	default:
		return ticks != channel->count;
	}
}

static void load(struct kvm_pit_channel_state *channel, uint32_t count, uint64_t now_ns)
{
	channel->count = count ? count : FULL_COUNT;
	channel->count_load_time = (int64_t)now_ns;
}

void pit_reset(struct pit *pit, uint64_t now_ns)
{
	unsigned int i;

	memset(pit, 0, sizeof(*pit));
	for (i = 0; i < PIT_CHANNELS; i++) {
		pit->state.channels[i].mode = SQUARE;
		pit->state.channels[i].gate = i != 2;
		load(&pit->state.channels[i], 0, now_ns);
	}
}

void pit_restore(struct pit *pit, const struct kvm_pit_state2 *state, uint64_t now_ns)
{
	struct kvm_pit_channel_state *channel;

	pit->state = *state;
	pit->speaker = state->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? SPEAKER_DATA : 0;
	for (channel = pit->state.channels; channel < pit->state.channels + PIT_CHANNELS;
	     channel++) {
		if (channel->count > FULL_COUNT)
			channel->count = FULL_COUNT;
		if (channel->mode > HARD_STROBE)
			channel->mode = SQUARE;
		channel->gate = !!channel->gate;
		load(channel, channel->count, now_ns);
	}
}

static void latch_count(struct kvm_pit_channel_state *channel, uint64_t now_ns)
{
	if (channel->count_latched)
		return;
	channel->latched_count = count_now(channel, now_ns);
	channel->count_latched = channel->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *channel, uint64_t now_ns)
{
	if (channel->status_latched)
		return;
	channel->status = (uint8_t)(output(channel, now_ns) << 7 | channel->rw_mode << 4 |
				    channel->mode << 1 | channel->bcd);
	channel->status_latched = 1;
}

static void control(struct pit *pit, uint8_t value, uint64_t now_ns)
{
	struct kvm_pit_channel_state *channel;
	unsigned int access = value >> 4 & 3, mode = value >> 1 & 7, i;

	if (value >> 6 == READ_BACK) {
		for (i = 0; i < PIT_CHANNELS; i++) {
			if (!(value & 2u << i))
				continue;
			if (!(value & KEEP_COUNT))
				latch_count(&pit->state.channels[i], now_ns);
			if (!(value & KEEP_STATUS))
				latch_status(&pit->state.channels[i], now_ns);
		}
		return;
	}
	channel = &pit->state.channels[value >> 6];
	if (access == LATCH) {
		latch_count(channel, now_ns);
		return;
	}
	channel->rw_mode = channel->read_state = channel->write_state = (uint8_t)access;
	channel->mode = (uint8_t)(mode > HARD_STROBE ? mode - 4 : mode);
	channel->bcd = value & 1;
	channel->count_latched = channel->status_latched = 0;
}

bool pit_write(struct pit *pit, unsigned int reg, uint8_t value, uint64_t now_ns)
{
	struct kvm_pit_channel_state *channel = &pit->state.channels[reg % PIT_CHANNELS];

	if (reg >= PIT_CHANNELS) {
		control(pit, value, now_ns);
		return false;
	}
	switch (channel->write_state) {
	case LOW:
		load(channel, value, now_ns);
		break;
	case HIGH:
		load(channel, (uint32_t)value << 8, now_ns);
		break;
	case WORD:
		channel->write_latch = value;
		channel->write_state = WORD_HIGH;
		return false;
	case WORD_HIGH:
		load(channel, channel->write_latch | (uint32_t)value << 8, now_ns);
		channel->write_state = WORD;
		break;
	default:
		return false;
	}
	return reg == 0;
}

/* One byte of a count, as *state says, which moves on to the other half of a word. */
static uint8_t byte_of(uint16_t count, uint8_t *state, uint8_t after_word)
{
	switch (*state) {
	case WORD:
		*state = WORD_HIGH;
		return (uint8_t)count;
	case WORD_HIGH:
		*state = after_word;
		return (uint8_t)(count >> 8);
	case HIGH:
		return (uint8_t)(count >> 8);
	default:
		return (uint8_t)count;
	}
}

uint8_t pit_read(struct pit *pit, unsigned int reg, uint64_t now_ns)
{
	struct kvm_pit_channel_state *channel = &pit->state.channels[reg % PIT_CHANNELS];
	uint8_t value;

	if (reg >= PIT_CHANNELS)
		return 0;
	if (channel->status_latched) {
		channel->status_latched = 0;
		return channel->status;
	}
	if (channel->count_latched) {
		value = byte_of(channel->latched_count, &channel->count_latched, LATCH);
		if (channel->count_latched != WORD_HIGH)
			channel->count_latched = LATCH;
		return value;
	}
	return byte_of(count_now(channel, now_ns), &channel->read_state, WORD);
}

uint8_t pit_speaker_read(const struct pit *pit, uint64_t now_ns)
{
	const struct kvm_pit_channel_state *channel = &pit->state.channels[2];
	uint32_t rest;
	uint64_t half = div_u64_rem(now_ns, REFRESH_NS, &rest);

	return (uint8_t)(pit->speaker | channel->gate | (half & 1 ? SPEAKER_CLOCK : 0) |
			 (output(channel, now_ns) ? SPEAKER_OUT : 0));
}

void pit_speaker_write(struct pit *pit, uint8_t value, uint64_t now_ns)
{
	struct kvm_pit_channel_state *channel = &pit->state.channels[2];
	uint8_t gate = value & SPEAKER_GATE;

	pit->speaker = value & SPEAKER_DATA;
	/* A rising gate starts the count in the modes that a gate triggers. */
	if (gate && !channel->gate && channel->mode != ON_COUNT && channel->mode != STROBE)
		channel->count_load_time = (int64_t)now_ns;
	channel->gate = gate;
}

uint64_t pit_interval_ns(const struct pit *pit, bool *repeats)
{
	const struct kvm_pit_channel_state *channel = &pit->state.channels[0];

	*repeats = channel->mode == RATE || channel->mode == SQUARE;
	/* Counter 0's gate is tied high: what only a gate starts never ends. */
	if (channel->mode == ONE_SHOT || channel->mode == HARD_STROBE)
		return 0;
	return mul_u64_u32_div(channel->count, NS_PER_SEC, PIT_HZ);
}
