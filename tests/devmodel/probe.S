// SPDX-License-Identifier: MIT
/*
 * A guest of 200 bytes, booted by PVH: does what the first letter of its command line says. For
 * endings that a Linux guest does not produce on purpose. Prints what it does on the serial port.
 *
 *	p  power off	t  triple fault		k  reset by the keyboard controller
 *	i  spin with interrupts off		s  print without end
 *	h  halt for ever			w  triple fault once something was typed
 */
	.code32
	.section .text
	.globl _start
_start:
	movl	$stack, %esp
	movl	24(%ebx), %esi			/* start info: command line */
	movb	(%esi), %bl
	movl	$greeting, %esi
	call	print
	cmpb	$'p', %bl
	je	power_off
	cmpb	$'t', %bl
	je	triple_fault
	cmpb	$'k', %bl
	je	keyboard_reset
	cmpb	$'s', %bl
	je	flood
	cmpb	$'w', %bl
	je	wait
	cmpb	$'h', %bl
	je	halt
spin:	cli
	jmp	spin

print:	movw	$0x3f8, %dx
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, %dx
	jmp	1b
2:	ret

power_off:
	movw	$0x600, %dx			/* sleep control: S5, enable */
	movb	$0x34, %al
	outb	%al, %dx
	hlt

triple_fault:
	lidt	no_idt
	ud2

keyboard_reset:
	movb	$0xfe, %al
	outb	%al, $0x64
	hlt

wait:	movw	$0x3fd, %dx			/* line status: data ready */
	inb	%dx, %al
	testb	$1, %al
	jz	wait
	jmp	triple_fault

halt:	cli
	hlt
	jmp	halt

flood:	movl	$greeting, %esi
	call	print
	jmp	flood

greeting:
	.asciz	"probe runs\r\n"
no_idt:
	.word	0
	.long	0

	.bss
	.skip	256
stack:

	.section .note.pvh, "a", @note
	.long	4, 4, 18			/* owner "Xen", 32-bit entry */
	.asciz	"Xen"
	.long	_start
