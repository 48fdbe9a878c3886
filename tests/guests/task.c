// SPDX-License-Identifier: MIT
/*
 * A hardware task switch, which only 32-bit code can ask for (SDM 3A "Task Management"). The bare
 * machine does it; the hypervisor ends the VM and says why.
 */
#include "guest.h"

#define OLD_TASK 0x60
#define NEW_TASK 0x68
#define CODE32	 0x40
#define DATA	 0x10
#define TSS_TYPE UINT64_C(0x0000890000000000)

static struct {
	uint32_t link, stacks[6], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt, io_map;
} old_tss, new_tss;

extern char task_entry[], task_stack_end[];
extern void switch_tasks(void);
extern volatile uint32_t task_ran;

asm(".text\n"
    ".globl switch_tasks, task_entry\n"
    "switch_tasks:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, task_rsp(%rip)\n"
    "	pushq $0x40\n"
    "	pushq $1f\n"
    "	lretq\n"
    "	.code32\n"
    "1:	mov $0x10, %eax\n"
    "	mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "	mov %cr0, %eax\n"
    "	and $0x7fffffff, %eax\n"
    "	mov %eax, %cr0\n"
    "	mov $0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	and $~0x100, %eax\n"
    "	wrmsr\n"
    "	mov $0x60, %eax\n"
    "	ltr %ax\n"
    "	ljmp $0x68, $0\n"
    "	ud2\n"
    "task_entry:\n"
    "	incl task_ran\n"
    "	call enter_long\n"
    "	.code64\n"
    "	mov task_rsp(%rip), %rsp\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    ".data\n"
    "task_rsp: .quad 0\n"
    ".globl task_ran\n"
    "task_ran: .long 0\n"
    ".bss\n"
    "	.skip 4096\n"
    ".globl task_stack_end\n"
    "task_stack_end:\n"
    ".text\n");

static uint64_t descriptor(const void *tss)
{
	uint64_t base = (uint64_t)tss;

	return (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56 | TSS_TYPE |
	       (sizeof(old_tss) - 1);
}

void guest_main(void)
{
	new_tss.eip = (uint32_t)(uint64_t)task_entry;
	new_tss.esp = (uint32_t)(uint64_t)task_stack_end;
	new_tss.eflags = 2;
	new_tss.cs = CODE32;
	new_tss.ds = new_tss.es = new_tss.ss = DATA;
	gdt[OLD_TASK / 8] = descriptor(&old_tss);
	gdt[NEW_TASK / 8] = descriptor(&new_tss);
	switch_tasks();
	report(task_ran == 1, "hardware task switch");
}
