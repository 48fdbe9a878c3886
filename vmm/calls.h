// SPDX-License-Identifier: MIT
/*
 * What a hypercall handler gets, and all handlers: one for each row of HV_CALL_LIST.
 */
#pragma once

#include <abi/hypercall.h>
#include <hypercall.h>

struct call {
	struct cpu *cpu;
	const uint64_t *args; /* HYPERCALL_ARGS of them */
	void *page;	      /* the calling CPU's call page: read once, it may change under us */
	struct vm *vm;	      /* of calls that are about one, */
	struct vcpu *vcpu;    /* or about one of its vCPUs; see vcpu_calls.c */
	uint64_t *second;     /* RDX */
};

typedef int64_t call_fn(struct call *c);

#define X(number, NAME, name, text) call_fn call_##name;
HV_CALL_LIST(X)
#undef X

call_fn call_selftest __attribute__((weak)); /* in test builds only */

/** Run @fn, the handler of call @number, with the VM or vCPU that the call is about. */
int64_t call_on_subject(struct call *c, uint64_t number, call_fn *fn);
