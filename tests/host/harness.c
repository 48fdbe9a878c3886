// SPDX-License-Identifier: MIT
/*
 * main() of every host test program: --list prints the tests' names, NAME runs that one,
 * no argument runs all of them, each in a child process. Exit code 0 means that all passed.
 */
#include "test.h"

#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

static struct test *tests;

void test_register(struct test *test)
{
	struct test **end = &tests;

	while (*end)
		end = &(*end)->next;
	*end = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static bool passes_in_child(const struct test *test)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		test->run();
		exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static int run_all(void)
{
	int failed = 0, count = 0;

	for (const struct test *test = tests; test; test = test->next, count++) {
		bool passed = passes_in_child(test);

		printf("%s %s\n", passed ? "ok  " : "FAIL", test->name);
		failed += !passed;
	}
	return failed || !count;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return run_all();
	for (const struct test *test = tests; test; test = test->next) {
		if (!strcmp(argv[1], "--list")) {
			puts(test->name);
		} else if (!strcmp(argv[1], test->name)) {
			test->run();
			return 0;
		}
	}
	if (!strcmp(argv[1], "--list"))
		return 0;
	fprintf(stderr, "no test is named %s\n", argv[1]);
	return 2;
}
