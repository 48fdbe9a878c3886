// SPDX-License-Identifier: GPL-2.0-only
/*
 * Talking to the hypervisor: the VMCALL itself, each CPU's call page, and the TLB debts.
 *
 * Everything above this file sees results as enum hv_err negated and translates them with
 * hv_to_errno() where they leave for user space.
 */
#pragma once

#include <linux/types.h>
#include <linux/percpu.h>
#include <linux/preempt.h>

#include "abi/err.h"
#include "abi/hypercall.h"
#include "abi/info.h"
#include "abi/vcpu.h"

#include "errors.h"

/*
 * One hypercall. Returns its result; *second, when not NULL, gets RDX.
 * Context: any; those that use the call page only between hv_page_get() and hv_page_put().
 */
static __always_inline long hv_call(enum hv_call number, u64 a, u64 b, u64 c, u64 d, u64 e,
				    u64 *second)
{
	register u64 r8 asm("r8") = e;
	long result;

	asm volatile("vmcall"
		     : "=a"(result), "+d"(c), "+r"(r8)
		     : "a"((u64)number), "D"(a), "S"(b), "c"(d)
		     : "memory", "cc");
	if (second)
		*second = c;
	return result;
}

static __always_inline long hv_call0(enum hv_call number)
{
	return hv_call(number, 0, 0, 0, 0, 0, NULL);
}

static __always_inline long hv_call1(enum hv_call number, u64 a)
{
	return hv_call(number, a, 0, 0, 0, 0, NULL);
}

static __always_inline long hv_call2(enum hv_call number, u64 a, u64 b)
{
	return hv_call(number, a, b, 0, 0, 0, NULL);
}

static __always_inline long hv_call3(enum hv_call number, u64 a, u64 b, u64 c)
{
	return hv_call(number, a, b, c, 0, 0, NULL);
}

/*
 * This CPU's call page, HV_PAGE_BYTES long, with preemption off until hv_page_put(). NULL (and
 * preemption on) when this CPU has none.
 * Context: process. Interrupt handlers must not use the page: they would tread on its user.
 */
void *hv_page_get(void);
void hv_page_put(void);

/* hv_call3() with `bytes` from `in` put into the call page first, or taken to `out` after success.
 */
long hv_call_in(enum hv_call number, u64 a, u64 b, u64 c, const void *in, size_t bytes);
long hv_call_out(enum hv_call number, u64 a, u64 b, u64 c, void *out, size_t bytes);

/*
 * hv_call() for calls that take memory from the pool: while it answers AGAIN (memory is there, but
 * waits for flushes or scrubbing), makes all CPUs pay and asks again, until a
 * signal is pending in a process that lives on.
 * Context: process, interrupts on. `in`, when not NULL, goes to the call page before each try.
 */
long hv_call_patient(enum hv_call number, const u64 arguments[5], const void *in, size_t in_bytes,
		     void *out, size_t out_bytes, u64 *second);

/*
 * Waits until every CPU has paid the invalidations of `epoch`, which a hypercall that took memory
 * away returned; only then may the memory be used again. A negative epoch (the call's own error) is
 * handed back. -HV_ERR_STATE: CPUs that Linux cannot reach still owe; the memory must be left
 * alone. Context: process, interrupts on, not in a CPU hotplug callback; sends IPIs and waits.
 */
long hv_settle(long epoch);

/*
 * Finds the hypervisor and prepares all CPUs, now and as they come online; -ENODEV without one,
 * -EPROTO with one of another version. Says why in the kernel log.
 */
int hv_init(void);
void hv_exit(void);
