// SPDX-License-Identifier: MIT
/*
 * What happens when the hypervisor itself faults, and when an NMI or machine check finds it
 * running.
 *
 * A fault at an address in the exception table is expected (asm.h's _safe accessors, VMX
 * instructions): execution continues at the fix-up. Everything else, but NMI and #MC, is our
 * mistake and ends in a crash record. The stubs are in isr.S, the interrupt table in boot/entry.S,
 * the crash in vmm/panic.c.
 */
#include <x86/exceptions.h>
#include <x86/asm.h>
#include <x86/gdt.h>
#include <x86/layout.h>
#include <x86/percpu.h>
#include <panic.h>

enum { VEC_NMI = 2, VEC_UD = 6, VEC_DF = 8, VEC_GP = 13, VEC_PF = 14, VEC_MC = 18 };

struct ex_entry {
	int32_t from, to; /* each relative to its own address */
};

extern const struct ex_entry ex_table_start[], ex_table_end[];

static const char *const names[IDT_VECTORS] = {
	[0] = "#DE divide error",
	[1] = "#DB debug",
	[2] = "NMI",
	[3] = "#BP breakpoint",
	[4] = "#OF overflow",
	[5] = "#BR bound",
	[6] = "#UD invalid opcode",
	[7] = "#NM no FPU",
	[8] = "#DF double fault",
	[10] = "#TS invalid TSS",
	[11] = "#NP segment not present",
	[12] = "#SS stack fault",
	[13] = "#GP general protection",
	[14] = "#PF page fault",
	[16] = "#MF x87 error",
	[17] = "#AC alignment check",
	[18] = "#MC machine check",
	[19] = "#XM SIMD error",
	[20] = "#VE virtualization",
	[21] = "#CP control protection",
};

static bool fix_up(struct trap_frame *f)
{
	for (const struct ex_entry *e = ex_table_start; e < ex_table_end; e++) {
		if ((uint64_t)&e->from + (uint64_t)(int64_t)e->from == f->rip) {
			f->rip = (uint64_t)&e->to + (uint64_t)(int64_t)e->to;
			return true;
		}
	}
	return false;
}

bool stack_bounds(uint64_t sp, uint64_t *lo, uint64_t *hi)
{
	*hi = align_down(sp, STACK_SLOT) + STACK_SLOT;
	*lo = *hi - STACK_PAGES(sp % STACK_STRIDE / STACK_SLOT) * PAGE_SIZE;
	return sp >= STACK_BASE && sp < WINDOW_BASE && sp >= *lo;
}

static bool in_stack_guard(uint64_t va)
{
	uint64_t lo, hi;

	return va >= STACK_BASE && va < WINDOW_BASE && !stack_bounds(va, &lo, &hi);
}

/* The CPU whose stack this is. NMI and #MC come at any time, also while GS is another's
 * (vcpu_msr.c); they have stacks of their own once the CPU has its tables. */
static struct cpu *owner_of_stack(const void *sp)
{
	uint64_t at = (uint64_t)sp;

	return at >= STACK_BASE && at < WINDOW_BASE ? cpu_table[(at - STACK_BASE) / STACK_STRIDE]
						    : this_cpu();
}

void trap_handle(struct trap_frame *f)
{
	const char *name = f->vector < IDT_VECTORS ? names[f->vector] : NULL;

	if (f->vector == VEC_NMI) {
		struct cpu *c = owner_of_stack(f);

		c->nmi_in_root = 1;
		virt_nmi(c, f);
		return;
	}
	if (f->vector == VEC_MC && virt_machine_check(owner_of_stack(f), f))
		return;
	if ((f->vector == VEC_UD || f->vector == VEC_GP || f->vector == VEC_PF) && fix_up(f))
		return;
	if (f->vector == VEC_DF && in_stack_guard(read_cr2()))
		crash(f, "%s: stack overflow, at %#lx", name, read_cr2());
	else if (f->vector == VEC_PF)
		crash(f, "%s at %#lx, error %#lx", name, read_cr2(), f->error);
	else
		crash(f, "%s, error %#lx", name ? name : "reserved exception", f->error);
}
