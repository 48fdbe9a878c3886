// SPDX-License-Identifier: MIT
// sources:
/*
 * The harness itself: a check that does not hold must end the test with exit code 1. The failing
 * checks run in children of this test; the sanitizers' own exit codes are seen the same way.
 */
#include "test.h"

#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int limit = INT_MAX;

static void false_check(void)
{
	CHECK(limit == 0);
}

static void unequal(void)
{
	CHECK_EQ(limit, 3);
}

static void other_string(void)
{
	CHECK_STREQ("one", "two");
}

static void other_bytes(void)
{
	CHECK_MEMEQ("abc", "abd", 3);
}

static void overflow(void)
{
	limit = limit + 1;
}

static void beyond_the_end(void)
{
	volatile char *bytes = malloc(8);

	bytes[limit & 8] = 1;
}

static bool ends_badly(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			exit(0);
		body();
		exit(0);
	}
	return waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(false_checks_end_a_test)
{
	CHECK(ends_badly(false_check));
	CHECK(ends_badly(unequal));
	CHECK(ends_badly(other_string));
	CHECK(ends_badly(other_bytes));
}

TEST(true_checks_pass)
{
	CHECK(limit == INT_MAX);
	CHECK_EQ(limit, INT_MAX);
	CHECK_STREQ("one", "one");
	CHECK_MEMEQ("abc", "abd", 2);
}

TEST(sanitizers_end_a_test)
{
	CHECK(ends_badly(overflow));
	CHECK(ends_badly(beyond_the_end));
}
