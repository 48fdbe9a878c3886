// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN: a Linux thread that is a virtual CPU.
 *
 * The loop: with interrupts off, ask the hypervisor to run the vCPU on this CPU; it comes back when
 *Linux has something to do, and Linux does it, an interrupt by the mere enabling of interrupts.
 *Preemption, priorities, affinity, cgroups are those of the thread.
 *
 * No wake-up is lost. An event for a vCPU is first posted in the hypervisor, then the vCPU is
 *kicked. vCPU: running_on = cpu; barrier; VCPU_RUN looks at events     kicker: post; read
 *running_on vCPU: woken = false; VCPU_BLOCK refuses if one is posted      kicker: post; woken =
 *true; wake Whatever order these take, the vCPU sees the event or the kicker sees the vCPU. An
 *interrupt sent to a CPU between "interrupts off" and VM entry stays pending there and ends the
 *guest's run at once.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/vtime.h>
#include <asm/tsc.h>

#include "irqchip.h"
#include "thread_work.h"
#include "vcpu.h"

#define PIO_DATA_OFFSET PAGE_SIZE
#define NO_DEADLINE	U64_MAX
#define INJECT_EXTERNAL (1u << 31)
#define OWES_WORK	0x7fffffffl

void vcpu_kick(struct vcpu *vcpu)
{
	int cpu;

	WRITE_ONCE(vcpu->woken, true);
	rcuwait_wake_up(&vcpu->wait);
	cpu = READ_ONCE(vcpu->running_on);
	if (cpu >= 0 && cpu != raw_smp_processor_id())
		smp_send_reschedule(cpu);
}

int vcpu_internal_error(struct vcpu *vcpu, u32 suberror, const u64 *data, u32 count)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = count;
	memcpy(run->internal.data, data, count * sizeof(*data));
	return VCPU_TO_USER;
}

/* False when the deadline has passed already. */
static bool deadline_to_ktime(u64 deadline_tsc, ktime_t *expires)
{
	u64 now = rdtsc();

	if (deadline_tsc <= now)
		return false;
	*expires = ktime_add_ns(
		ktime_get(), min_t(u64, mul_u64_u32_div(deadline_tsc - now, NSEC_PER_MSEC, tsc_khz),
				   KTIME_MAX / 2));
	return true;
}

/* Sleeps until an event, the deadline or a signal; which one it was shows when the vCPU runs again.
 */
static int block(struct vcpu *vcpu, u64 deadline_tsc)
{
	ktime_t expires, *until = NULL;
	long result;

	if (deadline_tsc != NO_DEADLINE) {
		if (!deadline_to_ktime(deadline_tsc, &expires))
			return VCPU_AGAIN;
		until = &expires;
	}
	WRITE_ONCE(vcpu->woken, false);
	smp_mb(); /* before the hypervisor looks for events */
	result = hv_call2(HV_CALL_VCPU_BLOCK, vcpu->vm->handle, vcpu->index);
	if (result == -HV_ERR_AGAIN || (irqchip_wants_window(vcpu) && !vcpu->asked_window))
		return VCPU_AGAIN;
	if (result < 0)
		return hv_to_errno(result);
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (READ_ONCE(vcpu->woken) || thread_work_pending())
			break;
		if (!schedule_hrtimeout_range(until, 0, HRTIMER_MODE_ABS))
			break;
	}
	finish_rcuwait(&vcpu->wait);
	return VCPU_AGAIN;
}

/* Ports of chips in the driver. */
static bool port_access_here(struct vcpu *vcpu)
{
	struct hv_vcpu_page *page = vcpu->page;
	bool in = page->io.flags & HV_IO_IN;
	u64 data = page->io.data;

	if (!irqchip_port(vcpu->vm, page->io.port, page->io.bytes, in, &data))
		return false;
	if (in) /* these are all one byte wide */
		page->gprs.rax = (page->gprs.rax & ~0xffull) | (data & 0xff);
	return true;
}

static int port_access(struct vcpu *vcpu)
{
	const struct hv_vcpu_page *page = vcpu->page;
	struct kvm_run *run = vcpu->run;
	bool in = page->io.flags & HV_IO_IN;

	if (vcpu->vm->irqchip && port_access_here(vcpu))
		return VCPU_AGAIN;
	if (!in && ioeventfd_port_write(vcpu->vm, page))
		return VCPU_AGAIN;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = page->io.bytes;
	run->io.port = page->io.port;
	run->io.count = 1;
	run->io.data_offset = PIO_DATA_OFFSET;
	if (in)
		vcpu->pending = PENDING_PORT_READ;
	else
		memcpy((u8 *)run + PIO_DATA_OFFSET, &page->io.data, sizeof(page->io.data));
	return VCPU_TO_USER;
}

/* IN writes AL, AX or EAX; the last clears the upper half of RAX. */
static void port_read_answered(struct vcpu *vcpu)
{
	struct hv_vcpu_page *page = vcpu->page;
	u32 value;

	memcpy(&value, (u8 *)vcpu->run + PIO_DATA_OFFSET, sizeof(value));
	switch (page->io.bytes) {
	case 1:
		page->gprs.rax = (page->gprs.rax & ~0xffull) | (value & 0xff);
		break;
	case 2:
		page->gprs.rax = (page->gprs.rax & ~0xffffull) | (value & 0xffff);
		break;
	default:
		page->gprs.rax = value;
	}
}

static int fail_entry(struct vcpu *vcpu)
{
	pr_err_ratelimited("VM %x vCPU %u: VM entry refused (%llu): %.*s\n", vcpu->vm->handle,
			   vcpu->index, vcpu->page->reason, (int)sizeof(vcpu->page->text),
			   vcpu->page->text);
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = vcpu->page->reason;
	vcpu->run->fail_entry.cpu = raw_smp_processor_id();
	return VCPU_TO_USER;
}

static int unexpected_exit(struct vcpu *vcpu)
{
	const u64 data[] = {vcpu->page->reason, vcpu->page->qualification, vcpu->page->rip};

	pr_err_ratelimited(
		"VM %x vCPU %u stops: exit reason %llu, qualification 0x%llx, RIP 0x%llx: %.*s\n",
		vcpu->vm->handle, vcpu->index, data[0], data[1], data[2],
		(int)sizeof(vcpu->page->text), vcpu->page->text);
	return vcpu_internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, data,
				   ARRAY_SIZE(data));
}

static int handle_exit(struct vcpu *vcpu, long reason)
{
	struct hv_vcpu_page *page = vcpu->page;
	u64 kick = page->kick;

	if (kick) {
		page->kick = 0;
		vcpu_kick_many(vcpu->vm, kick);
	}
	if (READ_ONCE(page->rung))
		ioeventfd_rung(vcpu);
	if (likely(reason == HV_VCPU_EXIT_PIO))
		return port_access(vcpu);
	switch (reason) {
	case HV_VCPU_EXIT_INTR:
	case HV_VCPU_EXIT_KICK:
	case HV_VCPU_EXIT_DOORBELL:
		return VCPU_AGAIN;
	case HV_VCPU_EXIT_HLT:
		return block(vcpu, page->deadline_tsc);
	case HV_VCPU_EXIT_WAIT_SIPI:
		return block(vcpu, NO_DEADLINE);
	case HV_VCPU_EXIT_INSN:
		return vcpu_emulate(vcpu);
	case HV_VCPU_EXIT_TASK:
		return vcpu_task_switch(vcpu);
	case HV_VCPU_EXIT_WINDOW:
		vcpu->window_open = true;
		return VCPU_AGAIN;
	case HV_VCPU_EXIT_EOI:
		if (vcpu->vm->irqchip) {
			irqchip_end(vcpu->vm, page->vector);
			return VCPU_AGAIN;
		}
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = page->vector;
		return VCPU_TO_USER;
	case HV_VCPU_EXIT_SHUTDOWN:
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return VCPU_TO_USER;
	case HV_VCPU_EXIT_FAIL_ENTRY:
		return fail_entry(vcpu);
	default:
		return unexpected_exit(vcpu);
	}
}

/*
 * The PIC's interrupt: asked for until the guest can take it, and only then acknowledged, as on
 * hardware. From the acknowledge to the entry nothing may come between.
 */
static void order_extint(struct vcpu *vcpu)
{
	struct hv_vcpu_page *page = vcpu->page;
	int vector;

	if (!vcpu->vm->irqchip)
		return;
	vector = vcpu->window_open ? irqchip_acknowledge(vcpu->vm) : -1;
	vcpu->window_open = false;
	if (vector >= 0) {
		page->events.inject = INJECT_EXTERNAL | vector;
		page->flags |= HV_RUN_INJECT;
	}
	vcpu->asked_window = irqchip_wants_window(vcpu);
	if (vcpu->asked_window)
		page->flags |= HV_RUN_WINDOW;
}

/* One stay in the guest, or none when this thread has other work. */
static long enter(struct vcpu *vcpu)
{
	long reason;

	local_irq_disable();
	WRITE_ONCE(vcpu->running_on, smp_processor_id());
	smp_mb(); /* before the hypervisor looks for events */
	if (thread_work_pending()) {
		WRITE_ONCE(vcpu->running_on, -1);
		local_irq_enable();
		return OWES_WORK;
	}
	order_extint(vcpu);
	vtime_account_guest_enter();
	reason = hv_call2(HV_CALL_VCPU_RUN, vcpu->vm->handle, vcpu->index);
	WRITE_ONCE(vcpu->running_on, -1);
	if (reason == HV_VCPU_EXIT_INTR) {
		rcu_note_context_switch(false);
		/* A tick that is taken now, not later, is accounted to the guest. */
		local_irq_enable();
		asm volatile(
			"nop"); /* interrupts come only after the instruction that follows STI */
		local_irq_disable();
	}
	vtime_account_guest_exit();
	local_irq_enable();
	return reason;
}

static int run_loop(struct vcpu *vcpu)
{
	int next = VCPU_AGAIN;
	long reason;

	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	while (next == VCPU_AGAIN) {
		reason = enter(vcpu);
		if (reason == OWES_WORK) {
			if (!thread_work_do())
				continue;
			vcpu->run->exit_reason = KVM_EXIT_INTR;
			return -EINTR;
		}
		if (reason < 0) {
			pr_err_ratelimited("VM %x vCPU %u does not run: %s\n", vcpu->vm->handle,
					   vcpu->index, hv_error_text(reason));
			return hv_to_errno(reason);
		}
		next = handle_exit(vcpu, reason);
	}
	return next;
}

static int finish_pending(struct vcpu *vcpu)
{
	enum vcpu_pending pending = vcpu->pending;

	vcpu->pending = PENDING_NOTHING;
	if (pending == PENDING_INSTRUCTION)
		return vcpu_emulate_answered(vcpu);
	if (pending == PENDING_PORT_READ)
		port_read_answered(vcpu);
	return VCPU_AGAIN;
}

int vcpu_run(struct vcpu *vcpu)
{
	const struct hv_vcpu_page *page = vcpu->page;
	struct kvm_run *run = vcpu->run;
	sigset_t saved;
	int result, err;

	if (!vm_has_irqchip(vcpu->vm)) {
		pr_info_ratelimited("%s[%d]: a vCPU runs only with KVM_CREATE_IRQCHIP or "
				    "KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP) before it is made\n",
				    current->comm, task_pid_nr(current));
		return -EINVAL;
	}
	if (READ_ONCE(vcpu->vm->adrift)) {
		pr_info_ratelimited(
			"%s[%d]: a VM that was opened again runs once all its regions are set at addresses of this process\n",
			current->comm, task_pid_nr(current));
		return -EINVAL;
	}
	if (READ_ONCE(run->kvm_dirty_regs) | READ_ONCE(run->kvm_valid_regs)) {
		result = vcpu_sync_from_run(vcpu);
		if (result)
			return result;
	}
	if (vcpu->mask_signals)
		sigprocmask(SIG_SETMASK, &vcpu->signal_mask, &saved);
	vcpu->ran = true;
	vcpu->window_open = false;
	run->flags = 0;
	result = finish_pending(vcpu);
	if (result == VCPU_AGAIN) /* an immediate exit leaves the reason of the last one in place */
		result = READ_ONCE(run->immediate_exit) ? -EINTR : run_loop(vcpu);
	run->if_flag = !!(page->rflags & X86_EFLAGS_IF);
	run->ready_for_interrupt_injection = 0;
	run->cr8 = page->sregs.cr8;
	run->apic_base = vcpu_apic_base(vcpu);
	if (vcpu->mask_signals)
		sigprocmask(SIG_SETMASK, &saved, NULL);
	err = READ_ONCE(run->kvm_valid_regs) ? vcpu_sync_to_run(vcpu) : 0;
	return err ? err : result;
}
