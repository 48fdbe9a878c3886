// SPDX-License-Identifier: GPL-2.0-only
/*
 * PIC and IOAPIC of a VM; irqchip.h says what for.
 *
 * One spinlock covers both chips. A message is sent with it held, so that an EOI cannot overtake
 * the interrupt it ends, and after the hypervisor was told which EOIs are wanted. Only vCPU threads
 * and ioctls change redirection entries: telling takes the call page, which interrupts must not
 * use.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ioapic.h"
#include "irqchip.h"
#include "pic.h"
#include "vcpu.h"

struct irqchip {
	spinlock_t lock;
	struct pics pics;
	struct kvm_ioapic_state ioapic;
	u8 pic_sources[PIC_LINES]; /* enum irq_source that pull the line */
	u8 ioapic_sources[IOAPIC_PINS];
	bool output; /* of the PICs; read without the lock */
	struct irqchip_pit *pit;
};

/* ---- with the lock held */

/* Context: as for events_raise(). */
static void send_locked(struct vm *vm, unsigned int pin)
{
	struct ioapic_message message = ioapic_send(&vm->irqchip->ioapic, pin);

	events_send(vm, message.address, message.data);
}

static void output_locked(struct vm *vm)
{
	bool output = pics_output(&vm->irqchip->pics);
	bool rises = output && !vm->irqchip->output;
	struct vcpu *boot = READ_ONCE(vm->boot);

	WRITE_ONCE(vm->irqchip->output, output);
	if (rises && boot)
		vcpu_kick(boot);
}

/* The entries from `first` to `last` were written: tell whose EOI is wanted, then send what waits.
 */
static void entries_written_locked(struct vm *vm, unsigned int first, unsigned int last)
{
	u64 vectors[4];
	unsigned int pin;

	ioapic_eoi_vectors(&vm->irqchip->ioapic, vectors);
	events_tell_eoi_vectors(vm, vectors);
	for (pin = first; pin <= last; pin++)
		if (ioapic_waits(&vm->irqchip->ioapic, pin))
			send_locked(vm, pin);
}

static bool pull(u8 *sources, enum irq_source source, bool level)
{
	*sources = level ? *sources | source : *sources & ~source;
	return *sources;
}

/* ---- lines */

int irqchip_set(struct vm *vm, const struct route *route, enum irq_source source, bool level)
{
	struct irqchip *chip = vm->irqchip;
	unsigned long flags;
	int result = -1;
	bool taken, send;
	u32 pin;

	spin_lock_irqsave(&chip->lock, flags);
	if (route->pic) {
		pin = route->pic - 1;
		taken = pics_set(&chip->pics, pin, pull(&chip->pic_sources[pin], source, level));
		output_locked(vm);
		result = taken;
	}
	if (route->ioapic) {
		pin = route->ioapic - 1;
		taken = ioapic_set(&chip->ioapic, pin,
				   pull(&chip->ioapic_sources[pin], source, level), &send);
		if (send)
			send_locked(vm, pin);
		result = taken || result > 0;
	}
	spin_unlock_irqrestore(&chip->lock, flags);
	return result;
}

bool irqchip_wants_window(const struct vcpu *vcpu)
{
	const struct irqchip *chip = vcpu->vm->irqchip;

	return chip && vcpu->id == vcpu->vm->boot_id && READ_ONCE(chip->output);
}

int irqchip_acknowledge(struct vm *vm)
{
	struct irqchip *chip = vm->irqchip;
	unsigned long flags;
	int vector = -1;

	spin_lock_irqsave(&chip->lock, flags);
	if (chip->output)
		vector = pics_acknowledge(&chip->pics);
	output_locked(vm);
	spin_unlock_irqrestore(&chip->lock, flags);
	return vector;
}

void irqchip_end(struct vm *vm, u8 vector)
{
	struct irqchip *chip = vm->irqchip;
	unsigned long flags;
	unsigned int pin;
	u32 ended;

	spin_lock_irqsave(&chip->lock, flags);
	ended = ioapic_end(&chip->ioapic, vector);
	for (pin = 0; ended >> pin; pin++)
		if (ended >> pin & 1 && ioapic_waits(&chip->ioapic, pin))
			send_locked(vm, pin);
	spin_unlock_irqrestore(&chip->lock, flags);
}

/* ---- registers */

static void access_pic(struct vm *vm, u16 port, bool in, u8 *data)
{
	struct irqchip *chip = vm->irqchip;
	unsigned long flags;

	spin_lock_irqsave(&chip->lock, flags);
	if (in)
		*data = pics_read(&chip->pics, port);
	else
		pics_write(&chip->pics, port, *data);
	output_locked(vm);
	spin_unlock_irqrestore(&chip->lock, flags);
}

bool irqchip_port(struct vm *vm, u16 port, unsigned int bytes, bool in, u64 *data)
{
	u8 value = *data;

	if (!vm->irqchip || bytes != 1)
		return false;
	if (pics_port(port))
		access_pic(vm, port, in, &value);
	else if (!vm->irqchip->pit || !irqchip_pit_port(vm->irqchip->pit, port, in, &value))
		return false;
	if (in)
		*data = value;
	return true;
}

bool irqchip_memory(struct vm *vm, u64 address, unsigned int bytes, bool write, u64 *data)
{
	struct irqchip *chip = vm->irqchip;
	unsigned long flags;
	int pin;

	if (!chip || address - IOAPIC_ADDRESS >= IOAPIC_BYTES)
		return false;
	spin_lock_irqsave(&chip->lock, flags);
	if (write) {
		pin = ioapic_write(&chip->ioapic, address - IOAPIC_ADDRESS, *data);
		if (pin >= 0)
			entries_written_locked(vm, pin, pin);
	} else {
		*data = ioapic_read(&chip->ioapic, address - IOAPIC_ADDRESS);
	}
	spin_unlock_irqrestore(&chip->lock, flags);
	return true;
}

/* ---- KVM_GET_IRQCHIP, KVM_SET_IRQCHIP */

int irqchip_get_state(struct vm *vm, struct kvm_irqchip __user *user)
{
	struct irqchip *chip = vm->irqchip;
	struct kvm_irqchip state = {.chip_id = 0};
	unsigned long flags;

	if (get_user(state.chip_id, &user->chip_id))
		return -EFAULT;
	if (!chip)
		return -ENXIO;
	if (state.chip_id > KVM_IRQCHIP_IOAPIC)
		return -EINVAL;
	spin_lock_irqsave(&chip->lock, flags);
	if (state.chip_id == KVM_IRQCHIP_IOAPIC)
		state.chip.ioapic = chip->ioapic;
	else
		state.chip.pic = chip->pics.chip[state.chip_id];
	spin_unlock_irqrestore(&chip->lock, flags);
	return copy_to_user(user, &state, sizeof(state)) ? -EFAULT : 0;
}

/* The lines' owners set them anew after this, as the API's users do. */
int irqchip_set_state(struct vm *vm, const struct kvm_irqchip __user *user)
{
	struct irqchip *chip = vm->irqchip;
	struct kvm_irqchip state;
	unsigned long flags;
	u8 elcr_mask;

	if (copy_from_user(&state, user, sizeof(state)))
		return -EFAULT;
	if (!chip)
		return -ENXIO;
	if (state.chip_id > KVM_IRQCHIP_IOAPIC)
		return -EINVAL;
	spin_lock_irqsave(&chip->lock, flags);
	if (state.chip_id == KVM_IRQCHIP_IOAPIC) {
		chip->ioapic = state.chip.ioapic;
		chip->ioapic.base_address = IOAPIC_ADDRESS;
		entries_written_locked(vm, 0, IOAPIC_PINS - 1);
	} else {
		elcr_mask = chip->pics.chip[state.chip_id].elcr_mask;
		chip->pics.chip[state.chip_id] = state.chip.pic;
		chip->pics.chip[state.chip_id].elcr_mask = elcr_mask;
		pics_update(&chip->pics);
		output_locked(vm);
	}
	spin_unlock_irqrestore(&chip->lock, flags);
	return 0;
}

/* ---- life */

/* Context: vm->lock held, no vCPU yet. */
int irqchip_create(struct vm *vm)
{
	struct irqchip *chip = kzalloc(sizeof(*chip), GFP_KERNEL_ACCOUNT);

	if (!chip)
		return -ENOMEM;
	spin_lock_init(&chip->lock);
	pics_reset(&chip->pics);
	ioapic_reset(&chip->ioapic);
	vm->irqchip = chip;
	return 0;
}

struct irqchip_pit **irqchip_pit_of(struct vm *vm)
{
	return vm->irqchip ? &vm->irqchip->pit : NULL;
}

void irqchip_stop(struct vm *vm)
{
	if (vm->irqchip && vm->irqchip->pit)
		irqchip_pit_stop(vm->irqchip->pit);
}

void irqchip_free(struct vm *vm)
{
	if (vm->irqchip)
		kfree(vm->irqchip->pit);
	kfree(vm->irqchip);
}
