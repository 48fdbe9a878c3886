// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names of VMs, and VMs without a process; see keep.h.
 *
 * What outlives the process is the hypervisor's anyway (memory, vCPUs, local APICs); here stays
 * only what leads to it. What is the process's own cannot be kept: pinned memory, descriptors for
 * events, and the chips of KVM_CREATE_IRQCHIP with their timer.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/cred.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>

#include "abi/ioctl.h"

#include "vm.h"

static DEFINE_MUTEX(lock); /* inside all others */
static LIST_HEAD(vms);

void keep_add(struct vm *vm)
{
	vm->keep.state = HORNERO_VM_OPEN;
	vm->keep.owner = current_euid();
	mutex_lock(&lock);
	list_add(&vm->keep.all, &vms);
	mutex_unlock(&lock);
}

void keep_remove(struct vm *vm)
{
	mutex_lock(&lock);
	list_del(&vm->keep.all);
	mutex_unlock(&lock);
}

static void set_state(struct vm *vm, u32 state)
{
	mutex_lock(&lock);
	vm->keep.state = state;
	mutex_unlock(&lock);
}

bool keep_instead(struct vm *vm)
{
	if (!vm->keep.wanted) {
		set_state(vm, HORNERO_VM_ENDING);
		return false;
	}
	memory_cut_adrift(vm);
	mmdrop(vm->mm);
	vm->mm = NULL;
	__module_get(THIS_MODULE);
	set_state(vm, HORNERO_VM_KEPT);
	return true;
}

/* Takes the VM out of being kept, into `next`: its reference of the users is the caller's then. */
static struct vm *take(const u8 __user *user, u32 next)
{
	struct vm *vm, *found = ERR_PTR(-ENOENT);
	u8 uuid[16];

	if (copy_from_user(uuid, user, sizeof(uuid)))
		return ERR_PTR(-EFAULT);
	mutex_lock(&lock);
	list_for_each_entry(vm, &vms, keep.all)
	{
		if (memcmp(vm->keep.name.uuid, uuid, sizeof(uuid)))
			continue;
		if (!uid_eq(vm->keep.owner, current_euid()) && !capable(CAP_SYS_ADMIN)) {
			found = ERR_PTR(-EACCES);
		} else if (vm->keep.state != HORNERO_VM_KEPT) {
			found = ERR_PTR(-EBUSY);
		} else {
			vm->keep.state = next;
			found = vm;
		}
		break;
	}
	mutex_unlock(&lock);
	return found;
}

int keep_open(const u8 __user *uuid)
{
	struct vm *vm = take(uuid, HORNERO_VM_OPEN);
	int fd;

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	kref_init(&vm->users);
	fd = vm_new_descriptor(vm);
	module_put(THIS_MODULE); /* the caller's descriptor of /dev/kvm holds it as well */
	return fd;
}

int keep_destroy(const u8 __user *uuid)
{
	struct vm *vm = take(uuid, HORNERO_VM_ENDING);

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	memory_release_all(vm);
	vm_put(vm);
	module_put(THIS_MODULE);
	return 0;
}

/* Context: vm->lock and vm->memory_lock held. */
static long set_name_locked(struct vm *vm, const struct hv_vm_name *name)
{
	const char *why = NULL;
	long result;

	if (name->flags & HV_VM_KEEP && vm->irqchip)
		why = "PIC, IOAPIC and PIT of the kernel do not outlive a process; use the split irqchip";
	result = why ? -HV_ERR_STATE
		     : hv_call_in(HV_CALL_VM_NAME, vm->handle, 0, 0, name, sizeof(*name));
	if (result == -HV_ERR_STATE && !why)
		why = "it has regions over memory of its process; use pool files alone";
	if (why)
		pr_info_ratelimited("%s[%d]: VM %x cannot be kept: %s\n", current->comm,
				    task_pid_nr(current), vm->handle, why);
	if (result < 0)
		return result;
	vm->keep.wanted = name->flags & HV_VM_KEEP;
	mutex_lock(&lock);
	vm->keep.name = *name;
	mutex_unlock(&lock);
	return 0;
}

int keep_set_name(struct vm *vm, const struct hv_vm_name *name)
{
	long result;

	if (!memchr_inv(name->uuid, 0, sizeof(name->uuid)))
		return -EINVAL;
	mutex_lock(&vm->lock);
	down_write(&vm->memory_lock);
	result = set_name_locked(vm, name);
	up_write(&vm->memory_lock);
	mutex_unlock(&vm->lock);
	return hv_to_errno(result);
}

int keep_get_name(struct vm *vm, struct hv_vm_name __user *user)
{
	struct hv_vm_name name;

	mutex_lock(&lock);
	name = vm->keep.name;
	mutex_unlock(&lock);
	return copy_to_user(user, &name, sizeof(name)) ? -EFAULT : 0;
}

u32 keep_state(u32 handle, u32 *owner)
{
	u32 state = HORNERO_VM_UNKNOWN;
	struct vm *vm;

	*owner = 0;
	mutex_lock(&lock);
	list_for_each_entry(vm, &vms, keep.all) if (vm->handle == handle)
	{
		state = vm->keep.state;
		*owner = from_kuid_munged(current_user_ns(), vm->keep.owner);
	}
	mutex_unlock(&lock);
	return state;
}
