// SPDX-License-Identifier: MIT
/*
 * What a hypercall handler gets, and all handlers: one for each row of HV_CALL_LIST.
 */
#pragma once

#include <abi/hypercall.h>
#include <hypercall.h>

struct call {
	struct cpu *cpu;
	uint64_t args[HYPERCALL_ARGS];
	void *page;	  /* the calling CPU's call page: read once, it may change under us */
	uint64_t *second; /* RDX */
};

typedef int64_t call_fn(struct call *c);

#define X(number, NAME, name, text) call_fn call_##name;
HV_CALL_LIST(X)
#undef X

call_fn call_selftest __attribute__((weak)); /* in test builds only */
