// SPDX-License-Identifier: MIT
/*
 * What stands before a kernel that tests/bench/unpack has decompressed: the 64-bit entry of the boot
 * protocol, 512 bytes into the image. Clears what follows the kernel's last byte and enters it with RSI, the
 * boot parameters, as it was.
 */
	.code64
	.set KERNEL, 2 << 20 /* its place in the image */
	.globl _start
_start:
	cli
	cld
	lea	(KERNEL - 0x200)(%rip), %rbx /* from the next instruction on */
next:
	sub	$(next - _start), %rbx
	mov	used(%rip), %rdi
	mov	bytes(%rip), %rcx
	sub	%rdi, %rcx
	add	%rbx, %rdi
	xor	%eax, %eax
	rep stosb
	jmp	*%rbx
	.balign	8
	/* filled in by tests/bench/unpack: bytes of the kernel in the image, and in memory */
used:	.quad	0
bytes:	.quad	0
