// SPDX-License-Identifier: MIT
/*
 * Descriptor tables and stacks of one CPU, and the control registers the hypervisor runs with.
 */
#pragma once

#include <x86/layout.h>
#include <x86/percpu.h>

struct __packed tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[n - 1] is IST n */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base;
};
static_assert(sizeof(struct tss) == 104, "SDM 3A \"TSS in 64-bit mode\"");

struct desc_tables {
	uint64_t gdt[5]; /* null, code, data, TSS (2) */
	uint64_t pad;
	struct tss tss;
};

/* The stacks of a CPU: each has a slot of its own, of which only the top is mapped. */
enum { STACK_MAIN, STACK_NMI, STACK_DF, STACK_MC, STACKS };

#define STACK_SLOT	   (STACK_STRIDE / STACKS)
#define STACK_PAGES(which) ((which) == STACK_MAIN ? 4u : 2u)

/** Heap that one CPU's stacks and tables need. */
uint64_t cpu_heap_bytes(void);

/** Allocate the record, stacks and tables of CPU @index. Context: boot, boot processor, after
 * heap_init(). */
struct cpu *cpu_create(uint32_t index, uint32_t apic_id);

/** Load this CPU's GDT, TSS, IDT, GS base and control registers. Context: once per CPU, final
 * tables. */
void cpu_load_tables(struct cpu *c);

/** Make the boot code's interrupt table use the three interrupt stacks. Context: before the final
 * page tables write-protect it. */
void idt_use_stacks(void);

/** Continue at @fn(@arg) on the stack that ends at @top. */
void stack_switch(void *top, void (*fn)(void *), void *arg) __noreturn;

extern char idt[];

/* Lowest and highest address of the stack that @sp lies in; false if in none. For backtraces. */
bool stack_bounds(uint64_t sp, uint64_t *lo, uint64_t *hi);
