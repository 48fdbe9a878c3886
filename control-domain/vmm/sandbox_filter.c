// SPDX-License-Identifier: MIT
/*
 * From here on the device model makes only the system calls that filter/rules.c allows; another one
 * ends it. The program that decides was written by libseccomp when this was built.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

static struct sock_filter program[] = {
#include "filter_program.h"
};

int sandbox_close(struct reason *why)
{
	const struct sock_fprog all = {.filter = program,
				       .len = sizeof(program) / sizeof(program[0])};
	long result;

	/* The kernel asks for this from those without privileges; sandbox_enter() has done it. */
	result = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!result)
		result = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
				 &all);
	if (result > 0)
		return reason_set(why, "sandbox: system call filter: thread %ld has another one",
				  result);
	if (result)
		return reason_set(why, "sandbox: system call filter: %s", strerror(errno));
	return 0;
}
