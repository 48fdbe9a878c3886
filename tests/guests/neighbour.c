// SPDX-License-Identifier: MIT
/*
 * A quiet guest. First it looks through all its memory: whatever is not zero and not its own was
 * left behind by somebody. Then it fills that memory with a pattern of its own ("seed=N") and
 * checks it again and again, so that a write by anybody else is found: for a while, or until it is
 * killed ("forever"). It leaves the pattern behind on purpose, for the next guest to look for.
 */
#include "guest.h"

#define ROUNDS	    20
#define ROUNDS_LINE 50
#define STEP	    64 /* one word in each cache line */

extern char image_end[];

static uint64_t from, to;

static void scan(void)
{
	uint64_t left = (to - from) / 8, at = from;
	bool zero;

	asm volatile("cld; cmp %%rax, %%rax; repe scasq"
		     : "+D"(at), "+c"(left), "=@ccz"(zero)
		     : "a"(0)
		     : "memory");
	report(zero, "memory starts as zero, %u words, the last looked at %x", (to - from) / 8,
	       at - 8);
}

static uint64_t check(uint64_t seed)
{
	uint64_t wrong = 0;

	for (uint64_t at = from; at < to; at += STEP)
		wrong += *(volatile uint64_t *)at != (at ^ seed);
	return wrong;
}

/* One line for many rounds, without an end; the first word that changes is told at once. */
static _Noreturn void check_forever(uint64_t seed)
{
	uint64_t wrong = 0;

	for (uint64_t round = 1;; round++) {
		wrong += check(seed);
		if (wrong || round % ROUNDS_LINE == 0)
			report(!wrong, "round %u: %u words are not the pattern", round, wrong);
		if (wrong)
			finish();
	}
}

static bool asked_for(const char *what)
{
	const char *s = guest_cmdline;

	while (*what && *s == *what)
		s++, what++;
	return !*what;
}

void guest_main(void)
{
	uint64_t seed = 0x9e3779b97f4a7c15, wrong;

	for (const char *s = guest_cmdline; *s; s++)
		seed = seed * 31 + (uint8_t)*s;
	from = ((uint64_t)image_end + 4095) & ~UINT64_C(4095);
	to = ram_end;
	report(to > from, "memory from %x to %x", from, to);
	if (under_hypervisor)
		scan();
	for (uint64_t at = from; at < to; at += STEP)
		*(volatile uint64_t *)at = at ^ seed;
	if (asked_for("forever"))
		check_forever(seed);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		wrong = check(seed);
		report(!wrong, "round %u: pattern is whole, %u words are not", (uint64_t)i, wrong);
	}
}
