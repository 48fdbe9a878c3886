/* SPDX-License-Identifier: MIT */
/* /init of the small Linux guest: the mark that it was reached (MARK_HERE), then power off. */
#include <sys/syscall.h>

	.globl _start
_start:	mov $3, %eax
	mov $0xe9, %edx
	out %eax, %dx
	mov $SYS_reboot, %eax
	mov $0xfee1dead, %edi
	mov $672274793, %esi
	mov $0x4321fedc, %edx /* power off */
	syscall
1:	jmp 1b
	.section .note.GNU-stack, "", @progbits
