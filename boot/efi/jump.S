// SPDX-License-Identifier: MIT
/*
 * The way down from 64-bit mode: the firmware's tables map memory one to one, so paging can be
 * switched off in a page below 4 GiB, on which this code and its descriptors lie. Where the caller's
 * stack is does not matter: nothing is on it when the 32-bit part begins.
 * Source: SDM 3A "Switching Out of IA-32e Mode Operation", Multiboot2 "I386 machine state".
 */
#define MB2_LOADER_MAGIC 0x36d76289
#define CR4_KEPT	 0x1020 /* PAE, 5-level paging: cannot change while paging is on */
#define SEL_CODE32	 8
#define SEL_DATA32	 16

	.text
	.code64
	.globl jump_to
jump_to:
	cli
	cld
	movl	%edx, %ebx
	movl	%esi, %ebp
	movq	%rdi, %rax
	leaq	jump_code(%rip), %rsi
	movl	$(jump_code_end - jump_code), %ecx
	rep	movsb
	jmp	*%rax

	.balign 16
	.globl jump_code, jump_code_end
jump_code:
	leaq	gdt(%rip), %rax
	subq	$16, %rsp
	movw	$(gdt_end - gdt - 1), (%rsp)
	movq	%rax, 2(%rsp)
	lgdt	(%rsp)
	movq	%cr4, %rax
	andl	$CR4_KEPT, %eax
	movq	%rax, %cr4
	leaq	1f(%rip), %rax
	pushq	$SEL_CODE32
	pushq	%rax
	lretq

	.code32
1:	movl	$SEL_DATA32, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax /* paging off */
	movl	%eax, %cr0
	movl	$0xc0000080, %ecx
	rdmsr
	andl	$0xfffffeff, %eax /* IA32_EFER.LME off */
	wrmsr
	movl	$MB2_LOADER_MAGIC, %eax
	jmp	*%ebp

	.balign 8
gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_end:
jump_code_end:

	.section .note.GNU-stack, "", @progbits
