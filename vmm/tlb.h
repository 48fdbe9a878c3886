// SPDX-License-Identifier: MIT
/*
 * The machine's TLB debt (debt.h) and how a CPU pays: by flushing everything that EPT, VPID and the
 * hypervisor's own tables left in its TLB.
 */
#pragma once

#include <debt.h>

struct cpu;

extern struct debt tlb_debt;

/** Pay what this CPU owes. Context: any CPU in VMX operation, itself only. */
void tlb_pay(struct cpu *cpu);

/** @cpu stops using translations: itself (wait-for-SIPI), or it is parked. It starts again by
 * tlb_resume(). */
void tlb_quiesce(struct cpu *cpu);
void tlb_resume(struct cpu *cpu);
