// SPDX-License-Identifier: MIT
/*
 * Marks that the emulator writes into its log, from any privilege level and any guest, without an
 * exit: text by port E9h as bytes; a 32-bit value there prints all that was counted since the last
 * one, and counts anew (tests/bochs/cost.patch).
 */
#pragma once

#define MARK_PORT 0xe9

enum {
	MARK_BATCH = 1, /* a batch of rounds has ended */
	MARK_ANEW,	/* only starts to count */
	MARK_HERE,	/* the guest's first instruction, or a point that a row ends at */
	MARK_END,
};

static inline void mark(unsigned int label)
{
	__asm__ volatile("outl %0, %1" ::"a"(label), "d"((unsigned short)MARK_PORT) : "memory");
}

static inline void mark_text(const char *s)
{
	while (*s)
		__asm__ volatile("outb %0, %1" ::"a"(*s++), "d"((unsigned short)MARK_PORT));
}
