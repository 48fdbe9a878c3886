/* SPDX-License-Identifier: MIT */
/* PVH entry of guest.c: 32-bit, flat, paging off. */
	.section .note.Xen, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long _start

	.text
	.globl _start
_start:	rdtsc
	mov $stack_end, %esp
	push %ebx /* struct hvm_start_info */
	push %eax
	call bench_main

	.bss
	.balign 16
	.space 4096
stack_end:
	.section .note.GNU-stack, "", @progbits
