// SPDX-License-Identifier: MIT
/*
 * The first instructions of a started processor.
 *
 * arch/x86/smp.c copies this page below 1 MiB and fills in the variables at its end. SIPI enters it in
 * real mode; paging, long mode and protection are switched on in one write of CR0, on the final page
 * tables, which show this page at its physical address (executable, not writable) until boot ends.
 */
#include <x86/layout.h>

	.section .rodata
	.balign 16
	.globl ap_trampoline, ap_trampoline_end
	.globl ap_gdt_base, ap_jump, ap_cr3, ap_stack, ap_cpu, ap_entry, ap_long
	.code16
ap_trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdtr - ap_trampoline
	movl	$0x20, %eax /* PAE */
	movl	%eax, %cr4
	movl	ap_cr3 - ap_trampoline, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	movl	$0x900, %eax /* LME, NXE */
	xorl	%edx, %edx
	wrmsr
	movl	$0x80010033, %eax
	movl	%eax, %cr0
	ljmpl	*(ap_jump - ap_trampoline)

	.code64
ap_long:
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movq	ap_stack(%rip), %rsp
	movq	ap_cpu(%rip), %rdi
	xorl	%ebp, %ebp
	call	*ap_entry(%rip)
1:	hlt
	jmp	1b

	.balign 16
ap_gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
ap_gdtr:
	.short	. - ap_gdt - 1
ap_gdt_base:
	.long	ap_gdt - ap_trampoline
	.balign 8
ap_jump:
	.long	ap_long - ap_trampoline
	.short	SEL_CODE
	.balign 8
ap_cr3:	.quad 0
ap_stack: .quad 0
ap_cpu:	.quad 0
ap_entry: .quad ap_main
ap_trampoline_end:

	.section .note.GNU-stack, "", @progbits
