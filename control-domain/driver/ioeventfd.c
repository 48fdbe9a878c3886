// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd: a guest's write to a doorbell that signals an eventfd instead of stopping the vCPU.
 *
 * A binding is an address in port or memory space, a length (0: any), and perhaps the value that it
 * wants. Writers are vCPU threads under RCU, changes are rare and hold vm->lock.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/eventfd.h>
#include <linux/kvm.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "vm.h"

struct ioeventfd {
	struct list_head link;
	struct eventfd_ctx *eventfd;
	u64 address;
	u64 value;
	u32 bytes; /* 0: any length */
	bool port;
	bool any_value;
};

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
		list_del_rcu(&bound->link);
		synchronize_rcu();
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

	/* Only the last user comes here: there are no vCPU threads, so no writers. */
	list_for_each_entry_safe(bound, next, &vm->ioeventfds, link) release(bound);
	INIT_LIST_HEAD(&vm->ioeventfds);
}
