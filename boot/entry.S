// SPDX-License-Identifier: MIT
/*
 * From the boot loader's jump to C in the high half.
 *
 * A Multiboot2 loader enters entry32 in 32-bit protected mode, paging off, with the information block
 * in EBX. The image may lie at any multiple of 2 MiB (the header's relocatable tag asks for the highest), so
 * this code first learns where it is, loads the interrupt table (arch/x86/isr.S), builds early page tables and jumps to hv_main(). The early tables map
 * the low 4 GiB three times: at 0 (for the jump), at HEAP_BASE and at BOOT_BASE (arch/x86/layout.h), and the image's 2 MiB at
 * its link address. arch/x86/paging.c replaces them all.
 *
 * Nothing here may fault before the interrupt table is loaded: what is not sure is checked, and the
 * person in front of the machine gets a sentence on serial line and text screen.
 */
#include <x86/layout.h>

#define MB2_HEADER_MAGIC 0xe85250d6
#define MB2_LOADER_MAGIC 0x36d76289
#define MB2_HEADER_BYTES (header_end - header)
#define IMAGE_ALIGN	 0x200000
#define DYING_STACK	 0x7c00 /* conventional memory, whatever loaded us */

	.section .mb2_header, "a"
	.balign 8
header:
	.long MB2_HEADER_MAGIC, 0, MB2_HEADER_BYTES
	.long 0x100000000 - (MB2_HEADER_MAGIC + MB2_HEADER_BYTES)

	.balign 8
	.short 1, 0 /* information request: memory map */
	.long 12, 6
	.balign 8
	.short 5, 1 /* framebuffer, optional, no preference */
	.long 20, 0, 0, 0
	.balign 8
	.short 6, 1 /* align modules to pages */
	.long 8
	.balign 8
	.short 10, 0 /* relocatable: anywhere from 2 MiB up, the highest place preferred */
	.long 24, 0x200000, 0xfffffffe, IMAGE_ALIGN, 2
	.balign 8
	.short 0, 0
	.long 8
header_end:

	.text
	.code32
	.globl entry32
entry32:
	cli
	cld
	cmp	$MB2_LOADER_MAGIC, %eax
	jne	bad_loader
	leal	8(%ebx), %esp /* the block's reserved word is our first stack */
	call	1f
1:	popl	%ebp
	subl	$(1b - IMAGE_BASE), %ebp /* EBP: physical address of the image, to the end */
	leal	(boot_stack_top - IMAGE_BASE)(%ebp), %esp
	movl	%ebx, %edi

	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	no_long_mode
	movl	$0x80000001, %eax
	cpuid
	bt	$29, %edx
	jnc	no_long_mode
	bt	$20, %edx
	jnc	no_nx

	/* early page tables */
	leal	(early_pds - IMAGE_BASE)(%ebp), %ebx
	movl	$0x83, %eax /* present, writable, 2 MiB */
	movl	$(4 * 512), %ecx
3:	movl	%eax, (%ebx)
	addl	$8, %ebx
	addl	$0x200000, %eax
	loop	3b
	leal	(early_pds - IMAGE_BASE + 3)(%ebp), %eax
	leal	(early_pdpt_low - IMAGE_BASE)(%ebp), %ebx
	movl	$4, %ecx
4:	movl	%eax, (%ebx)
	addl	$8, %ebx
	addl	$0x1000, %eax
	loop	4b
	leal	(early_pml4 - IMAGE_BASE)(%ebp), %esi
	leal	(early_pdpt_low - IMAGE_BASE + 3)(%ebp), %eax
	movl	%eax, (%esi)
	movl	%eax, (8 * HEAP_SLOT)(%esi)
	movl	%eax, (8 * BOOT_SLOT)(%esi)
	leal	(early_pdpt_high - IMAGE_BASE + 3)(%ebp), %eax
	movl	%eax, (8 * IMAGE_SLOT)(%esi)
	leal	(early_pd_high - IMAGE_BASE + 3)(%ebp), %eax
	movl	%eax, (early_pdpt_high - IMAGE_BASE + 8 * 510)(%ebp)
	leal	0x83(%ebp), %eax
	movl	%eax, (early_pd_high - IMAGE_BASE)(%ebp)

	/* tables of descriptors, by physical address up to cpu_load_tables() */
	leal	(boot_idtr - IMAGE_BASE)(%ebp), %eax
	addl	%ebp, 2(%eax)
	lidt	(%eax)
	leal	(boot_gdtr - IMAGE_BASE)(%ebp), %eax
	addl	%ebp, 2(%eax)
	lgdt	(%eax)

	/* long mode: PAE; LME and NXE; PG, WP, NE, ET, MP, PE */
	movl	$0x20, %eax
	movl	%eax, %cr4
	movl	%esi, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x900, %eax
	wrmsr
	movl	$0x80010033, %eax
	movl	%eax, %cr0
	leal	(entry64 - IMAGE_BASE)(%ebp), %eax
	pushl	$SEL_CODE
	pushl	%eax
	lret

	.code64
entry64:
	movabsq	$5f, %rax
	jmp	*%rax
5:	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	$boot_stack_top, %rsp
	movl	%edi, %edi
	movl	%ebp, %esi
	xorl	%ebp, %ebp /* the end of every backtrace */
	call	hv_main
6:	hlt
	jmp	6b

	.code32
bad_loader:
	movl	$DYING_STACK, %esp
	call	7f
7:	popl	%ebp
	subl	$(7b - IMAGE_BASE), %ebp
	movl	$(msg_loader - IMAGE_BASE), %esi
	jmp	die
no_long_mode:
	movl	$(msg_long_mode - IMAGE_BASE), %esi
	jmp	die
no_nx:
	movl	$(msg_nx - IMAGE_BASE), %esi
	/* ESI: offset of a message; print it on COM1 and the text screen, then halt. No stack used. */
die:
	addl	%ebp, %esi
	leal	(uart_setup - IMAGE_BASE)(%ebp), %ebx
7:	movw	(%ebx), %dx
	movb	2(%ebx), %al
	outb	%al, %dx
	addl	$3, %ebx
	cmpb	$3, %al
	jne	7b
	movl	$0xb8000, %edi
8:	lodsb
	testb	%al, %al
	jz	11f
	movb	%al, (%edi)
	movb	$0x4f, 1(%edi)
	addl	$2, %edi
	movb	%al, %bl
	movl	$100000, %ecx /* no UART: do not wait for ever */
	movw	$0x3fd, %dx
9:	inb	%dx, %al
	testb	$0x20, %al
	jnz	10f
	loop	9b
10:	movb	%bl, %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	jmp	8b
11:	hlt
	jmp	11b

	.section .rodata
uart_setup: /* 8 bits, no parity; 115200 baud: port, value */
	.byte	0xfb, 3, 0x83, 0xf8, 3, 1, 0xf9, 3, 0, 0xfb, 3, 3
msg_loader:
	.asciz "Hornero: not started by a Multiboot2 loader. Use GRUB 2's command 'multiboot2'.\r\n"
msg_long_mode:
	.asciz "Hornero: this processor has no 64-bit mode. A 64-bit Intel processor with VT-x is needed.\r\n"
msg_nx:
	.asciz "Hornero: this processor has no execute-disable bit, or the firmware hides it. Enable it in the set-up.\r\n"

	.balign 16
	.globl boot_gdt
boot_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdt_end:
boot_gdtr:
	.short	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt - IMAGE_BASE
boot_idtr:
	.short	16 * IDT_VECTORS - 1
	.long	idt - IMAGE_BASE
	.section .bss
	.balign 4096
	.globl early_pml4
early_pml4:	.skip 4096
early_pdpt_low:	.skip 4096
early_pdpt_high: .skip 4096
early_pd_high:	.skip 4096
early_pds:	.skip 4 * 4096
boot_stack:	.skip 16384
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
