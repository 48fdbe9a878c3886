// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPU descriptors: creation, the shared run page, ioctls.
 *
 * The hypervisor makes the vCPU in memory that belongs to the VM and tells where its page is; we
 * map that page and keep it until the VM goes. A vCPU cannot be destroyed alone, as with KVM.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/anon_inodes.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/apicdef.h>
#include <asm/msr-index.h>
#include <asm/tsc.h>

#include "vcpu.h"

int vcpu_fetch(struct vcpu *vcpu, u32 groups)
{
	long result = hv_call3(HV_CALL_VCPU_GET, vcpu->vm->handle, vcpu->index, groups);

	return result < 0 ? hv_to_errno(result) : 0;
}

int vcpu_store(struct vcpu *vcpu, u32 groups)
{
	long result = hv_call3(HV_CALL_VCPU_SET, vcpu->vm->handle, vcpu->index, groups);

	return result < 0 ? hv_to_errno(result) : 0;
}

void vcpu_kick_many(struct vm *vm, u64 indexes)
{
	struct vcpu *vcpu;
	u32 index;

	for (index = 0; indexes; index++, indexes >>= 1) {
		vcpu = indexes & 1 && index < VM_MAX_VCPUS ? READ_ONCE(vm->vcpus[index]) : NULL;
		if (vcpu)
			vcpu_kick(vcpu);
	}
}

static int inject_nmi(struct vcpu *vcpu)
{
	u64 kick = 0;
	long result = hv_call(HV_CALL_VCPU_NMI, vcpu->vm->handle, vcpu->index, 0, 0, 0, &kick);

	if (result >= 0)
		vcpu_kick_many(vcpu->vm, kick);
	return result < 0 ? hv_to_errno(result) : 0;
}

static int set_signal_mask(struct vcpu *vcpu, struct kvm_signal_mask __user *user)
{
	struct kvm_signal_mask header;

	if (!user) {
		vcpu->mask_signals = false;
		return 0;
	}
	if (copy_from_user(&header, user, sizeof(header)))
		return -EFAULT;
	if (header.len != sizeof(vcpu->signal_mask))
		return -EINVAL;
	if (copy_from_user(&vcpu->signal_mask, user->sigset, sizeof(vcpu->signal_mask)))
		return -EFAULT;
	sigdelsetmask(&vcpu->signal_mask, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->mask_signals = true;
	return 0;
}

/* Guests run at the host's frequency; asking for another one is refused, not ignored. */
static int set_tsc_khz(unsigned long khz)
{
	return !khz || khz == tsc_khz ? 0 : -EINVAL;
}

static long locked_ioctl(struct vcpu *vcpu, unsigned int command, unsigned long argument)
{
	void __user *user = (void __user *)argument;

	switch (command) {
	case KVM_GET_STATS_FD:
		return argument ? -EINVAL : stats_create_file(vcpu->vm, vcpu);
	case KVM_NMI:
		return inject_nmi(vcpu);
	case KVM_SET_SIGNAL_MASK:
		return set_signal_mask(vcpu, user);
	case KVM_GET_TSC_KHZ:
		return tsc_khz;
	case KVM_SET_TSC_KHZ:
		return set_tsc_khz(argument);
	case KVM_SET_CPUID2:
		return vcpu_set_cpuid(vcpu, user);
	case KVM_GET_CPUID2:
		return vcpu_get_cpuid(vcpu, user);
	case KVM_GET_MSRS:
		return vcpu_get_msrs(vcpu, user);
	case KVM_SET_MSRS:
		return vcpu_set_msrs(vcpu, user);
	default:
		return vcpu_state_ioctl(vcpu, command, user);
	}
}

static long vcpu_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct vcpu *vcpu = file->private_data;
	long result;

	if (vcpu->vm->mm != current->mm)
		return -EIO;
	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	if (likely(command == KVM_RUN))
		result = argument ? -EINVAL : vcpu_run(vcpu);
	else
		result = locked_ioctl(vcpu, command, argument);
	mutex_unlock(&vcpu->lock);
	return result;
}

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vcpu *vcpu = file->private_data;

	return remap_vmalloc_range(vma, vcpu->run, vma->vm_pgoff);
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu *vcpu = file->private_data;

	mutex_lock(&vcpu->vm->lock);
	vcpu->open = false;
	mutex_unlock(&vcpu->vm->lock);
	vm_put_user(vcpu->vm);
	return 0;
}

static const struct file_operations vcpu_operations = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

void vcpu_free(struct vcpu *vcpu)
{
	if (vcpu->page)
		memunmap(vcpu->page);
	vfree(vcpu->run);
	kvfree(vcpu->cpuid);
	kfree(vcpu);
}

static struct vcpu *vcpu_alloc(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);

	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->running_on = -1;
	vcpu->apic_address = APIC_DEFAULT_PHYS_BASE;
	vcpu->physical_bits = DEFAULT_PHYSICAL_BITS;
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	vcpu->run = vmalloc_user(VCPU_RUN_PAGES * PAGE_SIZE);
	if (!vcpu->run) {
		kfree(vcpu);
		return NULL;
	}
	return vcpu;
}

/* The hypervisor takes index 0 for the bootstrap processor; the API goes by the id. */
static int set_boot_role(struct vcpu *vcpu)
{
	struct hv_vcpu_page *page = vcpu->page;
	bool boots = vcpu->id == vcpu->vm->boot_id;
	int err = vcpu_fetch(vcpu, HV_GROUP_SREGS | HV_GROUP_EVENTS);

	if (err || boots == !vcpu->index)
		return err;
	page->sregs.apic_base &= ~(u64)MSR_IA32_APICBASE_BSP;
	page->events.activity = HV_ACTIVITY_WAIT_SIPI;
	if (boots) {
		page->sregs.apic_base |= MSR_IA32_APICBASE_BSP;
		page->events.activity = HV_ACTIVITY_RUN;
	}
	return vcpu_store(vcpu, HV_GROUP_SREGS | HV_GROUP_EVENTS);
}

/* Context: vm->lock held. After success in the hypervisor the index is taken for good. */
static int create_locked(struct vm *vm, struct vcpu *vcpu)
{
	long address;
	u32 i;

	if (vm->vcpu_count == VM_MAX_VCPUS || (vm->id_limit && vcpu->id >= vm->id_limit))
		return -EINVAL;
	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->id == vcpu->id)
			return -EEXIST;
	vcpu->index = vm->vcpu_count;
	address = vm_call_funded(vm, HV_CALL_VCPU_CREATE,
				 (u64[5]){vm->handle, vcpu->index, vcpu->id});
	if (address < 0)
		return hv_to_errno(address);
	vcpu->page = memremap(address, sizeof(*vcpu->page), MEMREMAP_WB);
	WRITE_ONCE(vm->vcpus[vcpu->index], vcpu);
	vm->vcpu_count++;
	if (!vcpu->page)
		return -ENOMEM;
	ioeventfd_new_vcpu(vcpu);
	if (vcpu->id == vm->boot_id)
		WRITE_ONCE(vm->boot, vcpu);
	return set_boot_role(vcpu);
}

/* Context: vcpu->open is the caller's doing. */
static int new_descriptor(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int fd;

	vm_get_user(vm);
	fd = anon_inode_getfd("hornero-vcpu", &vcpu_operations, vcpu, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		mutex_lock(&vm->lock);
		vcpu->open = false;
		mutex_unlock(&vm->lock);
		vm_put_user(vm);
	}
	return fd;
}

/* What the process before this one asked of the next KVM_RUN is not asked any more. */
static void forget_orders(struct vcpu *vcpu)
{
	mutex_lock(&vcpu->lock);
	vcpu->mask_signals = false;
	vcpu->run->immediate_exit = 0;
	vcpu->run->kvm_valid_regs = 0;
	vcpu->run->kvm_dirty_regs = 0;
	mutex_unlock(&vcpu->lock);
}

int vcpu_open(struct vm *vm, u64 id)
{
	struct vcpu *vcpu = NULL;
	int err = -ENOENT;
	u32 i;

	mutex_lock(&vm->lock);
	for (i = 0; i < vm->vcpu_count && err == -ENOENT; i++) {
		vcpu = vm->vcpus[i];
		if (vcpu->id == id && vcpu->page)
			err = vcpu->open ? -EBUSY : 0;
	}
	if (!err)
		vcpu->open = true;
	mutex_unlock(&vm->lock);
	if (err)
		return err;
	forget_orders(vcpu);
	return new_descriptor(vcpu);
}

int vcpu_create(struct vm *vm, u32 id)
{
	struct vcpu *vcpu;
	bool owned;
	int result;

	if (id >= VM_VCPU_IDS)
		return -EINVAL;
	vcpu = vcpu_alloc(vm, id);
	if (!vcpu)
		return -ENOMEM;
	mutex_lock(&vm->lock);
	result = create_locked(vm, vcpu);
	owned = vm->vcpu_count && vm->vcpus[vm->vcpu_count - 1] == vcpu;
	vcpu->open = !result;
	mutex_unlock(&vm->lock);
	if (!result)
		result = new_descriptor(vcpu);
	/* Once it is in the VM's list, the VM frees it. */
	if (!owned)
		vcpu_free(vcpu);
	return result;
}
