// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PIT of a VM: its ports, and a high-resolution timer that pulls line 0 when counter 0 ends.
 *
 * Ticks that come while the guest has not taken the last one are lost, as on hardware; KVM's
 * catching up (KVM_REINJECT_CONTROL) is not offered.
 */
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "irqchip.h"
#include "pit.h"

#define PIT_LINE 0
/* A guest must not keep a CPU of the control domain in the timer's interrupt: KVM's own limit. */
#define SHORTEST_NS 200000ull

struct irqchip_pit {
	struct vm *vm;
	struct mutex starting; /* one at a time cancels the timer and starts it */
	spinlock_t lock;
	struct pit pit;
	bool has_speaker;
	u64 period_ns; /* 0: once */
	struct hrtimer timer;
};

static enum hrtimer_restart expired(struct hrtimer *timer)
{
	struct irqchip_pit *pit = container_of(timer, struct irqchip_pit, timer);
	u64 period_ns = READ_ONCE(pit->period_ns);

	events_set_line(pit->vm, PIT_LINE, IRQ_SOURCE_PIT, true);
	events_set_line(pit->vm, PIT_LINE, IRQ_SOURCE_PIT, false);
	if (!period_ns)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(period_ns));
	return HRTIMER_RESTART;
}

/* Context: process. Not with the lock: cancelling waits for expired(). Who started it in between
 * would have it forwarded while it is queued. */
static void restart(struct irqchip_pit *pit)
{
	bool repeats, legacy;
	u64 interval_ns;

	mutex_lock(&pit->starting);
	hrtimer_cancel(&pit->timer);
	spin_lock(&pit->lock);
	interval_ns = pit_interval_ns(&pit->pit, &repeats);
	legacy = pit->pit.state.flags & KVM_PIT_FLAGS_HPET_LEGACY; /* the HPET has the line */
	if (repeats)
		interval_ns = max(interval_ns, SHORTEST_NS);
	WRITE_ONCE(pit->period_ns, repeats ? interval_ns : 0);
	if (interval_ns && !legacy)
		hrtimer_start(&pit->timer, ns_to_ktime(interval_ns), HRTIMER_MODE_REL);
	spin_unlock(&pit->lock);
	mutex_unlock(&pit->starting);
}

bool irqchip_pit_port(struct irqchip_pit *pit, u16 port, bool in, u8 *data)
{
	bool is_speaker = port == SPEAKER_PORT && pit->has_speaker, started = false;
	u64 now_ns = ktime_get_ns();

	if (!is_speaker && (port & ~3) != PIT_PORT)
		return false;
	spin_lock(&pit->lock);
	if (is_speaker && in)
		*data = pit_speaker_read(&pit->pit, now_ns);
	else if (is_speaker)
		pit_speaker_write(&pit->pit, *data, now_ns);
	else if (in)
		*data = pit_read(&pit->pit, port & 3, now_ns);
	else
		started = pit_write(&pit->pit, port & 3, *data, now_ns);
	spin_unlock(&pit->lock);
	if (started)
		restart(pit);
	return true;
}

int irqchip_pit_get_state(struct vm *vm, struct kvm_pit_state2 __user *user)
{
	struct irqchip_pit **pit = irqchip_pit_of(vm);
	struct kvm_pit_state2 state;

	if (!pit || !*pit)
		return -ENXIO;
	spin_lock(&(*pit)->lock);
	state = (*pit)->pit.state;
	state.flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if ((*pit)->pit.speaker)
		state.flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	spin_unlock(&(*pit)->lock);
	return copy_to_user(user, &state, sizeof(state)) ? -EFAULT : 0;
}

int irqchip_pit_set_state(struct vm *vm, const struct kvm_pit_state2 *state)
{
	struct irqchip_pit **pit = irqchip_pit_of(vm);

	if (!pit || !*pit)
		return -ENXIO;
	spin_lock(&(*pit)->lock);
	pit_restore(&(*pit)->pit, state, ktime_get_ns());
	spin_unlock(&(*pit)->lock);
	restart(*pit);
	return 0;
}

int irqchip_pit_create(struct vm *vm, const struct kvm_pit_config *config)
{
	struct irqchip_pit **place, *pit;
	int err = 0;

	if (config->flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	pit->vm = vm;
	mutex_init(&pit->starting);
	spin_lock_init(&pit->lock);
	pit->has_speaker = config->flags & KVM_PIT_SPEAKER_DUMMY;
	hrtimer_init(&pit->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	pit->timer.function = expired;
	pit_reset(&pit->pit, ktime_get_ns());
	mutex_lock(&vm->lock);
	place = irqchip_pit_of(vm);
	if (!place)
		err = -ENOENT;
	else if (*place)
		err = -EEXIST;
	else
		smp_store_release(place, pit);
	mutex_unlock(&vm->lock);
	if (err)
		kfree(pit);
	return err;
}

void irqchip_pit_stop(struct irqchip_pit *pit)
{
	hrtimer_cancel(&pit->timer);
}
