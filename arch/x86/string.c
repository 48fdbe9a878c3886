// SPDX-License-Identifier: MIT
/*
 * Moving and filling memory with the processor's own string instructions, which are as fast as any
 * loop without vector registers. The other string functions are newlib's.
 */
#include <string.h>
#include <types.h>

#define REP(insn, to, from, n)                                                                     \
	__asm__ volatile("rep " insn : "+D"(to), "+S"(from), "+c"(n)::"memory")

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	void *p = to;
	size_t words = n / 8;

	n %= 8;
	REP("movsq", p, from, words);
	REP("movsb", p, from, n);
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	char *p = to;
	const char *q = from;

	if ((uint64_t)to - (uint64_t)from >= n)
		return memcpy(to, from, n);
	p += n - 1;
	q += n - 1;
	__asm__ volatile("std\nrep movsb\ncld" : "+D"(p), "+S"(q), "+c"(n)::"memory");
	return to;
}

void *memset(void *to, int c, size_t n)
{
	void *p = to;
	uint64_t word = (uint8_t)c * (~UINT64_C(0) / 255);
	size_t words = n / 8;

	n %= 8;
	__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(word) : "memory");
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(word) : "memory");
	return to;
}
