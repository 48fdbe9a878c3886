// SPDX-License-Identifier: GPL-2.0-only
/*
 * One virtual CPU in the driver, and what its parts offer each other.
 *
 * The state of a vCPU is the hypervisor's; what is kept here is the way to it (the vCPU page), the
 * thread that sleeps for it, and an operation that waits for the device model's answer. vcpu->lock
 * is held across each ioctl, so one thread at a time runs it or looks at it.
 *
 * Reading order: vcpu.c (descriptor, ioctls), vcpu_run.c (the loop), vcpu_emulate.c (instructions
 * on device memory), vcpu_state.c and convert.c (registers), vcpu_cpuid.c (CPUID, MSRs).
 */
#pragma once

#include <linux/kvm.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/signal_types.h>

#include "insn.h"
#include "vm.h"

#define VCPU_RUN_PAGES 2 /* struct kvm_run, then the data of port accesses */

enum vcpu_pending {
	PENDING_NOTHING,
	PENDING_PORT_READ,   /* kvm_run has the value for page->io */
	PENDING_INSTRUCTION, /* kvm_run has the answer to insn.request */
};

struct vcpu {
	struct vm *vm;
	u32 index; /* the hypervisor's */
	u32 id;	   /* APIC id */
	bool open; /* it has a descriptor; under vm->lock */
	struct mutex lock;
	struct kvm_run *run;
	struct hv_vcpu_page *page;

	/* Sleeping and being kicked: vcpu_run.c explains the order of accesses. */
	struct rcuwait wait;
	bool woken;
	bool asked_window; /* HV_RUN_WINDOW was set at the last entry */
	bool window_open;  /* it was answered, and nothing has happened since */
	int running_on;	   /* CPU whose guest this is right now, or -1 */

	bool mask_signals;
	sigset_t signal_mask;

	enum vcpu_pending pending;
	struct insn_run insn;
	struct insn_cpu cpu; /* the registers of the instruction under way */
	u8 code[INSN_MAX_BYTES];
	unsigned int fetched; /* bytes of it */
	unsigned int walk;    /* enum gwalk_result of the last page walk */
	unsigned int iterations;
	bool asked_port; /* the answer is in the run page's port data, not in mmio */

	u64 apic_address; /* the APIC's, as KVM_SET_SREGS gave it: shown; it stays where it is */
	bool ran;	  /* its CPUID is fixed */
	struct kvm_cpuid_entry2 *cpuid;
	u32 cpuid_count;
	u8 physical_bits; /* what the page walker wants to know of it */
	bool gigabyte_pages;
};

/* Of a CPU without a CPUID leaf that says so (SDM 3A "Enumeration of Paging Features by CPUID"). */
#define DEFAULT_PHYSICAL_BITS 36

/* Results of the parts of KVM_RUN: an errno negated, or one of these. */
enum vcpu_next { VCPU_TO_USER = 0, VCPU_AGAIN = 1 };

/* VCPU_GET and VCPU_SET of HV_GROUP_*: an errno negated, or 0. Context: vcpu->lock held. */
int vcpu_fetch(struct vcpu *vcpu, u32 groups);
int vcpu_store(struct vcpu *vcpu, u32 groups);

/* ---- vcpu_run.c */
int vcpu_run(struct vcpu *vcpu);
void vcpu_kick(struct vcpu *vcpu);

/* ---- vcpu_emulate.c: start after an INSN exit, go on with the device model's answer. */
int vcpu_emulate(struct vcpu *vcpu);
int vcpu_emulate_answered(struct vcpu *vcpu);
void vcpu_emulate_reload(struct vcpu *vcpu); /* while it waits: registers were set from outside */

/* Guest page tables, for gwalk(), and guest memory; `context` is the vCPU. False: no RAM there.
 * Context: memory_lock held. */
extern const struct gwalk_ops vcpu_walk_ops;
bool vcpu_ram_read(void *context, uint64_t gpa, void *data, unsigned int bytes);
bool vcpu_ram_write(void *context, uint64_t gpa, const void *data, unsigned int bytes);

/* ---- vcpu_task.c: carry out the task switch of a TASK exit. */
int vcpu_task_switch(struct vcpu *vcpu);

/* Fills in KVM_EXIT_INTERNAL_ERROR; returns VCPU_TO_USER. */
int vcpu_internal_error(struct vcpu *vcpu, u32 suberror, const u64 *data, u32 count);

/* As of the last stay, or of SREGS fetched since. */
static inline u64 vcpu_apic_base(const struct vcpu *vcpu)
{
	return vcpu->apic_address | (vcpu->page->sregs.apic_base & ~PAGE_MASK);
}

/* ---- vcpu_state.c: KVM_GET_* and KVM_SET_* of registers. */
long vcpu_state_ioctl(struct vcpu *vcpu, unsigned int command, void __user *user);

/* KVM_CAP_SYNC_REGS: what the run page says is dirty is set, what it wants to see is stored there.
 */
int vcpu_sync_from_run(struct vcpu *vcpu);
int vcpu_sync_to_run(struct vcpu *vcpu);

/* ---- vcpu_cpuid.c */
long vcpu_set_cpuid(struct vcpu *vcpu, struct kvm_cpuid2 __user *user);
long vcpu_get_cpuid(struct vcpu *vcpu, struct kvm_cpuid2 __user *user);
long vcpu_get_msrs(struct vcpu *vcpu, struct kvm_msrs __user *user);
long vcpu_set_msrs(struct vcpu *vcpu, struct kvm_msrs __user *user);
u64 cpuid_cr4_bits(void); /* that a guest may have */
long msr_get_feature_list(struct kvm_msr_list __user *user);
long msr_get_features(struct kvm_msrs __user *user);
long cpuid_get_supported(struct kvm_cpuid2 __user *user);
long msr_get_index_list(struct kvm_msr_list __user *user);
