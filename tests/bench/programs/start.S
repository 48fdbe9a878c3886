/* SPDX-License-Identifier: MIT */
/* PVH entry of guest.c: 32-bit, flat, paging off. Its first instructions are the mark that ends the
 * VM's creation (MARK_HERE of mark.h). */
	.section .note.Xen, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long _start

	.text
	.globl _start
_start:	mov $3, %eax
	mov $0xe9, %edx
	out %eax, %dx
	mov $stack_end, %esp
	push %ebx /* struct hvm_start_info */
	push $0
	call bench_main

	.bss
	.balign 16
	.space 4096
stack_end:
	.section .note.GNU-stack, "", @progbits
