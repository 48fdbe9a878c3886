// SPDX-License-Identifier: MIT
/*
 * TLB debts: what every CPU still has to invalidate before memory may change hands.
 *
 * The hypervisor never waits for another CPU. Taking a translation away starts a new *epoch*; a CPU
 * that flushes has paid every epoch that had begun before its flush; a frame taken away in epoch E
 * is reusable once no CPU owes E. That is one counter for the machine and one word per CPU, however
 * many frames, VMs and unfinished removals there are. Paying means whatever `flush` means to the
 * caller: here INVEPT of all contexts and, for the arena, a reload of root's CR3.
 *
 * A CPU that cannot use a translation (offline, in wait-for-SIPI) is *quiescent* and owes nothing,
 * but must flush before it runs a guest again.
 *
 * Everything is lock-free, may run on all CPUs at once, also against itself, and needs no interrupt
 * state; debt_init() alone runs before the others. Each paid word is written by its own CPU only.
 */
#pragma once

#include <types.h>

#define DEBT_MAX_CPUS 4096

/** A CPU's share; on a cache line of its own, since all pay at about the same time. */
struct debt_cpu {
	uint64_t paid; /* all epochs up to here; UINT64_MAX while quiescent */
} __aligned(64);

struct debt {
	uint64_t epoch;	  /* the newest epoch begun */
	uint64_t cleared; /* no CPU owes anything up to here: a lower bound, never falls */
	unsigned int cpus;
	struct debt_cpu *cpu;
};

/** Start with all of @cpus CPUs quiescent; @cpu is an array of that many, kept by the caller as
 * long as @d. */
void debt_init(struct debt *d, struct debt_cpu *cpu, unsigned int cpus);

/**
 * Begin an epoch, after the translations were removed from the tables: every CPU that is not
 * quiescent owes it. One epoch may stand for any number of removals. Returns the epoch (from 1).
 */
uint64_t debt_new(struct debt *d);

/**
 * The epoch that a flush started now will pay. Paying is three steps on the CPU that pays:
 * `e = debt_pay_begin(d); flush; debt_pay_end(d, cpu, e);` in that order, since a flush does not
 * cover what was removed after it.
 */
uint64_t debt_pay_begin(const struct debt *d);

/** Record that @cpu (the caller) has flushed since debt_pay_begin() returned @epoch. */
void debt_pay_end(struct debt *d, unsigned int cpu, uint64_t epoch);

/** True if @cpu owes anything: a cheap look at an exit. */
bool debt_owes(const struct debt *d, unsigned int cpu);

/** @cpu (the caller) will use no translation until debt_cpu_resume(). */
void debt_cpu_quiesce(struct debt *d, unsigned int cpu);

/** @cpu (the caller) is about to use translations again; it must flush *after* this call and before
 * the first VM entry. What it owed while quiescent is paid by that flush. */
void debt_cpu_resume(struct debt *d, unsigned int cpu);

/** True if no CPU owes @epoch; once true, true for ever. Amortised O(1): only an unpaid epoch scans
 * the CPUs. */
bool debt_cleared(struct debt *d, uint64_t epoch);

/**
 * The CPUs that owe @epoch, as a bitmap: bit n of @bitmap[n / 64]; all @words words are written.
 * Returns their number; CPUs beyond the bitmap are counted, not shown.
 */
unsigned int debt_owing(const struct debt *d, uint64_t epoch, uint64_t *bitmap, unsigned int words);
