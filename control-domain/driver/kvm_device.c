// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/kvm: where virtual machines come from. Its API is Linux's KVM API, version 12, "the
 * documented ioctls"; what of it is offered, KVM_CHECK_EXTENSION tells. Linux's own kvm.ko must not
 * be loaded.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "device.h"
#include "thread_work.h"
#include "vcpu.h"

static long kvm_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *user = (void __user *)argument;

	switch (command) {
	case KVM_GET_API_VERSION:
		return argument ? -EINVAL : KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return extension_value(argument);
	case KVM_CREATE_VM:
		return argument ? -EINVAL : vm_create();
	case KVM_GET_VCPU_MMAP_SIZE:
		return argument ? -EINVAL : VCPU_RUN_PAGES * PAGE_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return cpuid_get_supported(user);
	case KVM_GET_MSR_INDEX_LIST:
		return msr_get_index_list(user);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations kvm_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = kvm_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice kvm_misc = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.mode = 0660,
	.fops = &kvm_operations,
};

int kvm_device_init(void)
{
	int err = thread_work_init();

	if (err)
		return err;
	err = irqfd_init();
	if (err)
		goto out_work;
	err = misc_register(&kvm_misc);
	if (err)
		goto out_irqfd;
	return 0;

out_irqfd:
	pr_err("/dev/kvm is taken: unload kvm_intel and kvm, which cannot work here\n");
	irqfd_exit();
out_work:
	thread_work_exit();
	return err;
}

void kvm_device_exit(void)
{
	misc_deregister(&kvm_misc);
	irqfd_exit();
	thread_work_exit();
}
