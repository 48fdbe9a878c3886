// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pool files: frames of the guest pool as something a device model can mmap.
 *
 * A pool file owns its frames from creation to its last reference: descriptor, mapping or memory
 * region. Its pages have no struct page, so mappings are plain page-table entries (VM_PFNMAP), not
 * inherited by fork and not dumped, and get_user_pages on them fails: direct I/O has to be bounced.
 *
 * Each run of neighbouring frames is mapped into the kernel as well. Nobody uses that address: it
 * makes Linux's PAT code know the range as write-back, which user mappings of memory that is not
 * Linux's own would otherwise not get.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "scrub.h"
#include "vm.h"

#define FRAME_BYTES (2ul << 20)
#define CALL_FRAMES (HV_PAGE_BYTES / sizeof(u64))
#define MAX_FRAMES  (1ul << 20)	 /* 2 TiB */
#define FAULT_BYTES (64ul << 10) /* mapped around an address that a process touches */

struct pool_run {
	u64 hpa;
	u64 frames;
	u64 offset; /* in the file, bytes */
	void *write_back;
};

struct pool_file {
	struct vm *vm;
	u64 bytes;
	u32 runs, room;
	struct pool_run *run;
};

static int add_run(struct pool_file *pool, u64 hpa)
{
	struct pool_run *last = pool->runs ? &pool->run[pool->runs - 1] : NULL;
	struct pool_run *grown;

	if (last && last->hpa + last->frames * FRAME_BYTES == hpa) {
		last->frames++;
		return 0;
	}
	if (pool->runs == pool->room) {
		grown = kvcalloc(pool->room * 2 + 8, sizeof(*grown), GFP_KERNEL_ACCOUNT);
		if (!grown)
			return -ENOMEM;
		if (pool->runs)
			memcpy(grown, pool->run, pool->runs * sizeof(*grown));
		kvfree(pool->run);
		pool->run = grown;
		pool->room = pool->room * 2 + 8;
	}
	pool->run[pool->runs++] = (struct pool_run){.hpa = hpa, .frames = 1};
	return 0;
}

static void free_frames(struct vm *vm, u64 hpa, u64 frames)
{
	long result = hv_settle(hv_call3(HV_CALL_POOL_FREE, vm->handle, hpa, frames));

	scrub_wake();
	if (result < 0)
		pr_err("VM %x: %llu pool frames at 0x%llx are not given back: %s\n", vm->handle,
		       frames, hpa, hv_error_text(result));
}

static void destroy(struct pool_file *pool)
{
	u32 i;

	for (i = 0; i < pool->runs; i++) {
		if (pool->run[i].write_back)
			memunmap(pool->run[i].write_back);
		free_frames(pool->vm, pool->run[i].hpa, pool->run[i].frames);
	}
	vm_put(pool->vm);
	kvfree(pool->run);
	kfree(pool);
}

/* Takes `given` addresses; frames that cannot be noted are handed back at once. */
static int take_frames(struct pool_file *pool, const u64 *addresses, long given)
{
	int err = 0;
	long i;

	for (i = 0; i < given; i++) {
		if (!err)
			err = add_run(pool, addresses[i]);
		if (err)
			free_frames(pool->vm, addresses[i], 1);
	}
	return err;
}

static int allocate(struct pool_file *pool)
{
	u64 left = pool->bytes / FRAME_BYTES;
	u64 *addresses = kmalloc(HV_PAGE_BYTES, GFP_KERNEL);
	int err = addresses ? 0 : -ENOMEM;
	long given;

	while (!err && left) {
		given = hv_call_patient(HV_CALL_POOL_ALLOC,
					(u64[5]){pool->vm->handle, min_t(u64, left, CALL_FRAMES)},
					NULL, 0, addresses, HV_PAGE_BYTES, NULL);
		if (given <= 0 || given > CALL_FRAMES) {
			err = given < 0 ? hv_to_errno(given) : -ENOMEM;
			break;
		}
		err = take_frames(pool, addresses, given);
		left -= min_t(u64, left, given);
		cond_resched();
	}
	kfree(addresses);
	return err;
}

static int make_write_back(struct pool_file *pool)
{
	struct pool_run *run;
	u64 offset = 0;

	for (run = pool->run; run < pool->run + pool->runs; run++) {
		run->offset = offset;
		offset += run->frames * FRAME_BYTES;
		run->write_back = memremap(run->hpa, run->frames * FRAME_BYTES, MEMREMAP_WB);
		if (!run->write_back) {
			pr_err("cannot map pool memory at 0x%llx write-back\n", run->hpa);
			return -ENOMEM;
		}
	}
	return 0;
}

static const struct pool_run *find_run(const struct pool_file *pool, u64 offset)
{
	const struct pool_run *run = pool->run;

	while (offset - run->offset >= run->frames * FRAME_BYTES)
		run++;
	return run;
}

u64 pool_run_at(struct file *file, u64 offset, u64 bytes, u64 *run_bytes)
{
	const struct pool_run *run = find_run(file->private_data, offset);
	u64 into = offset - run->offset;

	*run_bytes = min(bytes, run->frames * FRAME_BYTES - into);
	return run->hpa + into;
}

static vm_fault_t insert(struct vm_area_struct *vma, unsigned long address)
{
	u64 offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) + (address - vma->vm_start), run;

	return vmf_insert_pfn(vma, address,
			      pool_run_at(vma->vm_file, offset, PAGE_SIZE, &run) >> PAGE_SHIFT);
}

/* The page that was touched, and its neighbours as far as that is easy. */
static vm_fault_t pool_fault(struct vm_fault *fault)
{
	struct vm_area_struct *vma = fault->vma;
	unsigned long touched = fault->address & PAGE_MASK;
	unsigned long address = max(touched & ~(FAULT_BYTES - 1), vma->vm_start);
	unsigned long end = min((touched | (FAULT_BYTES - 1)) + 1, vma->vm_end);
	vm_fault_t result = insert(vma, touched);

	for (; result == VM_FAULT_NOPAGE && address < end; address += PAGE_SIZE)
		if (address != touched && insert(vma, address) != VM_FAULT_NOPAGE)
			break;
	return result;
}

static const struct vm_operations_struct pool_vm_operations = {
	.fault = pool_fault,
};

/* Pages are mapped when they are touched: a device model touches few of its guest's. */
static int pool_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct pool_file *pool = file->private_data;
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 bytes = vma->vm_end - vma->vm_start;

	if (!(vma->vm_flags & VM_SHARED) || offset > pool->bytes || bytes > pool->bytes - offset)
		return -EINVAL;
	vma->vm_flags |= VM_IO | VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP;
	vma->vm_ops = &pool_vm_operations;
	return 0;
}

static int pool_release(struct inode *inode, struct file *file)
{
	destroy(file->private_data);
	return 0;
}

static const struct file_operations pool_operations = {
	.owner = THIS_MODULE,
	.mmap = pool_mmap,
	.release = pool_release,
	.llseek = noop_llseek,
};

struct file *pool_file_at(struct vm *vm, u64 uaddr, u64 bytes, u64 *offset)
{
	struct vm_area_struct *vma;
	struct pool_file *pool;
	struct file *file = NULL;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, uaddr);
	if (vma && vma->vm_file && vma->vm_file->f_op == &pool_operations &&
	    uaddr + bytes <= vma->vm_end) {
		pool = vma->vm_file->private_data;
		*offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) + (uaddr - vma->vm_start);
		if (pool->vm == vm)
			file = get_file(vma->vm_file);
	}
	mmap_read_unlock(current->mm);
	return file;
}

u64 pool_file_bytes(struct file *file)
{
	const struct pool_file *pool = file->private_data;

	return pool->bytes;
}

int pool_create_file(struct vm *vm, u64 bytes)
{
	struct pool_file *pool;
	int result;

	if (!bytes || bytes % FRAME_BYTES || bytes / FRAME_BYTES > MAX_FRAMES)
		return -EINVAL;
	pool = kzalloc(sizeof(*pool), GFP_KERNEL_ACCOUNT);
	if (!pool)
		return -ENOMEM;
	pool->vm = vm;
	pool->bytes = bytes;
	vm_get(vm);
	result = allocate(pool);
	if (!result)
		result = make_write_back(pool);
	if (!result)
		result = anon_inode_getfd("hornero-pool", &pool_operations, pool,
					  O_RDWR | O_CLOEXEC);
	if (result < 0)
		destroy(pool);
	return result;
}
