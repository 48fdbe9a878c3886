// SPDX-License-Identifier: MIT
/*
 * Host unit tests: pure code of the project, compiled for this machine under ASan and UBSan.
 *
 * A file tests/host/test_THING.c names what it tests in one of its first lines,
 *	// sources: vmm/thing.c arch/x86/other.c
 * (paths from the top; "// flags: -Ifolder" adds compiler flags to all of them) and holds tests:
 *	TEST(name) { CHECK(ready()); CHECK_EQ(count(), 3); }
 * Each test runs in a process of its own: a failed check ends it at once, and no test sees what
 * another one left in a global. There are no fixtures and no mocks; build fakes out of plain data.
 *
 * Read next: harness.c (main), ../build.mk (how it is built), ../test_host.py (how it is run).
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

/* Adds a test to the list; TEST() does it before main(). */
void test_register(struct test *test);

/* Prints "file:line: ..." in printf's manner and ends the test as failed. */
__attribute__((noreturn, format(printf, 3, 4))) void test_fail(const char *file, int line,
							       const char *format, ...);

#define TEST(id)                                                                                   \
	static void test_run_##id(void);                                                           \
	__attribute__((constructor)) static void test_register_##id(void)                          \
	{                                                                                          \
		static struct test test = {.name = #id, .run = test_run_##id};                     \
		test_register(&test);                                                              \
	}                                                                                          \
	static void test_run_##id(void)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			test_fail(__FILE__, __LINE__, "%s is false", #cond);                       \
	} while (0)

/* Equal integers, pointers or enums of at most 64 bits; prints both values. */
#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);                                   \
		if (a_ != b_)                                                                      \
			test_fail(__FILE__, __LINE__,                                              \
				  "%s is %" PRId64 " (0x%" PRIx64 "), not %s = %" PRId64           \
				  " (0x%" PRIx64 ")",                                              \
				  #a, (int64_t)a_, a_, #b, (int64_t)b_, b_);                       \
	} while (0)

#define CHECK_STREQ(a, b)                                                                          \
	do {                                                                                       \
		const char *a_ = (a), *b_ = (b);                                                   \
		if (strcmp(a_, b_))                                                                \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, a_, b_);     \
	} while (0)

/* Equal bytes; prints the first offset that differs. */
#define CHECK_MEMEQ(a, b, bytes)                                                                   \
	do {                                                                                       \
		const unsigned char *a_ = (const void *)(a), *b_ = (const void *)(b);              \
		for (size_t i_ = 0; i_ < (size_t)(bytes); i_++)                                    \
			if (a_[i_] != b_[i_])                                                      \
				test_fail(__FILE__, __LINE__,                                      \
					  "%s differs from %s at byte %zu: %02x, not %02x", #a,    \
					  #b, i_, a_[i_], b_[i_]);                                 \
	} while (0)
