// SPDX-License-Identifier: MIT
/*
 * Hardware task switches, which only 32-bit code can ask for: by JMP, CALL, IRET, a task gate in
 * the GDT and in the IDT (with and without an error code), to a 16-bit task, to tasks that cannot
 * be switched to, and to one that faults as soon as it is there. The code below leaves what it saw
 * in seen[]; paging is on, and each task may have page tables of its own.
 *
 * Source of the expectations: SDM 3A "Task Management".
 */
#include "guest.h"

/* The guest's GDT has selectors up to 58h; these come behind. */
enum {
	CODE32 = 0x40,
	ABSENT = 0x48,
	DATA = 0x10,
	MAIN = 0x60,
	JUMPED = 0x68,
	CALLED = 0x70,
	FAULTS = 0x78,
	NOT_PRESENT = 0x80,
	SHORT = 0x88,
	BAD_DATA = 0x90,
	NARROW = 0x98,
	GATE = 0xa0,
	CODE16 = 0xa8,
	ENTRIES = 24,
	STACK = 512,
};

enum {
	J_RAN,
	J_TR,
	J_FLAGS,
	J_CR0,
	J_CR3,
	J_MAIN_RIGHTS,
	J_OWN_RIGHTS,
	BACK_TR,
	BACK_CR3,
	BACK_RIGHTS,
	C_RAN,
	C_FLAGS,
	C_LINK,
	C_MAIN_RIGHTS,
	BACK_FLAGS,
	C_RIGHTS_AFTER,
	C_NT_AFTER,
	GATE_RAN,
	INT_RAN,
	F_ERROR,
	F_LINK,
	F_EIP,
	NP_VECTOR,
	NP_ERROR,
	NP_TR,
	TS_VECTOR,
	TS_ERROR,
	BAD_VECTOR,
	BAD_ERROR,
	BAD_TR,
	BAD_EIP,
	BUSY_ERROR,
	NARROW_RAN,
	J_REGISTER,
	SEEN
};

struct tss {
	uint32_t link, stacks[6], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM 3A \"Task-State Segment\"");

struct tss tss_main, tss_jumped, tss_called, tss_faults, tss_bad;
uint16_t tss_narrow[22];
uint64_t task_gdt[ENTRIES], task_idt[64];
volatile uint32_t seen[SEEN];
uint32_t directory_main[1024] __attribute__((aligned(4096)));
uint32_t directory_jumped[1024] __attribute__((aligned(4096)));
static uint8_t stacks[5][STACK] __attribute__((aligned(16)));

extern char task_jumped[], task_called[], task_faults[], task_narrow[], fault_ts[], fault_np[],
	bad_entry[];
extern void switch_tasks(void);

/* seen[] by number: the assembler knows no enum. */
asm(".set S, seen\n"
    ".text\n"
    ".globl switch_tasks\n"
    "switch_tasks:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, task_rsp(%rip)\n"
    "	sidt long_idt(%rip)\n"
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
    "	lgdt tables_pointers\n"
    "	lidt tables_pointers + 6\n"
    "	mov $0x10, %eax\n" /* PSE, no PAE */
    "	mov %eax, %cr4\n"
    "	mov $directory_main, %eax\n"
    "	mov %eax, %cr3\n"
    "	mov %cr0, %eax\n"
    "	or $0x80000000, %eax\n"
    "	mov %eax, %cr0\n"
    "	jmp 1f\n"
    "1:	mov $0x60, %eax\n"
    "	ltr %ax\n"
    /* JMP there, JMP back */
    "	mov $0x12345678, %ebx\n"
    "	ljmp $0x68, $0\n"
    "	str %eax; mov %eax, S + 4*7\n"
    "	mov %cr3, %eax; mov %eax, S + 4*8\n"
    "	movzbl task_gdt + 0x68 + 5, %eax; mov %eax, S + 4*9\n"
    "	clts\n"
    /* CALL, IRET back */
    "	lcall $0x70, $0\n"
    "	pushf; pop S + 4*14\n"
    "	movzbl task_gdt + 0x70 + 5, %eax; mov %eax, S + 4*15\n"
    "	mov tss_called + 0x24, %eax; mov %eax, S + 4*16\n"
    /* through a gate in the GDT, by INT through one in the IDT */
    "	lcall $0xa0, $0\n"
    "	mov S + 4*10, %eax; mov %eax, S + 4*17\n"
    "	int $0x21\n"
    "	mov S + 4*10, %eax; mov %eax, S + 4*18\n"
    /* an exception with an error code */
    "	movl $after_gp, resume\n"
    "	mov $0x3f8, %eax\n"
    "cause_gp:\n"
    "	mov %eax, %fs\n"
    "	.globl after_gp\n"
    "after_gp:\n"
    "	mov S + 4*19, %eax; mov %eax, gp_error\n"
    "	mov S + 4*21, %eax; sub $cause_gp, %eax; mov %eax, gp_offset\n"
    /* tasks that are none: faults of this one */
    "	movl $1f, resume\n"
    "	ljmp $0x80, $0\n"
    "1:	mov fault_seen, %eax; mov %eax, S + 4*22\n"
    "	mov fault_seen + 4, %eax; mov %eax, S + 4*23\n"
    "	mov fault_seen + 8, %eax; mov %eax, S + 4*24\n"
    "	movl $1f, resume\n"
    "	ljmp $0x88, $0\n"
    "1:	mov fault_seen, %eax; mov %eax, S + 4*25\n"
    "	mov fault_seen + 4, %eax; mov %eax, S + 4*26\n"
    /* one that faults when it is there already */
    "	movl $0, resume\n"
    "	ljmp $0x90, $0\n"
    "	mov fault_seen, %eax; mov %eax, S + 4*27\n"
    "	mov fault_seen + 4, %eax; mov %eax, S + 4*28\n"
    "	mov fault_seen + 8, %eax; mov %eax, S + 4*29\n"
    "	mov fault_seen + 12, %eax; sub $bad_entry, %eax; mov %eax, S + 4*30\n"
    /* to itself: busy */
    "	movl $1f, resume\n"
    "	ljmp $0x60, $0\n"
    "1:	mov S + 4*19, %eax; mov %eax, S + 4*31\n"
    "	mov gp_error, %eax; mov %eax, S + 4*19\n"
    "	mov gp_offset, %eax; mov %eax, S + 4*21\n"
    /* a 16-bit one */
    "	lcall $0x98, $0\n"
    "	clts\n"
    "	mov %cr0, %eax\n"
    "	and $0x7fffffff, %eax\n"
    "	mov %eax, %cr0\n"
    "	mov $task_stack_end, %esp\n"
    "	call enter_long\n"
    "	.code64\n"
    "	lidt long_idt(%rip)\n"
    "	mov task_rsp(%rip), %rsp\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"

    "	.code32\n"
    "	.globl task_jumped\n"
    "task_jumped:\n"
    "	incl S\n"
    "	mov %eax, S + 4*33\n"
    "	pushf; pop S + 4*2\n"
    "	str %eax; mov %eax, S + 4*1\n"
    "	mov %cr0, %eax; mov %eax, S + 4*3\n"
    "	mov %cr3, %eax; mov %eax, S + 4*4\n"
    "	movzbl task_gdt + 0x60 + 5, %eax; mov %eax, S + 4*5\n"
    "	movzbl task_gdt + 0x68 + 5, %eax; mov %eax, S + 4*6\n"
    "	ljmp $0x60, $0\n"
    "	jmp task_jumped\n"

    "	.globl task_called\n"
    "task_called:\n"
    "	incl S + 4*10\n"
    "	pushf; pop S + 4*11\n"
    "	movzwl tss_called, %eax; mov %eax, S + 4*12\n"
    "	movzbl task_gdt + 0x60 + 5, %eax; mov %eax, S + 4*13\n"
    "	iret\n"
    "	jmp task_called\n"

    /* Runs for #GP; makes the task that it interrupted go on elsewhere. */
    "	.globl task_faults\n"
    "task_faults:\n"
    "	pop S + 4*19\n"
    "	movzwl tss_faults, %eax; mov %eax, S + 4*20\n"
    "	mov tss_main + 0x20, %eax; mov %eax, S + 4*21\n"
    "	mov resume, %eax; mov %eax, tss_main + 0x20\n"
    "	iret\n"
    "	jmp task_faults\n"

    "	.globl bad_entry\n"
    "bad_entry:\n"
    "	ud2\n"

    "	.globl fault_ts, fault_np\n"
    "fault_ts:\n"
    "	mov $10, %ecx\n"
    "	jmp 1f\n"
    "fault_np:\n"
    "	mov $11, %ecx\n"
    /* First of all: the task may have come without its data segments ("Invalid TSS Exception"). */
    "1:	mov $0x10, %eax\n"
    "	mov %eax, %ds\n"
    "	mov %ecx, fault_seen\n"
    "	pop fault_seen + 4\n"
    "	str %eax; mov %eax, fault_seen + 8\n"
    "	mov (%esp), %eax; mov %eax, fault_seen + 12\n"
    "	mov resume, %eax\n"
    "	test %eax, %eax\n"
    "	jz 1f\n"
    "	mov %eax, (%esp)\n"
    "	iret\n"
    "1:	ljmp $0x60, $0\n"

    "	.code16\n"
    "	.globl task_narrow\n"
    "task_narrow:\n"
    "	addr32 incl S + 4*32\n"
    "	iret\n"
    "	.code64\n"

    "	.data\n"
    "	.globl tables_pointers\n"
    "tables_pointers:\n"
    "	.word 24*8 - 1\n"
    "	.long task_gdt\n"
    "	.word 64*8 - 1\n"
    "	.long task_idt\n"
    "	.align 8\n"
    "task_rsp: .quad 0\n"
    "long_idt: .word 0; .quad 0\n"
    "resume: .long 0\n"
    "gp_error: .long 0\n"
    "gp_offset: .long 0\n"
    "fault_seen: .long 0, 0, 0, 0\n"
    ".bss\n"
    "	.skip 512\n"
    "task_stack_end:\n"
    ".text\n");

static uint64_t segment(const void *at, uint32_t bytes, uint32_t rights)
{
	uint64_t base = (uint64_t)at;

	return (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56 | (uint64_t)rights << 40 |
	       (bytes - 1);
}

static void make_task(struct tss *tss, const char *entry, unsigned int number)
{
	tss->eip = (uint32_t)(uint64_t)entry;
	tss->esp = (uint32_t)(uint64_t)(stacks[number] + STACK);
	tss->eflags = 2;
	tss->cs = CODE32;
	tss->ds = tss->es = tss->ss = DATA;
	tss->cr3 = (uint32_t)(uint64_t)directory_main;
}

static void make_narrow(void)
{
	tss_narrow[15 - 8] = 0; /* IP: the segment begins there */
	tss_narrow[8] = 2;
	tss_narrow[13] = (uint16_t)(uint64_t)(stacks[4] + STACK);
	tss_narrow[17] = DATA;
	tss_narrow[18] = CODE16;
	tss_narrow[19] = DATA;
	tss_narrow[20] = DATA;
}

static uint64_t gate(const char *to)
{
	uint64_t at = (uint64_t)to;

	return (at & 0xffff) | (uint64_t)CODE32 << 16 | UINT64_C(0x8e00) << 32 | (at >> 16) << 48;
}

static uint64_t task_gate(uint16_t selector)
{
	return (uint64_t)selector << 16 | UINT64_C(0x8500) << 32;
}

static void make_tables(void)
{
	for (unsigned int i = 0; i < 12; i++)
		task_gdt[i] = gdt[i];
	for (unsigned int i = 0; i < 1024; i++)
		directory_main[i] = directory_jumped[i] = i << 22 | 0x83;
	make_task(&tss_main, task_jumped, 0); /* overwritten when it is left, but for CR3 */
	make_task(&tss_jumped, task_jumped, 0);
	make_task(&tss_called, task_called, 1);
	make_task(&tss_faults, task_faults, 2);
	make_task(&tss_bad, bad_entry, 3);
	make_narrow();
	tss_jumped.cr3 = (uint32_t)(uint64_t)directory_jumped;
	tss_jumped.eax = 0x51525354;
	tss_bad.ds = ABSENT;
	task_gdt[MAIN / 8] = segment(&tss_main, sizeof(struct tss), 0x89);
	task_gdt[JUMPED / 8] = segment(&tss_jumped, sizeof(struct tss), 0x89);
	task_gdt[CALLED / 8] = segment(&tss_called, sizeof(struct tss), 0x89);
	task_gdt[FAULTS / 8] = segment(&tss_faults, sizeof(struct tss), 0x89);
	task_gdt[NOT_PRESENT / 8] = segment(&tss_jumped, sizeof(struct tss), 0x09);
	task_gdt[SHORT / 8] = segment(&tss_jumped, sizeof(struct tss) - 1, 0x89);
	task_gdt[BAD_DATA / 8] = segment(&tss_bad, sizeof(struct tss), 0x89);
	task_gdt[NARROW / 8] = segment(tss_narrow, sizeof(tss_narrow), 0x81);
	task_gdt[GATE / 8] = task_gate(CALLED);
	task_gdt[CODE16 / 8] = segment(task_narrow, 0x10000, 0x9b);
	task_idt[TS_FAULT] = gate(fault_ts);
	task_idt[NP] = gate(fault_np);
	task_idt[GP] = task_gate(FAULTS);
	task_idt[0x21] = task_gate(CALLED);
}

static void report_value(unsigned int which, uint32_t expected, const char *what)
{
	report(seen[which] == expected, "%s: %x", what, (uint64_t)seen[which]);
}

void guest_main(void)
{
	make_tables();
	switch_tasks();
	report_value(J_RAN, 1, "JMP to a task runs it once");
	report_value(J_TR, JUMPED, "JMP: the task register");
	report_value(J_REGISTER, 0x51525354, "JMP: a register from the TSS");
	report(!(seen[J_FLAGS] & 0x4000), "JMP: NT is clear, %x", (uint64_t)seen[J_FLAGS]);
	report(seen[J_CR0] & 8, "JMP: CR0.TS is set, %x", (uint64_t)seen[J_CR0]);
	report_value(J_CR3, (uint32_t)(uint64_t)directory_jumped, "JMP: CR3 from the TSS");
	report_value(J_MAIN_RIGHTS, 0x89, "JMP: the task left is available");
	report_value(J_OWN_RIGHTS, 0x8b, "JMP: the new task is busy");
	report_value(BACK_TR, MAIN, "back: the task register");
	report_value(BACK_CR3, (uint32_t)(uint64_t)directory_main, "back: CR3");
	report_value(BACK_RIGHTS, 0x89, "back: the task left is available");
	report(tss_main.ebx == 0x12345678, "registers are saved: EBX %x", (uint64_t)tss_main.ebx);
	report(seen[C_FLAGS] & 0x4000, "CALL: NT is set, %x", (uint64_t)seen[C_FLAGS]);
	report_value(C_LINK, MAIN, "CALL: back link");
	report_value(C_MAIN_RIGHTS, 0x8b, "CALL: the caller stays busy");
	report(!(seen[BACK_FLAGS] & 0x4000), "IRET: NT of the caller, %x",
	       (uint64_t)seen[BACK_FLAGS]);
	report_value(C_RIGHTS_AFTER, 0x89, "IRET: the task left is available");
	report(!(seen[C_NT_AFTER] & 0x4000), "IRET: NT is clear in its image, %x",
	       (uint64_t)seen[C_NT_AFTER]);
	report_value(GATE_RAN, 2, "CALL through a task gate");
	report_value(INT_RAN, 3, "INT through a task gate");
	report_value(F_ERROR, 0x3f8, "#GP through a task gate: error code");
	report_value(F_LINK, MAIN, "#GP through a task gate: back link");
	report_value(F_EIP, 0, "#GP through a task gate: address of the instruction, distance");
	report_value(NP_VECTOR, NP, "TSS not present: vector");
	report_value(NP_ERROR, NOT_PRESENT, "TSS not present: error code");
	report_value(NP_TR, MAIN, "TSS not present: in the old task");
	report_value(TS_VECTOR, TS_FAULT, "TSS too short: vector");
	report_value(TS_ERROR, SHORT, "TSS too short: error code");
	report_value(BAD_VECTOR, NP, "segment not present: vector");
	report_value(BAD_ERROR, ABSENT, "segment not present: error code");
	report_value(BAD_TR, BAD_DATA, "segment not present: in the new task");
	report_value(BAD_EIP, 0, "segment not present: before its first instruction, distance");
	report_value(BUSY_ERROR, MAIN, "JMP to a busy task: #GP's error code");
	report_value(NARROW_RAN, 1, "CALL to a 16-bit task");
}
