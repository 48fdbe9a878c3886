// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: an eventfd whose signal raises a line, without the device model's thread and ioctl.
 *
 * We sit on the eventfd's wait queue. A signal calls us with that queue's lock held and interrupts
 * off, where sending a message is allowed (one hypercall, one kick). When the eventfd is closed
 * first, the same callback hears of it, and the clean-up, which may sleep, is left to a work queue.
 * Whoever takes an irqfd off the VM's list, the ioctl or the callback, owns its end.
 *
 * Not offered: level-triggered resampling (KVM_IRQFD_FLAG_RESAMPLE), so it is refused.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "vm.h"

struct irqfd {
	struct vm *vm;
	struct eventfd_ctx *eventfd;
	u32 gsi;
	struct list_head link; /* empty: somebody is ending it */
	wait_queue_entry_t wait;
	poll_table poll;
	struct work_struct end;
};

static struct workqueue_struct *end_queue;

static void irqfd_end(struct work_struct *work)
{
	struct irqfd *irqfd = container_of(work, struct irqfd, end);
	u64 count;

	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

/* Context: event_lock held, irqfd still on the list. */
static void irqfd_retire_locked(struct irqfd *irqfd)
{
	list_del_init(&irqfd->link);
	queue_work(end_queue, &irqfd->end);
}

static int irqfd_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		events_raise(irqfd->vm, irqfd->gsi);
	}
	if (events & EPOLLHUP) {
		spin_lock_irqsave(&irqfd->vm->event_lock, flags);
		if (!list_empty(&irqfd->link))
			irqfd_retire_locked(irqfd);
		spin_unlock_irqrestore(&irqfd->vm->event_lock, flags);
	}
	return 0;
}

static void irqfd_wait_on(struct file *file, wait_queue_head_t *queue, poll_table *poll)
{
	struct irqfd *irqfd = container_of(poll, struct irqfd, poll);

	add_wait_queue_priority(queue, &irqfd->wait);
}

static bool in_use_locked(struct vm *vm, struct eventfd_ctx *eventfd)
{
	struct irqfd *irqfd;

	list_for_each_entry(irqfd, &vm->irqfds, link) if (irqfd->eventfd == eventfd) return true;
	return false;
}

static int irqfd_publish(struct irqfd *irqfd, struct file *file)
{
	struct vm *vm = irqfd->vm;
	int err = 0;

	spin_lock_irq(&vm->event_lock);
	if (in_use_locked(vm, irqfd->eventfd))
		err = -EBUSY;
	else
		list_add_tail(&irqfd->link, &vm->irqfds);
	spin_unlock_irq(&vm->event_lock);
	/* Signals from before the assignment count as well. */
	if (!err && vfs_poll(file, &irqfd->poll) & EPOLLIN)
		events_raise(vm, irqfd->gsi);
	return err;
}

static int irqfd_assign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct fd fd = fdget(args->fd);
	struct irqfd *irqfd;
	int err;

	if (!fd.file)
		return -EBADF;
	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	err = irqfd ? 0 : -ENOMEM;
	if (!err) {
		irqfd->vm = vm;
		irqfd->gsi = args->gsi;
		INIT_LIST_HEAD(&irqfd->link);
		INIT_WORK(&irqfd->end, irqfd_end);
		init_waitqueue_func_entry(&irqfd->wait, irqfd_wake);
		init_poll_funcptr(&irqfd->poll, irqfd_wait_on);
		irqfd->eventfd = eventfd_ctx_fileget(fd.file);
		err = PTR_ERR_OR_ZERO(irqfd->eventfd);
	}
	if (!err) {
		err = irqfd_publish(irqfd, fd.file);
		if (err)
			eventfd_ctx_put(irqfd->eventfd);
	}
	if (err)
		kfree(irqfd);
	fdput(fd);
	return err;
}

static int irqfd_deassign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);
	struct irqfd *irqfd, *next;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	spin_lock_irq(&vm->event_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds,
				 link) if (irqfd->eventfd == eventfd && irqfd->gsi == args->gsi)
		irqfd_retire_locked(irqfd);
	spin_unlock_irq(&vm->event_lock);
	eventfd_ctx_put(eventfd);
	/* No interrupt comes through it any more once this returns. */
	flush_workqueue(end_queue);
	return 0;
}

int irqfd_change(struct vm *vm, const struct kvm_irqfd *args)
{
	int err;

	if (args->flags & ~KVM_IRQFD_FLAG_DEASSIGN || args->gsi >= ROUTING_MAX ||
	    !vm_has_irqchip(vm))
		return -EINVAL;
	mutex_lock(&vm->lock);
	err = args->flags & KVM_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(vm, args)
						    : irqfd_assign(vm, args);
	mutex_unlock(&vm->lock);
	return err;
}

void irqfd_release_all(struct vm *vm)
{
	struct irqfd *irqfd, *next;

	spin_lock_irq(&vm->event_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irqfds, link) irqfd_retire_locked(irqfd);
	spin_unlock_irq(&vm->event_lock);
	flush_workqueue(end_queue);
}

int irqfd_init(void)
{
	end_queue = alloc_workqueue("hornero-irqfd", 0, 0);
	return end_queue ? 0 : -ENOMEM;
}

void irqfd_exit(void)
{
	destroy_workqueue(end_queue);
}
