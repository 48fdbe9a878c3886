// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linux has one function for the work that a thread owes before it enters a guest, and exports it
 * for hypervisors. In 6.1 it takes a struct kvm_vcpu, of which it touches the run page's exit
 * reason and a counter, and only when a signal is pending. Our vCPUs are not KVM's, so one vCPU
 * that is nobody's stands in.
 *
 * A file of its own, because kvm_host.h brings many names.
 */
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>

#include "thread_work.h"

static struct kvm_vcpu *nobody;

int thread_work_init(void)
{
	nobody = kvzalloc(sizeof(*nobody) + sizeof(*nobody->run), GFP_KERNEL);
	if (!nobody)
		return -ENOMEM;
	nobody->run = (void *)(nobody + 1);
	return 0;
}

void thread_work_exit(void)
{
	kvfree(nobody);
}

bool thread_work_pending(void)
{
	return __xfer_to_guest_mode_work_pending();
}

int thread_work_do(void)
{
	return xfer_to_guest_mode_handle_work(nobody);
}
