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
	call_pay, call_owing, call_tsc_khz, call_vm_create, call_vm_destroy, call_vm_fund,
	call_vm_map, call_vm_unmap, call_pool_alloc, call_pool_free, call_vcpu_create,
	call_vcpu_run, call_vcpu_get, call_vcpu_set, call_vcpu_cpuid, call_vcpu_msr, call_vm_msi,
	call_vcpu_nmi, call_vm_eoi_exits, call_vcpu_block, call_vcpu_stats, call_vm_info,
	call_vcpu_apic, call_cpu_dead;

/* The handler of each row, so that a row without one does not compile. */
#define CALL_FUNCTION_VERSION	   call_version
#define CALL_FUNCTION_CPU_PAGE	   call_cpu_page
#define CALL_FUNCTION_INFO	   call_info
#define CALL_FUNCTION_LOG_READ	   call_log_read
#define CALL_FUNCTION_CPU_STATS	   call_cpu_stats
#define CALL_FUNCTION_SELFTEST	   call_selftest
#define CALL_FUNCTION_PAY	   call_pay
#define CALL_FUNCTION_OWING	   call_owing
#define CALL_FUNCTION_TSC_KHZ	   call_tsc_khz
#define CALL_FUNCTION_VM_CREATE	   call_vm_create
#define CALL_FUNCTION_VM_DESTROY   call_vm_destroy
#define CALL_FUNCTION_VM_FUND	   call_vm_fund
#define CALL_FUNCTION_VM_MAP	   call_vm_map
#define CALL_FUNCTION_VM_UNMAP	   call_vm_unmap
#define CALL_FUNCTION_POOL_ALLOC   call_pool_alloc
#define CALL_FUNCTION_POOL_FREE	   call_pool_free
#define CALL_FUNCTION_VCPU_CREATE  call_vcpu_create
#define CALL_FUNCTION_VCPU_RUN	   call_vcpu_run
#define CALL_FUNCTION_VCPU_GET	   call_vcpu_get
#define CALL_FUNCTION_VCPU_SET	   call_vcpu_set
#define CALL_FUNCTION_VCPU_CPUID   call_vcpu_cpuid
#define CALL_FUNCTION_VCPU_MSR	   call_vcpu_msr
#define CALL_FUNCTION_VM_MSI	   call_vm_msi
#define CALL_FUNCTION_VCPU_NMI	   call_vcpu_nmi
#define CALL_FUNCTION_VM_EOI_EXITS call_vm_eoi_exits
#define CALL_FUNCTION_VCPU_BLOCK   call_vcpu_block
#define CALL_FUNCTION_VCPU_STATS   call_vcpu_stats
#define CALL_FUNCTION_VM_INFO	   call_vm_info
#define CALL_FUNCTION_VCPU_APIC	   call_vcpu_apic
#define CALL_FUNCTION_CPU_DEAD	   call_cpu_dead
