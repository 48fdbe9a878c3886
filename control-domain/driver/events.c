// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts into a VM: routing of lines and messages sent at once.
 *
 * Local APICs are the hypervisor's, the IOAPIC is the device model's. So everything is a message: a
 * line is looked up in the routing table, the hypervisor delivers, and says which vCPUs to kick.
 * The EOIs that the IOAPIC waits for are told to the hypervisor with each new table.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/kvm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vm.h"

static long send_message(struct vm *vm, u64 address, u32 data)
{
	u64 kick = 0;
	long reached = hv_call(HV_CALL_VM_MSI, vm->handle, address, data, 0, 0, &kick);

	if (reached >= 0)
		vcpu_kick_many(vm, kick);
	return reached;
}

int events_signal_msi(struct vm *vm, const struct kvm_msi *msi)
{
	if (msi->flags)
		return -EINVAL;
	return hv_to_errno(
		send_message(vm, (u64)msi->address_hi << 32 | msi->address_lo, msi->data));
}

void events_raise(struct vm *vm, u32 gsi)
{
	struct route route = {.valid = false};
	struct routing_table *table;

	rcu_read_lock();
	table = rcu_dereference(vm->routing);
	if (table && gsi < ROUTING_MAX)
		route = table->route[gsi];
	rcu_read_unlock();
	if (route.valid)
		send_message(vm, route.address, route.data);
}

static int tell_eoi_vectors(struct vm *vm, const struct routing_table *table)
{
	u64 vectors[4] = {0};

	if (table)
		routing_eoi_vectors(table->route, vm->ioapic_pins, vectors);
	return hv_to_errno(
		hv_call_in(HV_CALL_VM_EOI_EXITS, vm->handle, 0, 0, vectors, sizeof(vectors)));
}

/* The hypervisor first: an EOI that is reported once too often does no harm, a lost one does. */
static int replace_table(struct vm *vm, struct routing_table *table)
{
	struct routing_table *old;
	int err;

	mutex_lock(&vm->lock);
	err = tell_eoi_vectors(vm, table);
	if (!err) {
		old = rcu_dereference_protected(vm->routing, lockdep_is_held(&vm->lock));
		rcu_assign_pointer(vm->routing, table);
		table = old;
	}
	mutex_unlock(&vm->lock);
	if (table)
		kfree_rcu(table, rcu);
	return err;
}

int events_set_routing(struct vm *vm, const struct kvm_irq_routing __user *user)
{
	struct kvm_irq_routing_entry *entries;
	struct kvm_irq_routing header;
	struct routing_table *table;
	int err;

	if (copy_from_user(&header, user, sizeof(header)))
		return -EFAULT;
	if (!vm->split_irqchip || header.flags || header.nr > ROUTING_MAX)
		return -EINVAL;
	entries = vmemdup_user(user->entries, array_size(header.nr, sizeof(*entries)));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	table = kzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	err = table ? routing_fill(table->route, entries, header.nr) : -ENOMEM;
	kvfree(entries);
	if (err) {
		kfree(table);
		return err;
	}
	return replace_table(vm, table);
}

int events_split_irqchip(struct vm *vm, u64 pins)
{
	int err = 0;

	if (pins > ROUTING_MAX)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->split_irqchip) {
		err = -EEXIST;
	} else if (vm->vcpu_count) {
		err = -EINVAL;
	} else {
		vm->split_irqchip = true;
		vm->ioapic_pins = pins;
	}
	mutex_unlock(&vm->lock);
	return err;
}
