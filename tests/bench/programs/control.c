// SPDX-License-Identifier: MIT
/*
 * What a control domain does all day, counted: run with and without the hypervisor beneath, on an
 * emulator whose time-stamp counter counts instructions. One line a row: name, ticks for all
 * rounds; and marks around each (mark.h). "run COMMAND" puts them around a command; as process 1 it
 * says with one that the system has come up to it, and becomes /init.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mark.h"

#define TOUCH_BYTES (32ul << 20)
#define PAGE_BYTES  4096
#define CPUIDS	    1000

static uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static void getppids(void)
{
	for (int i = 0; i < 10000; i++)
		syscall(SYS_getppid);
}

static void touch(void)
{
	char *p =
		mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Large pages come or not as memory is fragmented: not what is asked here. */
	if (p == MAP_FAILED || madvise(p, TOUCH_BYTES, MADV_NOHUGEPAGE))
		exit(1);
	for (size_t i = 0; i < TOUCH_BYTES; i += PAGE_BYTES)
		p[i] = 1;
	munmap(p, TOUCH_BYTES);
}

static void forks(void)
{
	for (int i = 0; i < 100; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
}

/* Each exec of a glibc program asks CPUID some 60 times. */
static void execs(void)
{
	for (int i = 0; i < 100; i++) {
		pid_t child = fork();

		if (child == 0) {
			execl("/proc/self/exe", "bench", "nothing", NULL);
			_exit(1);
		}
		waitpid(child, NULL, 0);
	}
}

static void cpuids(void)
{
	for (int i = 0; i < CPUIDS; i++) {
		unsigned int a = 0, c = 0;

		__asm__ volatile("cpuid" : "+a"(a), "+c"(c) : : "ebx", "edx");
	}
}

static void pipes(void)
{
	int there[2], back[2];
	char c = 'x';

	if (pipe(there) || pipe(back))
		exit(1);
	if (fork() == 0) {
		for (int i = 0; i < 1000; i++)
			if (read(there[0], &c, 1) != 1 || write(back[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 1000; i++)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			exit(1);
	wait(NULL);
}

/*
 * One run of a program, from fork to its end; what it prints is thrown away. All on one CPU: the
 * others' time stamps go on meanwhile, and so would ours while one of them is woken.
 */
static int count_program(char **argv)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	if (sched_setaffinity(0, sizeof(here), &here))
		return 1;
	for (int round = 0; round < 2; round++) { /* the first one warms */
		uint64_t start = ticks();
		pid_t child = fork();
		int status;

		if (child == 0) {
			if (!freopen("/dev/null", "w", stdout))
				_exit(126);
			execvp(argv[0], argv);
			_exit(127);
		}
		if (waitpid(child, &status, 0) != child || status)
			return 1;
		if (round)
			printf("%llu\n", (unsigned long long)(ticks() - start));
	}
	return 0;
}

static void mark_row(const char *name)
{
	mark_text("row ");
	mark_text(name);
	mark_text(" 1\n");
	mark(MARK_ANEW);
}

/* A command between marks: all that it causes, and what it leaves to be cleaned. */
static int run(char **command)
{
	pid_t child;
	int status;

	mark(MARK_ANEW);
	child = fork();
	if (child == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	waitpid(child, &status, 0);
	mark(MARK_END);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} rows[] = {{"getppid_x10000", getppids}, {"touch_32MiB", touch}, {"fork_wait_x100", forks},
		    {"exec_x100", execs},	  {"pipe_x1000", pipes},  {"cpuid_x1000", cpuids}};

	if (getpid() == 1) {
		mark(MARK_HERE);
		execv("/init", argv);
		return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc > 2 && !strcmp(argv[1], "count"))
		return count_program(argv + 2);
	if (argc > 2 && !strcmp(argv[1], "run"))
		return run(argv + 2);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t start;

		if (argc > 2 && !strcmp(argv[1], "once")) {
			if (!strcmp(argv[2], rows[i].name))
				rows[i].run();
			continue;
		}
		rows[i].run(); /* warm */
		mark_row(rows[i].name);
		start = ticks();
		rows[i].run();
		mark(MARK_BATCH);
		printf("%s %llu\n", rows[i].name, (unsigned long long)(ticks() - start));
	}
	return 0;
}
