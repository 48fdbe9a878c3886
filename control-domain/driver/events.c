// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts into a VM: routing of lines and messages sent at once.
 *
 * Local APICs are the hypervisor's. With the split irqchip the IOAPIC is the device model's and
 * everything is a message: a line is looked up in the routing table, the hypervisor delivers, and
 * says which vCPUs to kick; the EOIs that the IOAPIC waits for are told to the hypervisor with each
 * new table. With chips in the driver (irqchip.c) a line may also end at their pins.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/kvm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "irqchip.h"
#include "vm.h"

long events_send(struct vm *vm, u64 address, u32 data)
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
		events_send(vm, (u64)msi->address_hi << 32 | msi->address_lo, msi->data));
}

int events_set_line(struct vm *vm, u32 gsi, u8 source, bool level)
{
	struct route route = {.valid = false};
	struct routing_table *table;

	rcu_read_lock();
	table = rcu_dereference(vm->routing);
	if (table && gsi < ROUTING_MAX)
		route = table->route[gsi];
	rcu_read_unlock();
	if (route.valid)
		return level ? events_send(vm, route.address, route.data) : 0;
	return route_connected(&route) ? irqchip_set(vm, &route, source, level) : -1;
}

void events_raise(struct vm *vm, u32 gsi)
{
	events_set_line(vm, gsi, IRQ_SOURCE_USER, true);
	events_set_line(vm, gsi, IRQ_SOURCE_USER, false);
}

int events_irq_line(struct vm *vm, struct kvm_irq_level __user *user, bool status)
{
	struct kvm_irq_level line;
	int result;

	if (copy_from_user(&line, user, sizeof(line)))
		return -EFAULT;
	if (!vm_has_irqchip(vm))
		return -ENXIO;
	result = events_set_line(vm, line.irq, IRQ_SOURCE_USER, line.level);
	return status ? put_user(result, &user->status) : 0;
}

int events_tell_eoi_vectors(struct vm *vm, const u64 vectors[4])
{
	return hv_to_errno(
		hv_call_in(HV_CALL_VM_EOI_EXITS, vm->handle, 0, 0, vectors, 4 * sizeof(*vectors)));
}

/* With the IOAPIC in the driver, its entries say it, not the routes. */
static int tell_eoi_vectors(struct vm *vm, const struct routing_table *table)
{
	u64 vectors[4];

	if (vm->irqchip)
		return 0;
	routing_eoi_vectors(table->route, vm->ioapic_pins, vectors);
	return events_tell_eoi_vectors(vm, vectors);
}

/* The hypervisor first: an EOI that is reported once too often does no harm, a lost one does. */
static int replace_table_locked(struct vm *vm, struct routing_table *table)
{
	struct routing_table *old;
	int err = tell_eoi_vectors(vm, table);

	if (err)
		return err;
	old = rcu_dereference_protected(vm->routing, lockdep_is_held(&vm->lock));
	rcu_assign_pointer(vm->routing, table);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

int events_set_routing(struct vm *vm, const struct kvm_irq_routing __user *user)
{
	struct kvm_irq_routing_entry *entries;
	struct kvm_irq_routing header;
	struct routing_table *table;
	int err;

	if (copy_from_user(&header, user, sizeof(header)))
		return -EFAULT;
	if (!vm_has_irqchip(vm) || header.flags || header.nr > ROUTING_MAX)
		return -EINVAL;
	entries = vmemdup_user(user->entries, array_size(header.nr, sizeof(*entries)));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	table = kzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	err = table ? routing_fill(table->route, entries, header.nr, vm->irqchip) : -ENOMEM;
	kvfree(entries);
	if (!err) {
		mutex_lock(&vm->lock);
		err = replace_table_locked(vm, table);
		mutex_unlock(&vm->lock);
	}
	if (err)
		kfree(table);
	return err;
}

int events_split_irqchip(struct vm *vm, u64 pins)
{
	int err = 0;

	if (pins > ROUTING_MAX)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm_has_irqchip(vm)) {
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

static int create_irqchip_locked(struct vm *vm)
{
	struct routing_table *table;
	int err;

	if (vm->keep.wanted) {
		pr_info_ratelimited("VM %x is kept, so its irqchip must be split\n", vm->handle);
		return -EINVAL;
	}
	if (vm_has_irqchip(vm))
		return -EEXIST;
	if (vm->vcpu_count)
		return -EINVAL;
	table = kzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	err = irqchip_create(vm);
	if (!err) {
		routing_default(table->route);
		err = replace_table_locked(vm, table);
	}
	if (err)
		kfree(table);
	return err;
}

int events_create_irqchip(struct vm *vm)
{
	int err;

	mutex_lock(&vm->lock);
	err = create_irqchip_locked(vm);
	mutex_unlock(&vm->lock);
	return err;
}
