// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/hornero: information, log and statistics of the hypervisor, for root.
 *
 * Each ioctl is one hypercall whose answer is copied from this CPU's call page to user space by way
 * of a buffer, because the page is ours only while preemption is off and user memory may fault.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "abi/ioctl.h"

#include "device.h"
#include "hv.h"
#include "keep.h"

/* A hypercall that fills the page, its answer handed to the user; `first` comes back in front of
 * it. */
static long answer(enum hv_call number, u64 a, u64 b, void __user *to, size_t bytes)
{
	void *buffer = kmalloc(bytes, GFP_KERNEL);
	long result;

	if (!buffer)
		return -ENOMEM;
	result = hv_to_errno(hv_call_out(number, a, b, 0, buffer, bytes));
	if (result >= 0)
		result = copy_to_user(to, buffer, bytes) ? -EFAULT : 0;
	kfree(buffer);
	return result;
}

static long log_read_chunk(u32 which, u64 *position, void *buffer)
{
	void *page = hv_page_get();
	u64 next = *position;
	long bytes;

	if (!page)
		return -EAGAIN;
	bytes = hv_call(HV_CALL_LOG_READ, which, *position, 0, 0, 0, &next);
	if (bytes > HV_PAGE_BYTES)
		bytes = -HV_ERR_INVAL;
	if (bytes > 0)
		memcpy(buffer, page, bytes);
	hv_page_put();
	if (bytes >= 0)
		*position = next;
	return hv_to_errno(bytes);
}

/* The hypervisor hands out whole chunks, so one that no longer fits is left for the next call. */
static long log_read(struct hornero_log_read __user *user)
{
	struct hornero_log_read request;
	u32 stored = 0;
	void *buffer;
	long bytes = 0;
	u64 position;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	if (request.bytes < HV_PAGE_BYTES)
		return -EINVAL;
	buffer = kmalloc(HV_PAGE_BYTES, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	position = request.position;
	while (request.bytes - stored >= HV_PAGE_BYTES) {
		bytes = log_read_chunk(request.which, &position, buffer);
		if (bytes <= 0)
			break;
		if (copy_to_user(u64_to_user_ptr(request.buffer) + stored, buffer, bytes)) {
			bytes = -EFAULT;
			break;
		}
		stored += bytes;
	}
	kfree(buffer);
	if (bytes < 0)
		return bytes;
	request.position = position;
	request.bytes = stored;
	return copy_to_user(user, &request, sizeof(request)) ? -EFAULT : 0;
}

static long cpu_stats(struct hv_cpu_stats __user *user)
{
	u32 cpu;

	if (get_user(cpu, &user->cpu))
		return -EFAULT;
	return answer(HV_CALL_CPU_STATS, cpu, 0, user, sizeof(*user));
}

static long vm_info(struct hornero_vm_info __user *user)
{
	struct hornero_vm_info answer = {};
	long result;

	if (get_user(answer.slot, &user->slot))
		return -EFAULT;
	result = hv_call_out(HV_CALL_VM_INFO, answer.slot, 0, 0, &answer.info, sizeof(answer.info));
	if (result < 0)
		return hv_to_errno(result);
	answer.state = keep_state(answer.info.handle, &answer.owner);
	return copy_to_user(user, &answer, sizeof(answer)) ? -EFAULT : 0;
}

static long vcpu_stats(struct hornero_vcpu_stats __user *user)
{
	u32 vm, index;

	if (get_user(vm, &user->vm) || get_user(index, &user->index))
		return -EFAULT;
	return answer(HV_CALL_VCPU_STATS, vm, index, &user->stats, sizeof(user->stats));
}

static long selftest(unsigned long which)
{
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	pr_alert("hypervisor self-test %lu asked for by %s[%d]\n", which, current->comm,
		 task_pid_nr(current));
	return hv_to_errno(hv_call1(HV_CALL_SELFTEST, which));
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *user = (void __user *)argument;

	switch (command) {
	case HORNERO_INFO:
		return answer(HV_CALL_INFO, 0, 0, user, sizeof(struct hv_info));
	case HORNERO_LOG_READ:
		return log_read(user);
	case HORNERO_CPU_STATS:
		return cpu_stats(user);
	case HORNERO_SELFTEST:
		return selftest(argument);
	case HORNERO_VM_INFO:
		return vm_info(user);
	case HORNERO_VCPU_STATS:
		return vcpu_stats(user);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hornero",
	.mode = 0600,
	.fops = &device_operations,
};

int device_init(void)
{
	return misc_register(&device);
}

void device_exit(void)
{
	misc_deregister(&device);
}
