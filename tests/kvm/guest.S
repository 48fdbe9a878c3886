// SPDX-License-Identifier: MIT
/*
 * The guests of check.c: 32-bit code without paging, copied to CODE (10000h) and started at one of the
 * labels with flat segments. Interrupt handlers count at 3000h + 4 * vector and end the interrupt in
 * the local APIC, where there is one to end. A guest reports by OUT to port 80h and rests by HLT.
 */
#define COUNTERS 0x3000
#define APIC     0xfee00000
#define IOAPIC   0xfec00000
#define DEVICE   0xc0000000

	.section .rodata
	.code32
	.globl guest_start, guest_end
guest_start:

	/* OUT of three widths, IN merged into EAX */
	.globl guest_ports
guest_ports:
	movl $0x12345678, %eax
	movw $0x3f8, %dx
	outb %al, %dx
	outw %ax, %dx
	outl %eax, %dx
	inb %dx, %al
	movl %eax, %esi
	inw %dx, %ax
	movl %eax, %edi
	inl %dx, %eax
	hlt

	/* reads and writes of device memory, one that reads, changes and writes */
	.globl guest_mmio
guest_mmio:
	movl $DEVICE, %ebx
	movl $0xa1b2c3d4, (%ebx)
	movb 5(%ebx), %al
	movzwl 6(%ebx), %ecx
	orl $0xf0, 8(%ebx)
	pushfl
	popl %esi
	hlt

	/* the stack pointer changes with an instruction that reads, and one that writes, a device */
	.globl guest_stack
guest_stack:
	movl $DEVICE, %ebx
	pushl (%ebx)
	pushl $0x55667788
	popl 4(%ebx)
	popl %esi
	movl %esp, %edi
	hlt

	/* strings to and from a port, and to device memory */
	.globl guest_strings
guest_strings:
	cld
	movw $0x80, %dx
	movl $message, %esi
	subl $guest_start, %esi
	addl $0x10000, %esi
	movl $5, %ecx
	rep outsb
	movl $0x5000, %edi
	movl $3, %ecx
	rep insl
	movl $0x5000, %esi
	movl $DEVICE + 0x100, %edi
	movl $2, %ecx
	rep movsl
	hlt
message:
	.ascii "hello"

	/* takes interrupts in HLT alone, for ever; reports 0, then how many HLTs ended */
	.globl guest_idle
guest_idle:
	xorl %ecx, %ecx
	movl $0x1ff, APIC + 0xf0
	xorl %eax, %eax
	outb %al, $0x80
1:	sti
	hlt
	cli
	incl %ecx
	movl %ecx, %eax
	outb %al, $0x80
	jmp 1b

	/* PICs at vectors 40h and 48h, ending by themselves, lines 0 and 1 open, through LINT0; the
	 * PIT's counter 0 at 100 Hz if EDI is not 0; then as guest_idle */
	.globl guest_pic
guest_pic:
	movb $0x11, %al
	outb %al, $0x20
	outb %al, $0xa0
	movb $0x40, %al
	outb %al, $0x21
	movb $0x48, %al
	outb %al, $0xa1
	movb $4, %al
	outb %al, $0x21
	movb $2, %al
	outb %al, $0xa1
	movb $3, %al
	outb %al, $0x21
	outb %al, $0xa1
	movb $0xfc, %al
	outb %al, $0x21
	movb $0xff, %al
	outb %al, $0xa1
	movl $0x1ff, APIC + 0xf0
	movl $0x700, APIC + 0x350
	testl %edi, %edi
	jz guest_idle
	movb $0x34, %al
	outb %al, $0x43
	movb $0x9c, %al
	outb %al, $0x40
	movb $0x2e, %al
	outb %al, $0x40
	jmp guest_idle

	/* IOAPIC: pin 5 level-triggered at vector 42h, pin 6 edge-triggered at 41h, PICs masked; then as
	 * guest_idle */
	.globl guest_ioapic
guest_ioapic:
	movb $0xff, %al
	outb %al, $0x21
	outb %al, $0xa1
	movl $0x1a, IOAPIC
	movl $0x8042, IOAPIC + 0x10
	movl $0x1c, IOAPIC
	movl $0x41, IOAPIC + 0x10
	jmp guest_idle

	/* takes NMIs on a stack in device memory; at 3110h the number that it has returned from */
	.globl guest_stack_on_device
guest_stack_on_device:
	movl $DEVICE + 0x1000, %esp
	outb %al, $0x80
1:	movl COUNTERS + 4 * 2, %eax
	movl %eax, COUNTERS + 4 * 0x44
	jmp 1b

	/* reports CPUID leaf 0Dh, subleaf 1's EAX, and its EBX with x87, SSE and AVX on; 0 without AVX */
	.globl guest_xsave_size
guest_xsave_size:
	movl $1, %eax
	cpuid
	xorl %eax, %eax
	btl $28, %ecx
	jnc 1f
	movl %cr4, %eax
	orl $1 << 18, %eax
	movl %eax, %cr4
	xorl %ecx, %ecx
	xorl %edx, %edx
	movl $7, %eax
	xsetbv
	movl $0xd, %eax
	movl $1, %ecx
	cpuid
1:	outl %eax, $0x80
	movl %ebx, %eax
	outl %eax, $0x80
	hlt

	/* spins with interrupts off */
	.globl guest_spin
guest_spin:
	cli
1:	pause
	jmp 1b

	/* writes to 400000h until told otherwise at 4000h; says so at port 80h */
	.globl guest_writer
guest_writer:
	incl 0x400000
	cmpl $0, 0x4000
	je guest_writer
	outb %al, $0x80
	hlt

	/* adds 1 to the word whose address port 80h gives, for ever */
	.globl guest_toucher
guest_toucher:
	movw $0x80, %dx
1:	inl %dx, %eax
	incl (%eax)
	jmp 1b

	/* doorbells: memory, port */
	.globl guest_doorbells
guest_doorbells:
	movl $7, DEVICE + 0x40
	movl $8, DEVICE + 0x40
	movb $1, %al
	outb %al, $0x70
	outb %al, $0x80
	hlt

	/* rings a port and memory for ever; how often is in ECX and EDX */
	.globl guest_rings
guest_rings:
	xorl %eax, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
1:	incl %ecx
	outb %al, $0x70
	incl %edx
	movl %eax, DEVICE + 0x80
	jmp 1b

	/* no way to deliver a fault, and none to deliver that */
	.globl guest_shutdown
guest_shutdown:
	lidt nothing - guest_start + 0x10000
	ud2
nothing:
	.word 0
	.long 0

	/* arms the TSC deadline EDI million ticks ahead, at vector 41h, and rests */
	.globl guest_deadline
guest_deadline:
	movl $0x1ff, APIC + 0xf0
	movl $0x40041, APIC + 0x320
	rdtsc
	addl %edi, %eax
	adcl $0, %edx
	movl $0x6e0, %ecx
	wrmsr
	sti
	hlt
	movb $0x41, %al
	outb %al, $0x80
	hlt

	/* starts processor 1 at 8000h, waits for it */
	.globl guest_starts_another
guest_starts_another:
	movl $0x1ff, APIC + 0xf0
	movl $1 << 24, APIC + 0x310
	movl $0x4500, APIC + 0x300
	movl $1 << 24, APIC + 0x310
	movl $0x4608, APIC + 0x300
1:	pause
	cmpl $0x5a, 0x4000
	jne 1b
	movb $0x5a, %al
	outb %al, $0x80
	hlt
	.code16
	.globl guest_another
guest_another:
	xorw %ax, %ax
	movw %ax, %ds
	movl $0x5a, 0x4000
1:	hlt
	jmp 1b
	.code32

	/* interrupt handlers, 32 bytes apart, for vectors 40h to 43h, and NMI */
	.balign 32
	.globl guest_handlers
guest_handlers:
	.irp vector, 0x40, 0x41, 0x42, 0x43
	incl COUNTERS + 4 * \vector
	movl $0, APIC + 0xb0
	iret
	.balign 32
	.endr
	.globl guest_nmi
guest_nmi:
	incl COUNTERS + 4 * 2
	iret
guest_end:
	.section .note.GNU-stack, "", @progbits
