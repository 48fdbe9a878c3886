// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd: a guest's write to a doorbell that signals an eventfd instead of stopping the vCPU.
 *
 * A binding is an address in port or memory space, a length (0: any), and perhaps the value that it
 * wants. Writers are vCPU threads under RCU, changes are rare and hold vm->lock.
 *
 * Most bindings also have a slot in the table of each vCPU page: the hypervisor counts those writes
 * itself (abi/vcpu.h), and ioeventfd_rung() passes the counts on after each stay in the guest.
 * Before a slot is free again every stay that began with it has ended: all CPUs have taken an
 * interrupt. A count that a thread has taken but not passed on holds an RCU read section, which the
 * release waits for; one that no thread has taken is passed on there.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/eventfd.h>
#include <linux/kvm.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "vcpu.h"

struct ioeventfd {
	struct list_head link;
	struct eventfd_ctx *eventfd;
	u64 address;
	u64 value;
	u32 bytes; /* 0: any length */
	bool port;
	bool any_value;
	int slot; /* in the vCPU pages' tables, or NO_SLOT */
};

#define NO_SLOT -1

static bool matches(const struct ioeventfd *bound, bool port, u64 address, unsigned int bytes,
		    u64 data)
{
	if (bound->port != port || bound->address != address)
		return false;
	return !bound->bytes ||
	       (bound->bytes == bytes && (bound->any_value || bound->value == data));
}

bool ioeventfd_write(struct vm *vm, bool port, u64 address, unsigned int bytes, u64 data)
{
	struct ioeventfd *bound;
	bool found = false;

	rcu_read_lock();
	list_for_each_entry_rcu(bound, &vm->ioeventfds, link)
	{
		found = matches(bound, port, address, bytes, data);
		if (found) {
			eventfd_signal(bound->eventfd, 1);
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

bool ioeventfd_port_write(struct vm *vm, const struct hv_vcpu_page *page)
{
	if (page->io.flags & HV_IO_NO_BELL && !READ_ONCE(vm->port_without_slot))
		return false;
	return ioeventfd_write(vm, true, page->io.port, page->io.bytes, page->io.data);
}

/* ---- the hypervisor's table */

/* What it can tell: ports are at most 4 bytes wide, and of memory it does not know the value. */
static bool hypervisor_can(const struct ioeventfd *bound)
{
	if (!bound->port)
		return bound->any_value;
	return bound->bytes <= sizeof(u32) && (bound->any_value || bound->value <= U32_MAX);
}

/* A vCPU without a page could not be made: it never runs. */
static void put_slot(struct vcpu *vcpu, const struct ioeventfd *bound)
{
	u8 flags = bound->port ? HV_BELL_PORT : HV_BELL_MEMORY;
	struct hv_vcpu_page *page = vcpu->page;
	struct hv_doorbell *bell;

	if (!page)
		return;
	bell = &page->doorbell[bound->slot];
	bell->address = bound->address;
	bell->value = bound->value;
	bell->bytes = bound->bytes;
	if (bound->port) {
		page->bell_port_first = min_t(u64, page->bell_port_first, bound->address);
		page->bell_port_last =
			max_t(u64, page->bell_port_last, min_t(u64, bound->address, U16_MAX));
	}
	smp_store_release(&bell->flags, flags | (bound->any_value ? HV_BELL_ANY_VALUE : 0));
	if (page->doorbells <= bound->slot)
		WRITE_ONCE(page->doorbells, bound->slot + 1);
}

static void take_slot(struct vm *vm, struct ioeventfd *bound)
{
	u32 slot, i;

	bound->slot = NO_SLOT;
	for (slot = 0; slot < HV_DOORBELLS && vm->bell[slot];)
		slot++;
	if (slot == HV_DOORBELLS || !hypervisor_can(bound))
		return;
	bound->slot = slot;
	WRITE_ONCE(vm->bell[slot], bound);
	for (i = 0; i < vm->vcpu_count; i++)
		put_slot(vm->vcpus[i], bound);
}

/* Passes on what was rung of the slots in `mask`. */
static void pass_on(struct vm *vm, struct hv_vcpu_page *page, u64 mask)
{
	u64 rung = hv_doorbell_take(page, mask);
	struct ioeventfd *bound;
	u32 slot, count;

	for (slot = 0; rung && slot < HV_DOORBELLS; slot++, rung >>= 1) {
		if (!(rung & 1))
			continue;
		bound = READ_ONCE(vm->bell[slot]);
		count = hv_doorbell_count(page, slot);
		if (bound && count)
			eventfd_signal(bound->eventfd, count);
	}
}

void ioeventfd_rung(struct vcpu *vcpu)
{
	rcu_read_lock();
	pass_on(vcpu->vm, vcpu->page, ~0ull);
	rcu_read_unlock();
}

void ioeventfd_new_vcpu(struct vcpu *vcpu)
{
	u32 slot;

	vcpu->page->bell_port_first = U16_MAX;
	for (slot = 0; slot < HV_DOORBELLS; slot++)
		if (vcpu->vm->bell[slot])
			put_slot(vcpu, vcpu->vm->bell[slot]);
}

static void end_stay(void *unused)
{
}

/* Stays that begin after this do not know the binding. */
static void empty_slot(struct vm *vm, const struct ioeventfd *bound)
{
	struct hv_vcpu_page *page;
	u32 i;

	for (i = 0; i < vm->vcpu_count; i++) {
		page = vm->vcpus[i]->page;
		if (page)
			WRITE_ONCE(page->doorbell[bound->slot].flags, 0);
	}
}

/* After this the hypervisor counts no more for the binding; the caller waits for readers. */
static void leave_slot(struct vm *vm, const struct ioeventfd *bound)
{
	struct hv_vcpu_page *page;
	u32 i;

	if (bound->slot == NO_SLOT)
		return;
	empty_slot(vm, bound);
	on_each_cpu(end_stay, NULL, true);
	for (i = 0; i < vm->vcpu_count; i++) {
		page = vm->vcpus[i]->page;
		if (page)
			pass_on(vm, page, 1ull << bound->slot);
	}
}

/* ---- changes */

static bool same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->port == b->port && a->address == b->address && a->any_value == b->any_value &&
	       (!a->bytes || !b->bytes ||
		(a->bytes == b->bytes && (a->any_value || a->value == b->value)));
}

/* Context: off the list, and no writer sees it any more. */
static void release(struct ioeventfd *bound)
{
	eventfd_ctx_put(bound->eventfd);
	kfree(bound);
}

static int assign(struct vm *vm, const struct ioeventfd *wanted)
{
	struct ioeventfd *bound;

	list_for_each_entry(bound, &vm->ioeventfds, link) if (same(bound, wanted)) return -EEXIST;
	bound = kmemdup(wanted, sizeof(*wanted), GFP_KERNEL_ACCOUNT);
	if (!bound)
		return -ENOMEM;
	take_slot(vm, bound);
	if (bound->port && bound->slot == NO_SLOT)
		WRITE_ONCE(vm->port_without_slot, true);
	list_add_tail_rcu(&bound->link, &vm->ioeventfds);
	return 0;
}

static int deassign(struct vm *vm, const struct ioeventfd *wanted)
{
	struct ioeventfd *bound;

	list_for_each_entry(bound, &vm->ioeventfds, link)
	{
		if (bound->eventfd != wanted->eventfd || !same(bound, wanted))
			continue;
		leave_slot(vm, bound);
		list_del_rcu(&bound->link);
		synchronize_rcu();
		if (bound->slot != NO_SLOT)
			WRITE_ONCE(vm->bell[bound->slot], NULL);
		release(bound);
		return 0;
	}
	return -ENOENT;
}

int ioeventfd_change(struct vm *vm, const struct kvm_ioeventfd *args)
{
	struct ioeventfd wanted = {
		.address = args->addr,
		.bytes = args->len,
		.value = args->datamatch,
		.port = args->flags & KVM_IOEVENTFD_FLAG_PIO,
		.any_value = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
	};
	bool remove = args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	int err;

	if (args->flags & ~(KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH |
			    KVM_IOEVENTFD_FLAG_DEASSIGN) ||
	    (args->len && (!is_power_of_2(args->len) || args->len > 8)) ||
	    (!args->len && !wanted.any_value) || args->addr + args->len < args->addr)
		return -EINVAL;
	wanted.eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(wanted.eventfd))
		return PTR_ERR(wanted.eventfd);
	mutex_lock(&vm->lock);
	err = remove ? deassign(vm, &wanted) : assign(vm, &wanted);
	mutex_unlock(&vm->lock);
	if (err || remove)
		eventfd_ctx_put(wanted.eventfd);
	return err;
}

void ioeventfd_release_all(struct vm *vm)
{
	struct ioeventfd *bound, *next;

	/* Only the last user comes here: there are no vCPU threads, so no writers. The VM may be
	 * kept, and run again for another process. */
	list_for_each_entry_safe(bound, next, &vm->ioeventfds, link)
	{
		if (bound->slot != NO_SLOT) {
			empty_slot(vm, bound);
			vm->bell[bound->slot] = NULL;
		}
		release(bound);
	}
	INIT_LIST_HEAD(&vm->ioeventfds);
}
