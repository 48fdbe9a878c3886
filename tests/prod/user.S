// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that makes a hypercall from user space (its exit code 0 would say that it worked):
 * the hypervisor must answer with #UD, so Linux ends it by SIGILL.
 */
#include <asm/unistd_64.h>

	.globl _start
_start:
	xor %eax, %eax
	vmcall
	mov $__NR_exit, %eax
	xor %edi, %edi
	syscall
	.section .note.GNU-stack, "", @progbits
