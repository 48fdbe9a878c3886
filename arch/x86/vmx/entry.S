/* SPDX-License-Identifier: MIT */
/*
 * Into the guest and out of it.
 *
 * Every VM exit of this CPU arrives at vmx_exit with RSP at the top of the CPU's stack and GS at its
 * struct cpu (both loaded from the VMCS). The guest's general registers go to the structure that
 * cpu->gprs points to, vmx_handle_exit() does the work, and vmx_enter goes back in. Which VMCS is current, and
 * so which guest that is, is the handler's choice; nothing lives on the stack from exit to exit.
 *
 * NMIs in root mode are noted in cpu->nmi_in_root and owed to the control domain. One that
 * arrives between the last look at that note and the entry itself would be late by a whole stay
 * in the guest: the NMI handler sends an interrupted RIP in [vmx_enter_check, vmx_enter_end) back to
 * vmx_enter. All that runs there can be run again: it only loads registers.
 *
 * Next: control_exit.c, guest_exit.c.
 */
#include <x86/percpu_offsets.h>

	.text
	.globl vmx_exit, vmx_enter, vmx_enter_check, vmx_enter_end, vmx_start

/* vmx_start(cpu): first entry on this CPU; the boot stack's contents are not needed any more. */
vmx_start:
	mov 16(%rdi), %rsp
	jmp vmx_enter

vmx_exit:
	push %rax
	mov %gs:CPU_GPRS, %rax
	mov %rcx, 8(%rax)
	pop %rcx
	mov %rcx, 0(%rax)
	mov %rdx, 16(%rax)
	mov %rbx, 24(%rax)
	mov %rbp, 40(%rax)
	mov %rsi, 48(%rax)
	mov %rdi, 56(%rax)
	mov %r8, 64(%rax)
	mov %r9, 72(%rax)
	mov %r10, 80(%rax)
	mov %r11, 88(%rax)
	mov %r12, 96(%rax)
	mov %r13, 104(%rax)
	mov %r14, 112(%rax)
	mov %r15, 120(%rax)
	xor %ebp, %ebp
	cld
	mov %gs:0, %rdi
	mov %rax, %rsi
	call vmx_handle_exit

vmx_enter:
	cli
vmx_enter_check:
	cmpl $0, %gs:CPU_NMI_IN_ROOT
	jne 1f
2:	mov %gs:CPU_GPRS, %rax
	mov 8(%rax), %rcx
	mov 16(%rax), %rdx
	mov 24(%rax), %rbx
	mov 40(%rax), %rbp
	mov 48(%rax), %rsi
	mov 56(%rax), %rdi
	mov 64(%rax), %r8
	mov 72(%rax), %r9
	mov 80(%rax), %r10
	mov 88(%rax), %r11
	mov 96(%rax), %r12
	mov 104(%rax), %r13
	mov 112(%rax), %r14
	mov 120(%rax), %r15
	mov 0(%rax), %rax
	cmpl $0, %gs:CPU_LAUNCHED
	je 3f
	vmresume
	jmp vmx_enter_end
3:	vmlaunch
vmx_enter_end:
	/* VM entry refused: flags and VMCS_INSTRUCTION_ERROR say how. */
	mov %gs:0, %rdi
	call vmx_entry_failed
	jmp vmx_enter

1:	mov %gs:0, %rdi
	call vmx_nmi_owed
	jmp vmx_enter
