// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hardware task switch that the guest asked for: the registers and guest memory that the pure
 * part (task.h) works on.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include "gwalk.h"
#include "task.h"
#include "vcpu.h"

#define SWITCH_GROUPS (HV_GROUP_REGS | HV_GROUP_SREGS | HV_GROUP_EVENTS | HV_GROUP_DEBUG)

#define QUALIFICATION_SOURCE(q) ((q) >> 30 & 3)
#define BLOCKED_BY_SHADOW	3u
#define BLOCKED_BY_NMI		8u

#define EVENT_VALID	(1u << 31)
#define EVENT_HAS_ERROR (1u << 11)
#define EVENT_TYPE(e)	((e) >> 8 & 7)
#define EVENT_VECTOR(e) ((e)&0xff)
#define EVENT_EXCEPTION (EVENT_VALID | 3u << 8)

enum event_type { EVENT_NMI = 2, EVENT_HARDWARE = 3, EVENT_FIRST_SOFTWARE = 4 };

static bool translate(void *context, const struct task_state *state, uint64_t linear, bool write,
		      bool implicit, uint64_t *gpa, struct guest_fault *fault)
{
	struct vcpu *vcpu = context;
	struct gwalk_cpu cpu = {
		.cr0 = state->sregs.cr0,
		.cr3 = state->sregs.cr3,
		.cr4 = state->sregs.cr4,
		.efer = state->sregs.efer,
		.physical_bits = vcpu->physical_bits,
		.cpl = state->sregs.ss.access >> 5 & 3,
		.ac = state->rflags & X86_EFLAGS_AC,
		.gigabyte_pages = vcpu->gigabyte_pages,
	};
	unsigned int access = (write ? GWALK_WRITE : GWALK_READ) | (implicit ? GWALK_IMPLICIT : 0);

	memcpy(cpu.pdpte, state->sregs.pdpte, sizeof(cpu.pdpte));
	return gwalk(&cpu, &vcpu_walk_ops, vcpu, linear, access, gpa, fault) == GWALK_OK;
}

static const struct task_ops task_ops = {
	.translate = translate, .read = vcpu_ram_read, .write = vcpu_ram_write};

static void describe(const struct vcpu *vcpu, struct task_switch *how)
{
	const struct hv_vcpu_page *page = vcpu->page;
	u32 event = page->task.vectoring;
	bool gate, software;

	how->selector = page->qualification;
	how->source = QUALIFICATION_SOURCE(page->qualification);
	gate = how->source == TASK_GATE && event & EVENT_VALID;
	software = EVENT_TYPE(event) >= EVENT_FIRST_SOFTWARE;
	how->external = gate && !software;
	how->has_error = gate && event & EVENT_HAS_ERROR;
	how->error = page->task.error;
	how->next_rip = (u32)(page->rip + (gate && !software ? 0 : page->insn.bytes));
}

static bool contributory(u8 vector)
{
	return !vector || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

/* SDM 3A "Interrupt 8: Double Fault Exception". True: a triple fault. */
static bool combine(u32 event, struct guest_fault *fault)
{
	u8 first = EVENT_VECTOR(event);
	bool serious = contributory(fault->vector) || fault->vector == VECTOR_PF;

	if (!(event & EVENT_VALID) || EVENT_TYPE(event) != EVENT_HARDWARE || !serious)
		return false;
	if (first == VECTOR_DF)
		return true;
	if ((contributory(first) && contributory(fault->vector)) || first == VECTOR_PF)
		*fault = (struct guest_fault){.vector = VECTOR_DF, .has_error = true};
	return false;
}

static int store(struct vcpu *vcpu, const struct task_state *state, const struct task_switch *how)
{
	struct hv_vcpu_page *page = vcpu->page;
	u32 event = page->task.vectoring;

	page->gprs = state->gprs;
	page->rip = state->rip;
	page->rflags = state->rflags;
	page->sregs = state->sregs;
	page->debug = state->debug;
	page->events.interruptibility &= ~BLOCKED_BY_SHADOW;
	if (how->source == TASK_IRET)
		page->events.interruptibility &= ~BLOCKED_BY_NMI;
	if (event & EVENT_VALID && EVENT_TYPE(event) == EVENT_NMI)
		page->events.interruptibility |= BLOCKED_BY_NMI;
	return vcpu_store(vcpu, SWITCH_GROUPS);
}

static void inject(struct vcpu *vcpu, const struct guest_fault *fault)
{
	struct hv_vcpu_page *page = vcpu->page;

	page->events.inject = EVENT_EXCEPTION | fault->vector;
	page->events.inject_error = fault->has_error ? fault->error : 0;
	if (fault->has_error)
		page->events.inject |= EVENT_HAS_ERROR;
	page->flags |= HV_RUN_INJECT;
}

int vcpu_task_switch(struct vcpu *vcpu)
{
	struct hv_vcpu_page *page = vcpu->page;
	struct task_switch how = {0};
	struct guest_fault fault = {0};
	enum task_result result;
	struct task_state state;
	int err;

	describe(vcpu, &how);
	err = vcpu_fetch(vcpu, SWITCH_GROUPS);
	if (err)
		return err;
	state = (struct task_state){.gprs = page->gprs,
				    .rip = page->rip,
				    .rflags = page->rflags,
				    .sregs = page->sregs,
				    .debug = page->debug};
	down_read(&vcpu->vm->memory_lock);
	result = task_switch(&state, &how, &task_ops, vcpu, &fault);
	up_read(&vcpu->vm->memory_lock);
	if (result == TASK_NO_MEMORY) {
		const u64 data[] = {page->rip, how.selector, how.source};

		pr_err_ratelimited("VM %x vCPU %u stops: task switch to %x at RIP 0x%llx needs "
				   "memory that is not there\n",
				   vcpu->vm->handle, vcpu->index, how.selector, page->rip);
		return vcpu_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, data,
					   ARRAY_SIZE(data));
	}
	if (result == TASK_FAULT && combine(page->task.vectoring, &fault)) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return VCPU_TO_USER;
	}
	if (fault.vector == VECTOR_PF)
		state.sregs.cr2 = fault.cr2;
	err = store(vcpu, &state, &how);
	if (!err && result == TASK_FAULT)
		inject(vcpu, &fault);
	return err ? err : VCPU_AGAIN;
}
