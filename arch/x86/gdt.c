// SPDX-License-Identifier: MIT
/*
 * One CPU's descriptor tables, stacks and control registers.
 *
 * Four stacks per CPU: the main one, on which exits run, and one each for NMI, double fault and
 * machine check, because each of these can arrive while another stack is unusable. Each has an
 * unmapped page below it: running over ends in a double fault and a crash record, not in a
 * neighbour's data.
 */
#include <x86/gdt.h>
#include <x86/asm.h>
#include <x86/layout.h>
#include <x86/mem.h>
#include <x86/paging.h>

uint64_t cpu_heap_bytes(void)
{
	uint64_t pages = 1;

	for (int i = 0; i < STACKS; i++)
		pages += STACK_PAGES(i);
	return pages * PAGE_SIZE;
}

/* Top of stack @which of CPU @index. Each has a slot of its own, of which only the top is mapped.
 */
static uint64_t stack_top(uint32_t index, int which)
{
	return STACK_BASE + index * STACK_STRIDE + (uint64_t)(which + 1) * STACK_SLOT;
}

static void tables_fill(struct desc_tables *t, uint32_t index)
{
	uint64_t base = (uint64_t)&t->tss;

	t->gdt[1] = 0x00af9b000000ffff; /* 64-bit code */
	t->gdt[2] = 0x00cf93000000ffff; /* data */
	t->gdt[3] = (sizeof(t->tss) - 1) | field_get(base, 23, 0) << 16 | UINT64_C(0x89) << 40 |
		    field_get(base, 31, 24) << 56;
	t->gdt[4] = base >> 32;
	t->tss.ist[IST_NMI - 1] = stack_top(index, STACK_NMI);
	t->tss.ist[IST_DF - 1] = stack_top(index, STACK_DF);
	t->tss.ist[IST_MC - 1] = stack_top(index, STACK_MC);
	t->tss.iomap_base = sizeof(t->tss);
}

struct cpu *cpu_create(uint32_t index, uint32_t apic_id)
{
	struct cpu *c = boot_alloc_pages(1);

	c->tables = (struct desc_tables *)align_up((uint64_t)(c + 1), 64);
	static_assert(sizeof(struct cpu) + 64 + sizeof(struct desc_tables) <= 4096, "one page");

	for (int i = 0; i < STACKS; i++) {
		uint64_t bytes = STACK_PAGES(i) * PAGE_SIZE;

		page_map(stack_top(index, i) - bytes, hpa_of(boot_alloc_pages(STACK_PAGES(i))),
			 bytes, PTE_RW_DATA);
	}
	c->self = c;
	c->index = index;
	c->apic_id = apic_id;
	c->stack_top = (void *)stack_top(index, STACK_MAIN);
	tables_fill(c->tables, index);
	return c;
}

void idt_use_stacks(void)
{
	idt[2 * 16 + 4] = IST_NMI;
	idt[8 * 16 + 4] = IST_DF;
	idt[18 * 16 + 4] = IST_MC;
}

static void control_registers_load(void)
{
	uint64_t cr4 = CR4_PAE;
	struct cpuid_regs f1 = cpuid(1, 0);

	cr4 |= f1.edx & BIT64(7) ? CR4_MCE : 0;
	cr4 |= f1.ecx & BIT64(26) ? CR4_OSXSAVE : 0;
	if (cpuid_has_leaf(7)) {
		struct cpuid_regs f7 = cpuid(7, 0);

		cr4 |= f7.ebx & BIT64(0) ? CR4_FSGSBASE : 0;
		cr4 |= f7.ebx & BIT64(7) ? CR4_SMEP : 0;
		cr4 |= f7.ecx & BIT64(2) ? CR4_UMIP : 0;
	}
	write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
	write_cr4(cr4);
}

void cpu_load_tables(struct cpu *c)
{
	struct __packed {
		uint16_t limit;
		uint64_t base;
	} gdtr = {sizeof(c->tables->gdt) - 1, (uint64_t)c->tables->gdt},
	  idtr = {IDT_VECTORS * 16 - 1, (uint64_t)idt};

	__asm__ volatile("lgdt %0\n"
			 "lidt %1\n"
			 "pushq %2\n"
			 "leaq 1f(%%rip), %%rax\n"
			 "pushq %%rax\n"
			 "lretq\n"
			 "1: mov %3, %%ds\n"
			 "mov %3, %%es\n"
			 "mov %3, %%ss\n"
			 "mov %4, %%fs\n"
			 "mov %4, %%gs\n"
			 "lldt %w4\n"
			 "ltr %w5\n" ::"m"(gdtr),
			 "m"(idtr), "i"(SEL_CODE), "r"(SEL_DATA), "r"(0), "r"(SEL_TSS)
			 : "rax", "memory");
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (uint64_t)c);
	control_registers_load();
}
