// SPDX-License-Identifier: MIT
/*
 * The way into exception handlers: one stub of ISR_STUB_BYTES per vector (the interrupt table
 * below counts on the distance), then one common path that builds struct trap_frame
 * (arch/x86/exceptions.h) and calls trap_handle(). The hypervisor never enables interrupts and has no user mode.
 */
#include <x86/layout.h>

#define HAS_ERROR_CODE 0x60227d00 /* vectors 8, 10-14, 17, 21, 29, 30 */

	.section .isr, "ax"
	.balign ISR_STUB_BYTES
	.globl isr_stubs
isr_stubs:
	.set	vector, 0
	.rept	IDT_VECTORS
	.balign ISR_STUB_BYTES, 0xcc
	.if	!((HAS_ERROR_CODE >> vector) & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	isr_common
	.set	vector, vector + 1
	.endr

	.text
	.balign 16
isr_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbx
	andq	$-16, %rsp
	call	trap_handle
	movq	%rbx, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

	.section .rodata
	/* interrupt gates: handlers of fixed size; the linker script takes their address apart */
	.balign 16
	.globl idt
idt:	.set	vector, 0
	.rept	IDT_VECTORS
	.short	isr_low + ISR_STUB_BYTES * vector, SEL_CODE, 0x8e00, isr_middle
	.long	IMAGE_BASE >> 32, 0
	.set	vector, vector + 1
	.endr

	.text
	/* void stack_switch(void *top, void (*fn)(void *), void *arg): run @fn(@arg) on another stack, for good */
	.globl stack_switch
stack_switch:
	movq	%rdi, %rsp
	movq	%rdx, %rdi
	xorl	%ebp, %ebp
	call	*%rsi
	ud2

	.section .note.GNU-stack, "", @progbits
