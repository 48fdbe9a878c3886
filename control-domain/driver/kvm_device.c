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

#include "abi/ioctl.h"

#include "device.h"
#include "errors.h"
#include "hv.h"
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
	case HORNERO_OPEN_VM:
		return keep_open(user);
	case HORNERO_DESTROY_VM:
		return keep_destroy(user);
	case KVM_GET_VCPU_MMAP_SIZE:
		return argument ? -EINVAL : VCPU_RUN_PAGES * PAGE_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return cpuid_get_supported(user);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return msr_get_feature_list(user);
	case KVM_GET_MSRS:
		return msr_get_features(user);
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

/*
 * VMs that nobody holds: those of a kernel that kexec put this one in the place of. Their
 * user-space memory is this kernel's now, so they must be gone before anyone allocates much. Kept
 * ones have none, but what leads to their vCPUs and regions went with that kernel.
 */
static int destroy_orphans(void)
{
	struct hv_vm_info *info = kmalloc(sizeof(*info), GFP_KERNEL);
	unsigned int slot, destroyed = 0;
	long result = 0;

	if (!info)
		return -ENOMEM;
	for (slot = 0; result >= 0; slot++) {
		if (hv_call_out(HV_CALL_VM_INFO, slot, 0, 0, info, sizeof(*info)) < 0)
			break;
		if (!info->handle)
			continue;
		result = hv_settle(hv_call1(HV_CALL_VM_DESTROY, info->handle));
		destroyed++;
	}
	kfree(info);
	if (result < 0)
		pr_err("a VM of the kernel before this one is not destroyed: %s\n",
		       hv_error_text(result));
	else if (destroyed)
		pr_info("destroyed %u VMs of the kernel before this one\n", destroyed);
	return hv_to_errno(result < 0 ? result : 0);
}

int kvm_device_init(void)
{
	int err = destroy_orphans();

	if (err)
		return err;
	err = thread_work_init();
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
