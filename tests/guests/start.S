// SPDX-License-Identifier: MIT
/*
 * Entry of a test guest, from a PVH loader or from Multiboot2: both arrive in flat 32-bit mode
 * without paging. Identity-maps 4 GiB for everyone (user mode too), switches to 64-bit mode and
 * calls guest_start(). Then the exception stubs, and the code that a started processor runs.
 */
#define MB2_MAGIC 0xe85250d6
#define STACK_BYTES 16384

	.section .boot, "ax"
	.align 8
mb2:	.long MB2_MAGIC, 0, mb2_end - mb2, -(MB2_MAGIC + 0 + (mb2_end - mb2))
	.word 0, 0
	.long 8
mb2_end:

	.section .note.pvh, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long start32

	.section .boot, "ax"
	.code32
	.globl start32
start32:
	cli
	cld
	mov	$stack_end, %esp
	mov	%eax, boot_magic
	mov	%ebx, boot_info
	/* page_directory: 2048 entries of 2 MiB, present, writable, user */
	mov	$page_directory, %edi
	mov	$0x87, %eax
1:	mov	%eax, (%edi)
	movl	$0, 4(%edi)
	add	$8, %edi
	add	$0x200000, %eax
	jnc	1b
	mov	$page_directory + 7, %eax
	mov	$pdpt, %edi
	mov	$4, %ecx
2:	mov	%eax, (%edi)
	add	$8, %edi
	add	$4096, %eax
	loop	2b
	movl	$pdpt + 7, pml4
	call	enter_long
	.code64
	mov	$stack_end, %rsp
	call	guest_start
3:	cli
	hlt
	jmp	3b

	/* Returns in 64-bit mode; flat 32-bit mode before. Uses EAX, ECX, EDX. */
	.globl enter_long
	.code32
enter_long:
	pop	%edx
	lgdt	gdt_pointer
	mov	$0x20, %eax
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	%edx, %esi
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x900, %eax		/* LME, NXE */
	wrmsr
	mov	%cr0, %eax
	and	$0x9fffffff, %eax	/* caches on */
	or	$0x80010021, %eax	/* PG, WP, NE, PE */
	mov	%eax, %cr0
	ljmp	$0x08, $1f
	.code64
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%esi, %esi
	jmp	*%rsi

	/* Copied to a page below 1 MiB: where a start-up IPI sends a processor. */
	.globl ap_trampoline, ap_trampoline_end
	.code16
ap_trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x40, $ap_start32
ap_gdt_pointer:
	.word	0x7f
	.long	gdt
ap_trampoline_end:
	.code32
ap_start32:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$1, %eax
	lock xadd %eax, ap_tickets
	inc	%eax
	imul	$STACK_BYTES, %eax
	lea	ap_stacks(%eax), %esp
	mov	%esp, %ebp
	call	enter_long
	.code64
	mov	%ebp, %ebp
	mov	%rbp, %rsp
	call	guest_start_ap
4:	cli
	hlt
	jmp	4b

	.text
	/* Stubs, 16 bytes each: error code (or 0), vector, common part. */
	.globl stubs
	.align 16
stubs:
	vector = 0
	.rept 256
	.align 16
	.if vector > 31 || !((0x60227d00 >> (vector & 31)) & 1)
	push	$0
	.endif
	push	$vector
	jmp	common
	vector = vector + 1
	.endr

common:	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	cld
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	guest_trap
	mov	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

	/* uint64_t in_user_mode(void *code): runs code at CPL 3; comes back by INT 80h, or by any
	 * fault while fault_resume names user_return. RAX is the result. */
	.globl in_user_mode, user_return
in_user_mode:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, user_rsp(%rip)
	movq	$user_return, fault_resume(%rip)
	push	$0x23
	push	$user_stack_end
	push	$0x2
	push	$0x2b
	push	%rdi
	iretq
user_return:
	movq	$0, fault_resume(%rip)
	mov	user_rsp(%rip), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.data
	.align 16
	.globl gdt
gdt:	.quad 0
	.quad 0x00af9b000000ffff	/* 08: code, 64-bit */
	.quad 0x00cf93000000ffff	/* 10: data */
	.quad 0x00cffb000000ffff	/* 18: user code, 32-bit */
	.quad 0x00cff3000000ffff	/* 20: user data */
	.quad 0x00affb000000ffff	/* 28: user code, 64-bit */
	.quad 0, 0			/* 30: TSS, filled in */
	.quad 0x00cf9b000000ffff	/* 40: code, 32-bit */
	.quad 0x00cf13000000ffff	/* 48: data, not present */
	.quad 0x00009b000000ffff	/* 50: code, 16-bit */
	.quad 0x000093000000ffff	/* 58: data, 64 KiB */
	.fill 4, 8, 0
gdt_pointer:
	.word . - gdt - 1
	.quad gdt
	.globl boot_magic, boot_info, fault_resume, ap_tickets, user_rsp
boot_magic: .long 0
boot_info: .long 0
ap_tickets: .long 0
fault_resume: .quad 0
user_rsp: .quad 0

	.bss
	.globl pml4, pdpt, page_directory, ap_stacks, user_stack_end, irq_stack_end
	.align 4096
pml4:	.skip 4096
pdpt:	.skip 4096
page_directory: .skip 4 * 4096
	.skip STACK_BYTES
stack_end:
	.skip STACK_BYTES
irq_stack_end:
	.skip 4096
user_stack_end:
ap_stacks:
	.skip 16 * STACK_BYTES
