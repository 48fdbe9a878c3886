// SPDX-License-Identifier: MIT
/*
 * Writes the filter of the device model's system calls as initializers of struct sock_filter to
 * standard output. A tool of the build; sandbox_filter.c includes what it writes.
 */
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>

#include "rules.h"

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
	while (fread(&insn, sizeof(insn), 1, program) == 1)
		printf("{0x%x, %u, %u, 0x%x},\n", insn.code, insn.jt, insn.jf, insn.k);
	return fflush(stdout) || ferror(program) ? 1 : 0;
}
