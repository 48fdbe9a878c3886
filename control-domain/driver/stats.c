// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_STATS_FD: the statistics of a VM or of a vCPU as a file that explains itself: a header,
 * whose they are, a descriptor for each, the values as the hypervisor has them when they are read.
 *
 * Names that KVM has are used where they count the same. The histogram has all: exits by the
 * processor's reason. The file keeps the VM in the hypervisor, as its pool files do, not its memory
 * and interrupt sources.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "abi/vcpu.h"

#include "vcpu.h"

#define NAME_BYTES   32
#define FRAME_BYTES  (2u << 20)
#define MAX_STATS    16
#define EXIT_REASONS (sizeof_field(struct hv_vcpu_stats, exits) / sizeof(u64))

#define COUNT	KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10
#define CYCLES	KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_CYCLES | KVM_STATS_BASE_POW10
#define NOW	KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10
#define BYTES	KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BYTES | KVM_STATS_BASE_POW2
#define BUCKETS KVM_STATS_TYPE_LINEAR_HIST | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10

struct statistic {
	const char *name;
	u32 flags;
	u16 count;  /* of values */
	u32 source; /* offset in struct hv_vcpu_stats, or one of those below */
};

#define SUM_OF_EXITS  0x10000u
#define EXITS(reason) (offsetof(struct hv_vcpu_stats, exits) + (reason) * sizeof(u64))

/* Reasons: SDM 3D "VMX Basic Exit Reasons". */
static const struct statistic vcpu_stats[] = {
	{"exits", COUNT, 1, SUM_OF_EXITS},
	{"irq_exits", COUNT, 1, EXITS(1)},
	{"irq_window_exits", COUNT, 1, EXITS(7)},
	{"nmi_window_exits", COUNT, 1, EXITS(8)},
	{"halt_exits", COUNT, 1, EXITS(12)},
	{"hypercalls", COUNT, 1, EXITS(18)},
	{"io_exits", COUNT, 1, EXITS(30)},
	{"injected_events", COUNT, 1, offsetof(struct hv_vcpu_stats, injected)},
	{"guest_cycles", CYCLES, 1, offsetof(struct hv_vcpu_stats, guest_tsc)},
	{"hypervisor_cycles", CYCLES, 1, offsetof(struct hv_vcpu_stats, root_tsc)},
	{"exits_by_reason", BUCKETS, EXIT_REASONS, EXITS(0)},
};

static const struct statistic vm_stats[] = {
	{"vcpus", NOW, 1, 0},
	{"pool_bytes", BYTES, 1, 1},
	{"metadata_bytes", BYTES, 1, 2},
};

static_assert(ARRAY_SIZE(vcpu_stats) <= MAX_STATS && ARRAY_SIZE(vm_stats) <= MAX_STATS);

struct stats_file {
	struct vm *vm;
	const struct vcpu *vcpu; /* NULL: of the VM */
};

/* What is read, whole: descriptors without a gap, then the values. */
struct image {
	struct kvm_stats_header header;
	char id[NAME_BYTES];
	struct {
		u32 flags;
		s16 exponent;
		u16 size;
		u32 offset, bucket_size;
		char name[NAME_BYTES];
	} descriptor[MAX_STATS];
	u64 value[MAX_STATS + EXIT_REASONS];
};

static_assert(offsetof(typeof(((struct image *)NULL)->descriptor[0]), name) ==
	      sizeof(struct kvm_stats_desc));

static int take_vcpu(const struct stats_file *from, u64 *to)
{
	struct hv_vcpu_stats *stats = kmalloc(sizeof(*stats), GFP_KERNEL);
	size_t i, n;
	long err;

	if (!stats)
		return -ENOMEM;
	err = hv_call_out(HV_CALL_VCPU_STATS, from->vm->handle, from->vcpu->index, 0, stats,
			  sizeof(*stats));
	for (i = 0; err >= 0 && i < ARRAY_SIZE(vcpu_stats); to += vcpu_stats[i++].count) {
		if (vcpu_stats[i].source != SUM_OF_EXITS) {
			memcpy(to, (u8 *)stats + vcpu_stats[i].source,
			       vcpu_stats[i].count * sizeof(u64));
			continue;
		}
		for (*to = n = 0; n < EXIT_REASONS; n++)
			*to += stats->exits[n];
	}
	kfree(stats);
	return err < 0 ? hv_to_errno(err) : 0;
}

/* The hypervisor tells by place, not by handle. */
static int take_vm(const struct stats_file *from, u64 *to)
{
	struct hv_vm_info info = {.handle = 0};
	unsigned int slot;
	long err = 0;

	for (slot = 0; err >= 0 && info.handle != from->vm->handle; slot++)
		err = hv_call_out(HV_CALL_VM_INFO, slot, 0, 0, &info, sizeof(info));
	to[0] = READ_ONCE(from->vm->vcpu_count);
	to[1] = info.frames * FRAME_BYTES;
	to[2] = info.arena_frames * FRAME_BYTES;
	return err < 0 ? hv_to_errno(err) : 0;
}

static size_t describe(struct image *image, const struct stats_file *of)
{
	const struct statistic *stat = of->vcpu ? vcpu_stats : vm_stats;
	u32 count = of->vcpu ? ARRAY_SIZE(vcpu_stats) : ARRAY_SIZE(vm_stats), i, values = 0;

	if (of->vcpu)
		snprintf(image->id, sizeof(image->id), "kvm-%x/vcpu-%u", of->vm->handle,
			 of->vcpu->id);
	else
		snprintf(image->id, sizeof(image->id), "kvm-%x", of->vm->handle);
	for (i = 0; i < count; i++) {
		image->descriptor[i].flags = stat[i].flags;
		image->descriptor[i].size = stat[i].count;
		image->descriptor[i].offset = values * sizeof(u64);
		image->descriptor[i].bucket_size = stat[i].count > 1;
		strscpy(image->descriptor[i].name, stat[i].name, NAME_BYTES);
		values += stat[i].count;
	}
	image->header.name_size = NAME_BYTES;
	image->header.num_desc = count;
	image->header.id_offset = offsetof(struct image, id);
	image->header.desc_offset = offsetof(struct image, descriptor);
	image->header.data_offset = offsetof(struct image, value);
	return offsetof(struct image, value) + values * sizeof(u64);
}

static ssize_t stats_read(struct file *file, char __user *user, size_t bytes, loff_t *at)
{
	const struct stats_file *of = file->private_data;
	struct image *image = kzalloc(sizeof(*image), GFP_KERNEL);
	size_t size;
	ssize_t result;

	if (!image)
		return -ENOMEM;
	size = describe(image, of);
	result = of->vcpu ? take_vcpu(of, image->value) : take_vm(of, image->value);
	if (!result)
		result = simple_read_from_buffer(user, bytes, at, image, size);
	kfree(image);
	return result;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *of = file->private_data;

	vm_put(of->vm);
	kfree(of);
	return 0;
}

static const struct file_operations stats_operations = {
	.owner = THIS_MODULE,
	.release = stats_release,
	.read = stats_read,
	.llseek = noop_llseek,
};

int stats_create_file(struct vm *vm, const struct vcpu *vcpu)
{
	struct stats_file *of = kzalloc(sizeof(*of), GFP_KERNEL_ACCOUNT);
	struct file *file;
	int fd;

	if (!of)
		return -ENOMEM;
	of->vm = vm;
	of->vcpu = vcpu;
	fd = get_unused_fd_flags(O_CLOEXEC);
	file = fd < 0 ? ERR_PTR(fd)
		      : anon_inode_getfile("hornero-stats", &stats_operations, of, O_RDONLY);
	if (IS_ERR(file)) {
		if (fd >= 0)
			put_unused_fd(fd);
		kfree(of);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_PREAD;
	vm_get(vm);
	fd_install(fd, file);
	return fd;
}
