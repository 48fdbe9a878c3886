// SPDX-License-Identifier: MIT
/*
 * Writes the filter of the device model's system calls as initializers of struct sock_filter to
 * standard output. A tool of the build; sandbox_filter.c includes what it writes.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "rules.h"

#define LOAD(field)	       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped)

/* Before all others: ioctl(KVM_RUN), which each exit to the device model passes. The lower half of
 * the request, as the kernel takes it. */
static const struct sock_filter first[] = {
	LOAD(arch),
	UNLESS(AUDIT_ARCH_X86_64, 5),
	LOAD(nr),
	UNLESS(__NR_ioctl, 3),
	LOAD(args[1]),
	UNLESS(KVM_RUN, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static void print(const struct sock_filter *insn)
{
	printf("{0x%x, %u, %u, 0x%x},\n", insn->code, insn->jt, insn->jf, insn->k);
}

int main(void)
{
	FILE *program = tmpfile();
	struct sock_filter insn;
	int error;

	if (!program) {
		fprintf(stderr, "filter: no temporary file: %s\n", strerror(errno));
		return 1;
	}
	error = sandbox_rules_export(fileno(program));
	if (error) {
		fprintf(stderr, "filter: %s\n", strerror(-error));
		return 1;
	}
	rewind(program);
	for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		print(&first[i]);
	while (fread(&insn, sizeof(insn), 1, program) == 1)
		print(&insn);
	return fflush(stdout) || ferror(program) ? 1 : 0;
}
