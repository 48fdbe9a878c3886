// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM descriptors: birth, ioctls, death.
 *
 * An ioctl is taken apart here and carried out by the part that owns the thing: memory.c, events.c
 * and its neighbours, vcpu.c. A VM is bound to the process that made it, as KVM's are: its memory
 * is that process's. Read vm.h for lifetimes and locks first.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "abi/ioctl.h"

#include "irqchip.h"
#include "scrub.h"
#include "vm.h"

#define VM_FUND_ROUNDS	8
#define VM_FUND_AT_ONCE 16 /* the hypervisor takes no more in one call */

static long fund(struct vm *vm, u64 frames)
{
	long result = 0;
	u64 some;

	for (; frames && result >= 0; frames -= some) {
		some = min_t(u64, frames, VM_FUND_AT_ONCE);
		result = hv_call_patient(HV_CALL_VM_FUND, (u64[5]){vm->handle, some}, NULL, 0, NULL,
					 0, NULL);
	}
	return result;
}

long vm_call_funded_out(struct vm *vm, enum hv_call number, const u64 arguments[5], void *out,
			size_t bytes)
{
	unsigned int round;
	u64 frames = 0;
	long result;

	for (round = 0; round < VM_FUND_ROUNDS; round++) {
		result = hv_call_patient(number, arguments, NULL, 0, out, bytes, &frames);
		if (result != -HV_ERR_NOMEM || !frames)
			return result;
		result = fund(vm, frames);
		if (result < 0)
			return result;
	}
	return -HV_ERR_NOMEM;
}

long vm_call_funded(struct vm *vm, enum hv_call number, const u64 arguments[5])
{
	return vm_call_funded_out(vm, number, arguments, NULL, 0);
}

static void vm_free(struct kref *references)
{
	struct vm *vm = container_of(references, struct vm, references);
	u32 i;
	long result;

	keep_remove(vm);
	for (i = 0; i < vm->vcpu_count; i++)
		vcpu_free(vm->vcpus[i]);
	result = hv_settle(hv_call1(HV_CALL_VM_DESTROY, vm->handle));
	scrub_wake();
	if (result < 0)
		pr_err("VM %x is not destroyed: %s\n", vm->handle, hv_error_text(result));
	kfree(rcu_access_pointer(vm->routing));
	irqchip_free(vm);
	if (vm->mm)
		mmdrop(vm->mm);
	kfree(vm);
}

void vm_get(struct vm *vm)
{
	kref_get(&vm->references);
}

void vm_put(struct vm *vm)
{
	kref_put(&vm->references, vm_free);
}

static void vm_retire(struct kref *users)
{
	struct vm *vm = container_of(users, struct vm, users);

	irqfd_release_all(vm);
	ioeventfd_release_all(vm);
	irqchip_stop(vm);
	if (keep_instead(vm))
		return;
	memory_release_all(vm);
	vm_put(vm);
}

void vm_get_user(struct vm *vm)
{
	kref_get(&vm->users);
}

void vm_put_user(struct vm *vm)
{
	kref_put(&vm->users, vm_retire);
}

/* Once: what was promised stays. */
static int limit_ids(struct vm *vm, u64 limit)
{
	int err = 0;

	mutex_lock(&vm->lock);
	if (limit > VM_VCPU_IDS || (vm->id_limit && vm->id_limit != limit))
		err = -EINVAL;
	else
		vm->id_limit = limit;
	mutex_unlock(&vm->lock);
	return err;
}

static int enable_cap(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		return events_split_irqchip(vm, cap->args[0]);
	case KVM_CAP_MAX_VCPU_ID:
		return limit_ids(vm, cap->args[0]);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return dirty_log_manually(vm, cap->args[0]);
	default:
		return -EINVAL;
	}
}

static int set_boot_id(struct vm *vm, unsigned long id)
{
	int err = 0;

	mutex_lock(&vm->lock);
	if (vm->vcpu_count)
		err = -EBUSY;
	else
		vm->boot_id = id;
	mutex_unlock(&vm->lock);
	return err;
}

static int open_region(struct vm *vm, struct hornero_region __user *user)
{
	struct hornero_region region;
	struct file *file;
	int fd;

	if (copy_from_user(&region, user, sizeof(region)))
		return -EFAULT;
	file = memory_open_region(vm, &region);
	if (IS_ERR(file))
		return PTR_ERR(file);
	fd = copy_to_user(user, &region, sizeof(region)) ? -EFAULT : get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		fput(file);
	else
		fd_install(fd, file);
	return fd;
}

/* part(vm, the structure that the user points to). */
#define WITH_COPY(type, part)                                                                      \
	({                                                                                         \
		type copy;                                                                         \
                                                                                                   \
		copy_from_user(&copy, user, sizeof(copy)) ? -EFAULT : part(vm, &copy);             \
	})

static long vm_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct vm *vm = file->private_data;
	void __user *user = (void __user *)argument;
	u64 value;

	if (vm->mm != current->mm)
		return -EIO;
	switch (command) {
	case KVM_CHECK_EXTENSION:
		return extension_value(argument);
	case KVM_CREATE_VCPU:
		return vcpu_create(vm, argument);
	case KVM_SET_USER_MEMORY_REGION:
		return WITH_COPY(struct kvm_userspace_memory_region, memory_set_region);
	case KVM_GET_DIRTY_LOG:
		return WITH_COPY(struct kvm_dirty_log, dirty_get);
	case KVM_CLEAR_DIRTY_LOG:
		return WITH_COPY(struct kvm_clear_dirty_log, dirty_clear);
	case KVM_ENABLE_CAP:
		return WITH_COPY(struct kvm_enable_cap, enable_cap);
	case KVM_SET_GSI_ROUTING:
		return events_set_routing(vm, user);
	case KVM_CREATE_IRQCHIP:
		return events_create_irqchip(vm);
	case KVM_GET_IRQCHIP:
		return irqchip_get_state(vm, user);
	case KVM_SET_IRQCHIP:
		return irqchip_set_state(vm, user);
	case KVM_IRQ_LINE:
	case KVM_IRQ_LINE_STATUS:
		return events_irq_line(vm, user, command == KVM_IRQ_LINE_STATUS);
	case KVM_CREATE_PIT2:
		return WITH_COPY(struct kvm_pit_config, irqchip_pit_create);
	case KVM_GET_PIT2:
		return irqchip_pit_get_state(vm, user);
	case KVM_SET_PIT2:
		return WITH_COPY(struct kvm_pit_state2, irqchip_pit_set_state);
	case KVM_SIGNAL_MSI:
		return WITH_COPY(struct kvm_msi, events_signal_msi);
	case KVM_IRQFD:
		return WITH_COPY(struct kvm_irqfd, irqfd_change);
	case KVM_IOEVENTFD:
		return WITH_COPY(struct kvm_ioeventfd, ioeventfd_change);
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_id(vm, argument);
	case KVM_SET_NR_MMU_PAGES:
		/* Guest page tables are not shadowed. */
		return argument ? 0 : -EINVAL;
	case KVM_SET_TSS_ADDR:
		/* Real mode needs no task state of ours: every processor here runs it unrestricted.
		 */
		return argument > U32_MAX - 3 * PAGE_SIZE ? -EINVAL : 0;
	case KVM_SET_IDENTITY_MAP_ADDR:
		return copy_from_user(&value, user, sizeof(value)) ? -EFAULT : 0;
	case KVM_GET_STATS_FD:
		return argument ? -EINVAL : stats_create_file(vm, NULL);
	case HORNERO_CREATE_POOL_FILE:
		return copy_from_user(&value, user, sizeof(value)) ? -EFAULT
								   : pool_create_file(vm, value);
	case HORNERO_SET_NAME:
		return WITH_COPY(struct hv_vm_name, keep_set_name);
	case HORNERO_GET_NAME:
		return keep_get_name(vm, user);
	case HORNERO_OPEN_VCPU:
		return vcpu_open(vm, argument);
	case HORNERO_OPEN_REGION:
		return open_region(vm, user);
	default:
		return -ENOTTY;
	}
}

static int vm_release(struct inode *inode, struct file *file)
{
	vm_put_user(file->private_data);
	return 0;
}

static const struct file_operations vm_operations = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.llseek = noop_llseek,
};

static struct vm *vm_alloc(void)
{
	struct vm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);

	if (!vm)
		return NULL;
	kref_init(&vm->references);
	kref_init(&vm->users);
	mutex_init(&vm->lock);
	init_rwsem(&vm->memory_lock);
	spin_lock_init(&vm->event_lock);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->ioeventfds);
	return vm;
}

int vm_new_descriptor(struct vm *vm)
{
	int fd = anon_inode_getfd("hornero-vm", &vm_operations, vm, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		vm_put_user(vm);
	return fd;
}

/* Names it after the process until somebody gives it a better name; the UUID is new each time. */
static long create_in_hypervisor(struct hv_vm_name *name)
{
	struct hv_vm_create args = {.vcpus = VM_MAX_VCPUS};
	char *at;

	generate_random_uuid(args.uuid);
	snprintf(args.name, sizeof(args.name), "%s-%d", current->comm, task_tgid_nr(current));
	for (at = args.name; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	memcpy(name->uuid, args.uuid, sizeof(name->uuid));
	memcpy(name->name, args.name, sizeof(name->name));
	return hv_call_patient(HV_CALL_VM_CREATE, (u64[5]){0}, &args, sizeof(args), NULL, 0, NULL);
}

int vm_create(void)
{
	struct vm *vm = vm_alloc();
	long handle;

	if (!vm)
		return -ENOMEM;
	handle = create_in_hypervisor(&vm->keep.name);
	if (handle < 0) {
		pr_info_ratelimited("%s[%d] gets no VM: %s\n", current->comm, task_pid_nr(current),
				    hv_error_text(handle));
		kfree(vm);
		return hv_to_errno(handle);
	}
	vm->handle = handle;
	vm->mm = current->mm;
	mmgrab(vm->mm);
	keep_add(vm);
	return vm_new_descriptor(vm);
}
