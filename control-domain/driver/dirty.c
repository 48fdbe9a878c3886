// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_DIRTY_LOG: which pages of a memory region were written.
 *
 * The processor notes a guest's writes in the EPT's dirty flags, page by page; the hypervisor takes
 * those when it is asked (VM_DIRTY), and CPUs that hold the translation as dirty owe a flush, for
 * they would note no more. So a bitmap is handed out only after that is settled: each write after
 * it is seen the next time. What the driver writes for a guest (instructions that it carries out)
 * it notes itself. Bits are kept in the region's own bitmap until user space has them, or, with
 * KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, until it clears them.
 *
 * A region that is logged has 4 KiB pages, and keeps them until it is set anew.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/bitmap.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vm.h"

#define CHUNK_BYTES (HV_DIRTY_PAGES / BITS_PER_BYTE)

static u64 region_pages(const struct vm *vm, u32 slot)
{
	return vm->regions.slot[slot].bytes >> PAGE_SHIFT;
}

/* KVM's bitmaps are of 64-bit words. */
static size_t bitmap_bytes(u64 pages)
{
	return BITS_TO_LONGS(pages) * sizeof(long);
}

/* The flags of pages from `first` on, a multiple of 64, into the region's bitmap. */
static long harvest(struct vm *vm, u32 slot, u64 first, u64 pages)
{
	unsigned long *chunk = kmalloc(CHUNK_BYTES, GFP_KERNEL);
	u64 gpa = vm->regions.slot[slot].gpa, done, some;
	unsigned long *to;
	long epoch = 0;

	if (!chunk)
		return -HV_ERR_NOMEM;
	for (done = 0; done < pages && epoch >= 0; done += some) {
		some = min_t(u64, pages - done, HV_DIRTY_PAGES);
		epoch = vm_call_funded_out(vm, HV_CALL_VM_DIRTY,
					   (u64[5]){vm->handle,
						    gpa + ((first + done) << PAGE_SHIFT),
						    some << PAGE_SHIFT},
					   chunk, bitmap_bytes(some));
		if (epoch < 0)
			break;
		to = vm->backing[slot].dirty + BIT_WORD(first + done);
		bitmap_or(to, to, chunk, some);
		cond_resched();
	}
	kfree(chunk);
	return hv_settle(epoch); /* the newest stands for all before it */
}

void dirty_all(struct vm *vm, u32 slot)
{
	bitmap_set(vm->backing[slot].dirty, 0, region_pages(vm, slot));
}

long dirty_start(struct vm *vm, u32 slot)
{
	u64 pages = region_pages(vm, slot);
	unsigned long *bitmap = kvzalloc(bitmap_bytes(pages), GFP_KERNEL_ACCOUNT);
	long result;

	if (!bitmap)
		return -HV_ERR_NOMEM;
	vm->backing[slot].dirty = bitmap;
	result = harvest(vm, slot, 0, pages);
	if (result < 0) {
		if (result == -HV_ERR_UNSUPPORTED)
			pr_info_ratelimited(
				"%s[%d]: no dirty log: this processor keeps no dirty flags in EPT\n",
				current->comm, task_pid_nr(current));
		dirty_stop(vm, slot);
		return result;
	}
	if (vm->log_manually & KVM_DIRTY_LOG_INITIALLY_SET)
		dirty_all(vm, slot);
	else
		bitmap_zero(bitmap, pages);
	return 0;
}

void dirty_stop(struct vm *vm, u32 slot)
{
	kvfree(vm->backing[slot].dirty);
	vm->backing[slot].dirty = NULL;
}

/* Context: memory_lock held. */
static int check_slot(struct vm *vm, u32 slot)
{
	if (slot >= REGION_SLOTS)
		return -EINVAL;
	return vm->backing[slot].dirty ? 0 : -ENOENT;
}

static int get_locked(struct vm *vm, const struct kvm_dirty_log *log)
{
	u64 pages;
	long result;
	int err = check_slot(vm, log->slot);

	if (err)
		return err;
	pages = region_pages(vm, log->slot);
	result = harvest(vm, log->slot, 0, pages);
	if (result < 0)
		return hv_to_errno(result);
	if (copy_to_user(log->dirty_bitmap, vm->backing[log->slot].dirty, bitmap_bytes(pages)))
		return -EFAULT;
	if (!vm->log_manually)
		bitmap_zero(vm->backing[log->slot].dirty, pages);
	return 0;
}

int dirty_get(struct vm *vm, const struct kvm_dirty_log *log)
{
	int err;

	down_write(&vm->memory_lock);
	err = get_locked(vm, log);
	up_write(&vm->memory_lock);
	return err;
}

/* What was written before now need not be told again, if its bit is cleared. */
static int clear_bits(struct vm *vm, const struct kvm_clear_dirty_log *log,
		      const unsigned long *clear)
{
	unsigned long *dirty = vm->backing[log->slot].dirty + BIT_WORD(log->first_page);
	long result = harvest(vm, log->slot, log->first_page, log->num_pages);

	if (result >= 0)
		bitmap_andnot(dirty, dirty, clear, log->num_pages);
	return hv_to_errno(result);
}

static int clear_locked(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	size_t bytes = bitmap_bytes(log->num_pages);
	int err = check_slot(vm, log->slot);
	unsigned long *clear;
	u64 behind;

	if (err)
		return err;
	behind = region_pages(vm, log->slot) - log->first_page;
	if (log->first_page % BITS_PER_LONG || log->first_page > region_pages(vm, log->slot) ||
	    log->num_pages > behind || (log->num_pages < behind && log->num_pages % BITS_PER_LONG))
		return -EINVAL;
	clear = kvmalloc(bytes ?: 1, GFP_KERNEL_ACCOUNT);
	if (!clear)
		return -ENOMEM;
	err = copy_from_user(clear, log->dirty_bitmap, bytes) ? -EFAULT
							      : clear_bits(vm, log, clear);
	kvfree(clear);
	return err;
}

int dirty_clear(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	int err;

	down_write(&vm->memory_lock);
	err = clear_locked(vm, log);
	up_write(&vm->memory_lock);
	return err;
}

int dirty_log_manually(struct vm *vm, u64 how)
{
	if (how & ~(u64)DIRTY_LOG_WAYS || how == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	down_write(&vm->memory_lock);
	vm->log_manually = how;
	up_write(&vm->memory_lock);
	return 0;
}
