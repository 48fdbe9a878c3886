// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 timer of a PC: three counters at ports 40h-43h, and port 61h with the second one's gate
 * and output (the speaker, and what calibration loops look at).
 *
 * Pure: state is KVM's own structure, time comes in as nanoseconds. Counter 0's interrupt is
 * irqchip_pit.c's. Source: Intel 82C54 data sheet. Counts are binary: BCD is kept but not acted on.
 */
#pragma once

#include <linux/kvm.h>

#include "pure.h"

#define PIT_PORT     0x40
#define PIT_CHANNELS 3
#define SPEAKER_PORT 0x61

struct pit {
	struct kvm_pit_state2 state;
	uint8_t speaker; /* bit 1: speaker data, as written */
};

void pit_reset(struct pit *pit, uint64_t now_ns);

/* Takes a state from outside, made harmless; all counters start with it. */
void pit_restore(struct pit *pit, const struct kvm_pit_state2 *state, uint64_t now_ns);

uint8_t pit_read(struct pit *pit, unsigned int reg, uint64_t now_ns);

/* True when counter 0 starts anew. */
bool pit_write(struct pit *pit, unsigned int reg, uint8_t value, uint64_t now_ns);

uint8_t pit_speaker_read(const struct pit *pit, uint64_t now_ns);
void pit_speaker_write(struct pit *pit, uint8_t value, uint64_t now_ns);

/* Nanoseconds from counter 0's start to its interrupt, and whether it repeats. 0: never. */
uint64_t pit_interval_ns(const struct pit *pit, bool *repeats);
