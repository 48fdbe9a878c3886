// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory: regions over pool files and over pinned memory of the device model's process.
 *
 * A region becomes runs of physical memory, and each run one hypercall. Taking a region away is the
 * delicate direction: unmap in the hypervisor, wait until no CPU can translate to it any more, and
 * only then unpin or let go of the pool file. When that wait fails the memory is leaked on purpose,
 * loudly.
 *
 * The driver itself reads guest memory through the process's addresses, as KVM does.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/file.h>
#include <linux/io.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "abi/ioctl.h"

#include "vm.h"

#define PIN_BATCH 512

static u64 map_flags(const struct region_range *range)
{
	return HV_MAP_READ | HV_MAP_EXEC | (range->readonly ? 0 : HV_MAP_WRITE) |
	       (range->logged ? HV_MAP_DIRTY : 0);
}

static long map_run(struct vm *vm, const struct region_range *range, u64 done, u64 hpa, u64 bytes,
		    u64 flags)
{
	return vm_call_funded(vm, HV_CALL_VM_MAP,
			      (u64[5]){vm->handle, range->gpa + done, hpa, bytes, flags});
}

static long map_pool(struct vm *vm, const struct region_range *range,
		     const struct region_backing *backing, u64 *done)
{
	long result = 0;
	u64 hpa, run;

	for (*done = 0; *done < range->bytes; *done += run) {
		hpa = pool_run_at(backing->pool, backing->pool_offset + *done, range->bytes - *done,
				  &run);
		result = map_run(vm, range, *done, hpa, run, map_flags(range));
		if (result < 0)
			break;
	}
	return result;
}

static long map_pinned(struct vm *vm, const struct region_range *range,
		       const struct region_backing *backing, u64 *done)
{
	unsigned long first, next;
	long result = 0;

	*done = 0;
	for (first = 0; first < backing->pinned; first = next) {
		for (next = first + 1; next < backing->pinned; next++)
			if (page_to_pfn(backing->pages[next]) !=
			    page_to_pfn(backing->pages[next - 1]) + 1)
				break;
		result = map_run(vm, range, *done, page_to_phys(backing->pages[first]),
				 (next - first) << PAGE_SHIFT, map_flags(range) | HV_MAP_LENT);
		if (result < 0)
			break;
		*done = (u64)next << PAGE_SHIFT;
		cond_resched();
	}
	return result;
}

static long unmap(struct vm *vm, u64 gpa, u64 bytes)
{
	long result;

	if (!bytes)
		return 0;
	result = hv_settle(vm_call_funded(vm, HV_CALL_VM_UNMAP, (u64[5]){vm->handle, gpa, bytes}));
	if (result < 0)
		pr_err("VM %x: guest memory at 0x%llx is not unmapped and will be leaked: %s\n",
		       vm->handle, gpa, hv_error_text(result));
	return result;
}

/* All or nothing: what was mapped before a failure is unmapped again. */
static long map(struct vm *vm, const struct region_range *range,
		const struct region_backing *backing)
{
	u64 done;
	long result = backing->pool ? map_pool(vm, range, backing, &done)
				    : map_pinned(vm, range, backing, &done);

	if (result >= 0)
		return 0;
	if (unmap(vm, range->gpa, done) < 0)
		return -HV_ERR_STATE;
	return result;
}

static void release_backing(struct vm *vm, struct region_backing *backing)
{
	if (backing->pool) {
		fput(backing->pool);
	} else {
		unpin_user_pages_dirty_lock(backing->pages, backing->pinned, true);
		account_locked_vm(vm->mm, backing->pinned, false);
		kvfree(backing->pages);
	}
	memset(backing, 0, sizeof(*backing));
}

/* A read-only region may lie over memory that the process itself cannot write. */
static long pin_some(u64 uaddr, unsigned long count, struct page **pages, bool readonly)
{
	int pinned = pin_user_pages_fast(uaddr, count, FOLL_WRITE | FOLL_LONGTERM, pages);

	if (pinned <= 0 && readonly)
		pinned = pin_user_pages_fast(uaddr, count, FOLL_LONGTERM, pages);
	return pinned;
}

static int pin(struct vm *vm, const struct region_range *range, struct region_backing *backing)
{
	unsigned long wanted = range->bytes >> PAGE_SHIFT;
	long pinned;
	int err = account_locked_vm(vm->mm, wanted, true);

	if (err)
		return err;
	backing->pages = kvcalloc(wanted, sizeof(*backing->pages), GFP_KERNEL_ACCOUNT);
	err = backing->pages ? 0 : -ENOMEM;
	while (!err && backing->pinned < wanted) {
		pinned = pin_some(range->uaddr + ((u64)backing->pinned << PAGE_SHIFT),
				  min_t(unsigned long, wanted - backing->pinned, PIN_BATCH),
				  backing->pages + backing->pinned, range->readonly);
		if (pinned > 0)
			backing->pinned += pinned;
		else
			err = pinned ? pinned : -EFAULT;
		cond_resched();
	}
	if (!err)
		return 0;
	if (backing->pages)
		unpin_user_pages(backing->pages, backing->pinned);
	account_locked_vm(vm->mm, wanted, false);
	kvfree(backing->pages);
	memset(backing, 0, sizeof(*backing));
	return err;
}

static int map_new_region(struct vm *vm, u32 slot, const struct region_range *wanted)
{
	struct region_backing *backing = &vm->backing[slot];
	long result;
	int err;

	backing->pool = pool_file_at(vm, wanted->uaddr, wanted->bytes, &backing->pool_offset);
	if (!backing->pool) {
		if (vm->keep.wanted) {
			pr_info_ratelimited(
				"%s[%d]: VM %x is kept, so region %u must be of a pool file\n",
				current->comm, task_pid_nr(current), vm->handle, slot);
			return -EINVAL;
		}
		err = pin(vm, wanted, backing);
		if (err)
			return err;
	}
	result = map(vm, wanted, backing);
	if (result == -HV_ERR_STATE) {
		memset(backing, 0, sizeof(*backing)); /* leaked: CPUs may still reach it */
	} else if (result < 0) {
		release_backing(vm, backing);
	} else {
		region_set(&vm->regions, slot, wanted);
	}
	return hv_to_errno(result);
}

static int delete_region(struct vm *vm, u32 slot)
{
	struct region_range *range = &vm->regions.slot[slot];
	long result = unmap(vm, range->gpa, range->bytes);

	vm->adrift -= vm->backing[slot].adrift;
	dirty_stop(vm, slot);
	if (result < 0)
		memset(&vm->backing[slot], 0, sizeof(vm->backing[slot]));
	else
		release_backing(vm, &vm->backing[slot]);
	memset(range, 0, sizeof(*range));
	return hv_to_errno(result);
}

static int create_region(struct vm *vm, u32 slot, const struct region_range *wanted)
{
	int err = map_new_region(vm, slot, wanted);
	long result;

	if (err || !wanted->logged)
		return err;
	result = dirty_start(vm, slot);
	if (result < 0)
		delete_region(vm, slot);
	return hv_to_errno(result);
}

static int set_logging(struct vm *vm, u32 slot, bool logged)
{
	struct region_range *range = &vm->regions.slot[slot];
	long result = 0;

	if (!logged)
		dirty_stop(vm, slot);
	else if (!vm->backing[slot].dirty)
		result = dirty_start(vm, slot);
	range->logged = vm->backing[slot].dirty;
	return hv_to_errno(result);
}

static int move_region(struct vm *vm, u32 slot, const struct region_range *wanted)
{
	struct region_range *range = &vm->regions.slot[slot];
	long result = unmap(vm, range->gpa, range->bytes);

	if (result < 0)
		return hv_to_errno(result);
	result = map(vm, wanted, &vm->backing[slot]);
	if (result < 0) {
		dirty_stop(vm, slot);
		release_backing(vm, &vm->backing[slot]);
		memset(range, 0, sizeof(*range));
		return hv_to_errno(result);
	}
	*range = *wanted;
	/* What was written up to now went with the old tables. */
	if (vm->backing[slot].dirty)
		dirty_all(vm, slot);
	return set_logging(vm, slot, wanted->logged);
}

/* The region as it is, at an address of this process. */
static int adopt_region(struct vm *vm, u32 slot, const struct region_range *wanted)
{
	struct region_backing *backing = &vm->backing[slot];
	struct region_range *range = &vm->regions.slot[slot];
	struct file *file;
	u64 offset;
	bool same;

	file = pool_file_at(vm, wanted->uaddr, wanted->bytes, &offset);
	same = file == backing->pool && offset == backing->pool_offset &&
	       wanted->gpa == range->gpa && wanted->bytes == range->bytes &&
	       wanted->readonly == range->readonly && wanted->logged == range->logged;
	if (file)
		fput(file);
	if (!same)
		return -EINVAL;
	range->uaddr = wanted->uaddr;
	backing->adrift = false;
	vm->adrift--;
	return 0;
}

int memory_set_region(struct vm *vm, const struct kvm_userspace_memory_region *region)
{
	const struct region_range wanted = {
		.gpa = region->guest_phys_addr,
		.bytes = region->memory_size,
		.uaddr = region->userspace_addr,
		.readonly = region->flags & KVM_MEM_READONLY,
		.logged = region->flags & KVM_MEM_LOG_DIRTY_PAGES,
	};
	int result;

	if (region->flags & ~(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES) ||
	    !access_ok((void __user *)wanted.uaddr, wanted.bytes))
		return -EINVAL;
	down_write(&vm->memory_lock);
	result = region_plan(&vm->regions, region->slot, &wanted);
	if (region->slot < REGION_SLOTS && vm->backing[region->slot].adrift &&
	    result != REGION_DELETE)
		result = adopt_region(vm, region->slot, &wanted);
	else if (result == REGION_CREATE)
		result = create_region(vm, region->slot, &wanted);
	else if (result == REGION_DELETE)
		result = delete_region(vm, region->slot);
	else if (result == REGION_MOVE)
		result = move_region(vm, region->slot, &wanted);
	else if (result == REGION_LOG)
		result = set_logging(vm, region->slot, wanted.logged);
	up_write(&vm->memory_lock);
	return result;
}

void memory_release_all(struct vm *vm)
{
	u32 slot;

	down_write(&vm->memory_lock);
	for (slot = 0; slot < REGION_SLOTS; slot++)
		if (vm->regions.slot[slot].bytes)
			delete_region(vm, slot);
	up_write(&vm->memory_lock);
}

void memory_cut_adrift(struct vm *vm)
{
	u32 slot;

	down_write(&vm->memory_lock);
	for (slot = 0; slot < REGION_SLOTS; slot++)
		if (vm->regions.slot[slot].bytes && !vm->backing[slot].adrift) {
			vm->backing[slot].adrift = true;
			vm->adrift++;
		}
	up_write(&vm->memory_lock);
}

struct file *memory_open_region(struct vm *vm, struct hornero_region *region)
{
	const struct region_backing *backing;
	const struct region_range *range;
	struct file *file = ERR_PTR(-ENOENT);

	if (region->slot >= REGION_SLOTS)
		return ERR_PTR(-EINVAL);
	down_read(&vm->memory_lock);
	backing = &vm->backing[region->slot];
	range = &vm->regions.slot[region->slot];
	if (backing->pool) {
		region->flags = (range->readonly ? KVM_MEM_READONLY : 0) |
				(range->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0);
		region->gpa = range->gpa;
		region->bytes = range->bytes;
		region->offset = backing->pool_offset;
		region->file_bytes = pool_file_bytes(backing->pool);
		file = get_file(backing->pool);
	}
	up_read(&vm->memory_lock);
	return file;
}

u64 memory_uaddr(struct vm *vm, u64 gpa, bool write)
{
	int slot = region_find(&vm->regions, gpa);

	if (slot < 0 || (write && vm->regions.slot[slot].readonly))
		return 0;
	return vm->regions.slot[slot].uaddr + (gpa - vm->regions.slot[slot].gpa);
}

int memory_read(struct vm *vm, u64 gpa, void *data, unsigned int bytes)
{
	u64 uaddr = memory_uaddr(vm, gpa, false);

	if (!uaddr || copy_from_user(data, (void __user *)uaddr, bytes))
		return -EFAULT;
	return 0;
}

int memory_write(struct vm *vm, u64 gpa, const void *data, unsigned int bytes)
{
	u64 uaddr = memory_uaddr(vm, gpa, true);

	if (!uaddr || copy_to_user((void __user *)uaddr, data, bytes))
		return -EFAULT;
	memory_mark_dirty(vm, gpa);
	return 0;
}

void memory_mark_dirty(struct vm *vm, u64 gpa)
{
	int slot = region_find(&vm->regions, gpa);

	if (slot >= 0 && vm->backing[slot].dirty)
		set_bit((gpa - vm->regions.slot[slot].gpa) >> PAGE_SHIFT, vm->backing[slot].dirty);
}
