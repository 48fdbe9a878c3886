// SPDX-License-Identifier: MIT
/*
 * Paying TLB debts; the bookkeeping is debt.c, the flush is the architecture's.
 */
#include <tlb.h>
#include <x86/percpu.h>
#include <x86/virt.h>

struct debt tlb_debt;

void tlb_pay(struct cpu *cpu)
{
	uint64_t epoch = debt_pay_begin(&tlb_debt);

	virt_flush_all();
	debt_pay_end(&tlb_debt, cpu->index, epoch);
}

void tlb_quiesce(struct cpu *cpu)
{
	debt_cpu_quiesce(&tlb_debt, cpu->index);
}

void tlb_resume(struct cpu *cpu)
{
	debt_cpu_resume(&tlb_debt, cpu->index);
	virt_flush_all();
}
