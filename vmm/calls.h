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

call_fn call_version, call_cpu_page, call_info, call_log_read, call_cpu_stats, call_selftest,
	call_pay, call_owing, call_tsc_khz;

#define CALL_FUNCTION_VERSION	   call_version
#define CALL_FUNCTION_CPU_PAGE	   call_cpu_page
#define CALL_FUNCTION_INFO	   call_info
#define CALL_FUNCTION_LOG_READ	   call_log_read
#define CALL_FUNCTION_CPU_STATS	   call_cpu_stats
#define CALL_FUNCTION_SELFTEST	   call_selftest
#define CALL_FUNCTION_PAY	   call_pay
#define CALL_FUNCTION_OWING	   call_owing
#define CALL_FUNCTION_TSC_KHZ	   call_tsc_khz
#define CALL_FUNCTION_VM_CREATE	   NULL
#define CALL_FUNCTION_VM_DESTROY   NULL
#define CALL_FUNCTION_VM_FUND	   NULL
#define CALL_FUNCTION_VM_MAP	   NULL
#define CALL_FUNCTION_VM_UNMAP	   NULL
#define CALL_FUNCTION_POOL_ALLOC   NULL
#define CALL_FUNCTION_POOL_FREE	   NULL
#define CALL_FUNCTION_VCPU_CREATE  NULL
#define CALL_FUNCTION_VCPU_RUN	   NULL
#define CALL_FUNCTION_VCPU_GET	   NULL
#define CALL_FUNCTION_VCPU_SET	   NULL
#define CALL_FUNCTION_VCPU_CPUID   NULL
#define CALL_FUNCTION_VCPU_MSR	   NULL
#define CALL_FUNCTION_VM_MSI	   NULL
#define CALL_FUNCTION_VCPU_NMI	   NULL
#define CALL_FUNCTION_VM_EOI_EXITS NULL
#define CALL_FUNCTION_VCPU_BLOCK   NULL
#define CALL_FUNCTION_VCPU_STATS   NULL
#define CALL_FUNCTION_VM_INFO	   NULL
#define CALL_FUNCTION_VCPU_APIC	   NULL
