// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_* and KVM_SET_* of a vCPU's registers: fetch a group into the vCPU page, convert, copy;
 * or the other way round. The hypervisor refuses what the architecture forbids.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>

#include "convert.h"
#include "cpuid_policy.h"
#include "vcpu.h"

/* Large structures are kept off the stack; one suffices because vcpu->lock is held per call. */
union state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
};

static int get_regs(struct vcpu *vcpu, union state *state)
{
	convert_regs_to_kvm(&vcpu->page->gprs, &state->regs);
	state->regs.rip = vcpu->page->rip;
	state->regs.rflags = vcpu->page->rflags;
	return 0;
}

/* An operation under way goes on with the new registers, unless they lead elsewhere. */
static int set_regs(struct vcpu *vcpu, union state *state)
{
	if (state->regs.rip != vcpu->page->rip)
		vcpu->pending = PENDING_NOTHING;
	convert_regs_from_kvm(&state->regs, &vcpu->page->gprs);
	if (vcpu->pending == PENDING_INSTRUCTION)
		vcpu_emulate_reload(vcpu);
	vcpu->page->rip = state->regs.rip;
	vcpu->page->rflags = state->regs.rflags | X86_EFLAGS_FIXED;
	return 0;
}

static int get_sregs(struct vcpu *vcpu, union state *state)
{
	convert_sregs_to_kvm(&vcpu->page->sregs, &state->sregs);
	state->sregs.apic_base = vcpu_apic_base(vcpu);
	convert_interrupt_to_kvm(&vcpu->page->events, state->sregs.interrupt_bitmap);
	return 0;
}

static int set_sregs(struct vcpu *vcpu, union state *state)
{
	if (!convert_sregs_valid(&state->sregs, cpuid_cr4_bits()))
		return -EINVAL;
	convert_sregs_from_kvm(&state->sregs, &vcpu->page->sregs);
	vcpu->apic_address = state->sregs.apic_base & PAGE_MASK;
	vcpu->page->sregs.apic_base &= ~PAGE_MASK;
	vcpu->page->sregs.apic_base |= APIC_DEFAULT_PHYS_BASE;
	convert_interrupt_from_kvm(state->sregs.interrupt_bitmap, &vcpu->page->events);
	return 0;
}

static int get_fpu(struct vcpu *vcpu, union state *state)
{
	convert_fpu_to_kvm(vcpu->page->xsave, &state->fpu);
	return 0;
}

static int set_fpu(struct vcpu *vcpu, union state *state)
{
	convert_fpu_from_kvm(&state->fpu, vcpu->page->xsave);
	return 0;
}

static int get_xsave(struct vcpu *vcpu, union state *state)
{
	memcpy(state->xsave.region, vcpu->page->xsave, sizeof(vcpu->page->xsave));
	return 0;
}

static int set_xsave(struct vcpu *vcpu, union state *state)
{
	memcpy(vcpu->page->xsave, state->xsave.region, sizeof(vcpu->page->xsave));
	return 0;
}

static int get_xcrs(struct vcpu *vcpu, union state *state)
{
	memset(&state->xcrs, 0, sizeof(state->xcrs));
	state->xcrs.nr_xcrs = 1;
	state->xcrs.xcrs[0].value = vcpu->page->xcr0;
	return 0;
}

static int set_xcrs(struct vcpu *vcpu, union state *state)
{
	u32 i;

	if (state->xcrs.flags || state->xcrs.nr_xcrs > KVM_MAX_XCRS)
		return -EINVAL;
	for (i = 0; i < state->xcrs.nr_xcrs; i++)
		if (state->xcrs.xcrs[i].xcr == 0)
			vcpu->page->xcr0 = state->xcrs.xcrs[i].value;
	return 0;
}

static int get_lapic(struct vcpu *vcpu, union state *state)
{
	memcpy(state->lapic.regs, vcpu->page->lapic, sizeof(state->lapic.regs));
	return 0;
}

static int set_lapic(struct vcpu *vcpu, union state *state)
{
	memcpy(vcpu->page->lapic, state->lapic.regs, sizeof(state->lapic.regs));
	return 0;
}

static int get_mp_state(struct vcpu *vcpu, union state *state)
{
	state->mp_state.mp_state = convert_activity_to_kvm(vcpu->page->events.activity);
	return 0;
}

static int set_mp_state(struct vcpu *vcpu, union state *state)
{
	return convert_activity_from_kvm(state->mp_state.mp_state, &vcpu->page->events.activity)
		       ? 0
		       : -EINVAL;
}

static int get_events(struct vcpu *vcpu, union state *state)
{
	convert_events_to_kvm(&vcpu->page->events, &state->events);
	return 0;
}

static int set_events(struct vcpu *vcpu, union state *state)
{
	return convert_events_from_kvm(&state->events, &vcpu->page->events) ? 0 : -EINVAL;
}

static int get_debugregs(struct vcpu *vcpu, union state *state)
{
	memset(&state->debugregs, 0, sizeof(state->debugregs));
	memcpy(state->debugregs.db, vcpu->page->debug.dr, sizeof(state->debugregs.db));
	state->debugregs.dr6 = vcpu->page->debug.dr6;
	state->debugregs.dr7 = vcpu->page->debug.dr7;
	return 0;
}

static int set_debugregs(struct vcpu *vcpu, union state *state)
{
	if (state->debugregs.flags)
		return -EINVAL;
	memcpy(vcpu->page->debug.dr, state->debugregs.db, sizeof(state->debugregs.db));
	vcpu->page->debug.dr6 = state->debugregs.dr6;
	vcpu->page->debug.dr7 = state->debugregs.dr7;
	return 0;
}

/*
 * Either direction fetches first: a setter changes its part of a group and leaves the rest. The
 * size to copy is the one in the ioctl's number.
 */
static const struct state_call {
	unsigned int command;
	u32 groups;
	bool set;
	int (*convert)(struct vcpu *vcpu, union state *state);
} state_calls[] = {
	{KVM_GET_REGS, HV_GROUP_REGS, false, get_regs},
	{KVM_SET_REGS, HV_GROUP_REGS, true, set_regs},
	{KVM_GET_SREGS, HV_GROUP_SREGS | HV_GROUP_EVENTS, false, get_sregs},
	{KVM_SET_SREGS, HV_GROUP_SREGS | HV_GROUP_EVENTS, true, set_sregs},
	{KVM_GET_FPU, HV_GROUP_FPU, false, get_fpu},
	{KVM_SET_FPU, HV_GROUP_FPU, true, set_fpu},
	{KVM_GET_XSAVE, HV_GROUP_FPU, false, get_xsave},
	{KVM_SET_XSAVE, HV_GROUP_FPU, true, set_xsave},
	{KVM_GET_XCRS, HV_GROUP_FPU, false, get_xcrs},
	{KVM_SET_XCRS, HV_GROUP_FPU, true, set_xcrs},
	{KVM_GET_LAPIC, HV_GROUP_LAPIC, false, get_lapic},
	{KVM_SET_LAPIC, HV_GROUP_LAPIC, true, set_lapic},
	{KVM_GET_MP_STATE, HV_GROUP_EVENTS, false, get_mp_state},
	{KVM_SET_MP_STATE, HV_GROUP_EVENTS, true, set_mp_state},
	{KVM_GET_VCPU_EVENTS, HV_GROUP_EVENTS, false, get_events},
	{KVM_SET_VCPU_EVENTS, HV_GROUP_EVENTS, true, set_events},
	{KVM_GET_DEBUGREGS, HV_GROUP_DEBUG, false, get_debugregs},
	{KVM_SET_DEBUGREGS, HV_GROUP_DEBUG, true, set_debugregs},
};

static const struct state_call *find_call(unsigned int command)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(state_calls); i++)
		if (state_calls[i].command == command)
			return &state_calls[i];
	return NULL;
}

static int carry_out(struct vcpu *vcpu, const struct state_call *call, union state *state)
{
	int err = vcpu_fetch(vcpu, call->groups);

	if (!err)
		err = call->convert(vcpu, state);
	return err || !call->set ? err : vcpu_store(vcpu, call->groups);
}

static int move_state(struct vcpu *vcpu, const struct state_call *call, union state *state,
		      void __user *user)
{
	size_t bytes = _IOC_SIZE(call->command);
	int err;

	if (call->set && copy_from_user(state, user, bytes))
		return -EFAULT;
	err = carry_out(vcpu, call, state);
	if (err || call->set)
		return err;
	return copy_to_user(user, state, bytes) ? -EFAULT : 0;
}

long vcpu_state_ioctl(struct vcpu *vcpu, unsigned int command, void __user *user)
{
	const struct state_call *call = find_call(command);
	union state *state;
	int err;

	if (!call)
		return -ENOTTY;
	state = kzalloc(sizeof(*state), GFP_KERNEL);
	if (!state)
		return -ENOMEM;
	err = move_state(vcpu, call, state, user);
	kfree(state);
	return err;
}

/* ---- KVM_CAP_SYNC_REGS: the same through the run page */

static const struct {
	u64 field;
	unsigned int get, set;
	size_t offset; /* in the run page */
} synced[] = {
	{KVM_SYNC_X86_REGS, KVM_GET_REGS, KVM_SET_REGS, offsetof(struct kvm_run, s.regs.regs)},
	{KVM_SYNC_X86_SREGS, KVM_GET_SREGS, KVM_SET_SREGS, offsetof(struct kvm_run, s.regs.sregs)},
	{KVM_SYNC_X86_EVENTS, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
	 offsetof(struct kvm_run, s.regs.events)},
};

/* The process may write the page at any time, so each structure is copied before it is looked at.
 */
static int sync_one(struct vcpu *vcpu, unsigned int command, void *place)
{
	const struct state_call *call = find_call(command);
	size_t bytes = _IOC_SIZE(command);
	union state *state = kzalloc(sizeof(*state), GFP_KERNEL);
	int err;

	if (!state)
		return -ENOMEM;
	if (call->set)
		memcpy(state, place, bytes);
	err = carry_out(vcpu, call, state);
	if (!err && !call->set)
		memcpy(place, state, bytes);
	kfree(state);
	return err;
}

static int sync_fields(struct vcpu *vcpu, u64 fields, bool set)
{
	int err = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(synced) && !err; i++)
		if (fields & synced[i].field)
			err = sync_one(vcpu, set ? synced[i].set : synced[i].get,
				       (u8 *)vcpu->run + synced[i].offset);
	return err;
}

int vcpu_sync_from_run(struct vcpu *vcpu)
{
	u64 dirty = READ_ONCE(vcpu->run->kvm_dirty_regs);
	int err;

	if ((dirty | READ_ONCE(vcpu->run->kvm_valid_regs)) & ~KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	err = sync_fields(vcpu, dirty, true);
	if (!err)
		vcpu->run->kvm_dirty_regs = 0;
	return err;
}

int vcpu_sync_to_run(struct vcpu *vcpu)
{
	return sync_fields(vcpu, READ_ONCE(vcpu->run->kvm_valid_regs), false);
}
