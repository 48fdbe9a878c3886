/* SPDX-License-Identifier: MIT */
/*
 * Into the guest and out of it.
 *
 * Every VM exit arrives with RSP at the top of the CPU's stack and GS at its struct cpu (both loaded
 * from the VMCS); nothing lives on the stack from exit to exit. There are two doors, one in the
 * control domain's VMCS and one in those of guests, and behind each a short way:
 *
 *   vmx_exit        the control domain's CPUID comes from its table (control_cpuid.h), here;
 *   vmx_guest_exit  guest_quick() settles what is frequent; only what C may change is saved.
 *
 * All else takes the long way: the general registers go to the structure that cpu->gprs points to,
 * vmx_handle_exit() does the work, and vmx_enter goes back in. Which VMCS is current, and so which
 * guest that is, is the handler's choice.
 *
 * NMIs in root mode are noted in cpu->nmi_in_root and owed to the control domain. One that
 * arrives between the last look at that note and the entry itself would be late by a whole stay
 * in the guest: the NMI handler sends an interrupted RIP in one of the ranges of vmx_reentry back
 * to the range's beginning, which is the look. All that runs there can be run again: it only loads
 * registers.
 *
 * Next: control_exit.c, guest_quick.c, guest_exit.c.
 */
#include <x86/percpu_offsets.h>

#define GUEST_INTERRUPTIBILITY 0x4824
#define GUEST_RFLAGS	       0x6820
#define GUEST_RIP	       0x681e
#define EXIT_REASON	       0x4402
#define EXIT_INSN_LENGTH       0x440c
#define REASON_CPUID	       10
#define SHADOWS		       3 /* by STI, by MOV SS */
#define RFLAGS_TF	       0x100

	.text
	.globl vmx_exit, vmx_guest_exit, vmx_start, vmx_reentry

/* What C may change, and RBX. RAX points to the structure afterwards. */
.macro save_some
	push %rax
	mov %gs:CPU_GPRS, %rax
	mov %rcx, 8(%rax)
	popq 0(%rax)
	mov %rdx, 16(%rax)
	mov %rbx, 24(%rax)
	mov %rsi, 48(%rax)
	mov %rdi, 56(%rax)
	mov %r8, 64(%rax)
	mov %r9, 72(%rax)
	mov %r10, 80(%rax)
	mov %r11, 88(%rax)
.endm

.macro load_some
	mov 8(%rax), %rcx
	mov 16(%rax), %rdx
	mov 24(%rax), %rbx
	mov 48(%rax), %rsi
	mov 56(%rax), %rdi
	mov 64(%rax), %r8
	mov 72(%rax), %r9
	mov 80(%rax), %r10
	mov 88(%rax), %r11
	mov 0(%rax), %rax
.endm

/* What C gives back as it was. */
.macro save_rest
	mov %rbp, 40(%rax)
	mov %r12, 96(%rax)
	mov %r13, 104(%rax)
	mov %r14, 112(%rax)
	mov %r15, 120(%rax)
.endm

/* vmx_start(cpu): first entry on this CPU; the boot stack's contents are not needed any more. */
vmx_start:
	mov 16(%rdi), %rsp
	jmp vmx_enter

/*
 * CPUID of the control domain. What the plain case is not (a single step, an interrupt shadow, RIP
 * that crosses 4 GiB, an answer that depends on CR4) goes the long way. ECX may be lost there: where
 * its mask is 0 the answer does not depend on it.
 */
vmx_exit:
	push %rdx
	mov $EXIT_REASON, %edx
	vmread %rdx, %rdx
	mov %edx, %gs:CPU_REASON
	cmp $REASON_CPUID, %edx
	jne 3f
	mov %eax, %edx
	rol $1, %edx /* cpuid_slot() */
	cmp $CPUID_SLOTS, %edx
	jae 3f
	shl $4, %edx
	add %gs:CPU_CPUID, %rdx
	and (%rdx), %ecx
	cmp 4(%rdx), %ecx
	jae 3f
	push %rbx
	mov $GUEST_INTERRUPTIBILITY, %ebx
	vmread %rbx, %rbx
	test $SHADOWS, %bl
	jnz 2f
	mov $GUEST_RFLAGS, %ebx
	vmread %rbx, %rbx
	test $RFLAGS_TF, %ebx
	jnz 2f
	mov $EXIT_INSN_LENGTH, %ebx
	vmread %rbx, %rbx
	push %rsi
	mov $GUEST_RIP, %esi
	vmread %rsi, %rsi
	add %rsi, %rbx
	cmp %esi, %ebx
	jb 1f
	mov $GUEST_RIP, %esi
	vmwrite %rbx, %rsi
	shl $4, %ecx
	add 8(%rdx), %rcx
	mov %gs:CPU_VMX, %rsi
	incq VMX_CPUID_EXITS(%rsi)
	movb $0, VMX_AT_SIPI_START(%rsi)
	mov 0(%rcx), %eax
	mov 4(%rcx), %ebx
	mov 12(%rcx), %edx
	mov 8(%rcx), %ecx
	pop %rsi
cpuid_check:
	cmpl $0, %gs:CPU_NMI_IN_ROOT
	jne 4f
	vmresume
cpuid_end:
	save_some
	save_rest
	jmp entry_failed

1:	pop %rsi
2:	pop %rbx
3:	pop %rdx
	save_some
long_way:
	save_rest
	xor %ebp, %ebp
	mov %gs:0, %rdi
	mov %rax, %rsi
	call vmx_handle_exit
	jmp vmx_enter

4:	save_some
launched:
	save_rest
	movl $1, %gs:CPU_LAUNCHED

vmx_enter:
	cmpl $0, %gs:CPU_NMI_IN_ROOT
	jne 6f
	mov %gs:CPU_GPRS, %rax
	mov 40(%rax), %rbp
	mov 96(%rax), %r12
	mov 104(%rax), %r13
	mov 112(%rax), %r14
	mov 120(%rax), %r15
	load_some
	cmpl $0, %gs:CPU_LAUNCHED
	je 5f
	vmresume
	jmp vmx_enter_end
5:	vmlaunch
vmx_enter_end:
entry_failed: /* flags and VMCS_INSTRUCTION_ERROR say how */
	mov %gs:0, %rdi
	call vmx_entry_failed
	jmp vmx_enter

6:	mov %gs:0, %rdi
	call vmx_nmi_owed
	jmp vmx_enter

vmx_guest_exit:
	save_some
	cmpb $0, speculation + SPECULATION_FILL_RSB(%rip)
	jne 8f
9:	mov %gs:CPU_VMX, %rdi
	mov %rax, %rsi
	call guest_quick
	test %al, %al
	jz 7f
quick_check:
	cmpl $0, %gs:CPU_NMI_IN_ROOT
	mov %gs:CPU_GPRS, %rax
	jne launched
	load_some
	vmresume
quick_end:
	mov %gs:CPU_GPRS, %rax
	save_rest
	jmp entry_failed
7:	mov %gs:CPU_GPRS, %rax
	jmp long_way

/* Before the first return after a guest has run. */
8:	call speculation_fill_rsb
	mov %gs:CPU_GPRS, %rax
	jmp 9b

	.section .rodata
	.balign 8
vmx_reentry:
	.quad cpuid_check, cpuid_end, vmx_enter, vmx_enter_end, quick_check, quick_end
