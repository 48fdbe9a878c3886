// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What user space asks of the driver beside the documented KVM ioctls.
 *
 * /dev/hornero is about the hypervisor and all VMs on it: information, log, statistics. It is for
 * the `hornero` command and root. Hornero's additions to the KVM API (pool memory and what follows)
 * are ioctls on a VM's own descriptor, offered when KVM_CHECK_EXTENSION says so for
 * KVM_CAP_HORNERO. Fixed widths and explicit padding, so 32-bit callers see the same layout. Errors
 * are errno values; the driver's README lists how they follow from the hypervisor's.
 */
#pragma once

#ifdef __KERNEL__
#include <linux/ioctl.h>
#include <linux/types.h>
#else
#include <stdint.h>
#include <sys/ioctl.h>
#endif

#include "info.h"
#include "vcpu.h"

#define HORNERO_DEVICE "/dev/hornero"
#define HORNERO_IOC    0xB7

/* One piece of the log (enum hv_log_which): at most `bytes` from `position` on into `buffer`. */
struct hornero_log_read {
	uint64_t position; /* in: 0 = oldest kept; out: where to go on */
	uint64_t buffer;   /* user address */
	uint32_t bytes;	   /* in: room; out: bytes stored, 0 at the end */
	uint32_t which;
};

struct hornero_vm_info {
	uint32_t slot;	/* in: 0 up to the first EINVAL */
	uint32_t state; /* enum hornero_vm_state */
	struct hv_vm_info info;
	uint32_t owner; /* user id; of a VM in one of the states below 3 */
	uint32_t pad;
};

enum hornero_vm_state {
	HORNERO_VM_ENDING = 0,	/* its memory is on its way back to the pool */
	HORNERO_VM_OPEN = 1,	/* a process has it */
	HORNERO_VM_KEPT = 2,	/* none has: HORNERO_OPEN_VM, HORNERO_DESTROY_VM */
	HORNERO_VM_UNKNOWN = 3, /* to this driver */
};

struct hornero_vcpu_stats {
	uint32_t vm; /* in: hv_vm_info.handle */
	uint32_t index;
	struct hv_vcpu_stats stats;
};

#define HORNERO_INFO	   _IOR(HORNERO_IOC, 0, struct hv_info)
#define HORNERO_LOG_READ   _IOWR(HORNERO_IOC, 1, struct hornero_log_read)
#define HORNERO_CPU_STATS  _IOWR(HORNERO_IOC, 2, struct hv_cpu_stats) /* in: cpu */
#define HORNERO_SELFTEST   _IO(HORNERO_IOC, 3) /* argument: enum hv_selftest */
#define HORNERO_VM_INFO	   _IOWR(HORNERO_IOC, 4, struct hornero_vm_info)
#define HORNERO_VCPU_STATS _IOWR(HORNERO_IOC, 5, struct hornero_vcpu_stats)

/*
 * KVM_CHECK_EXTENSION(KVM_CAP_HORNERO) on /dev/kvm or a VM gives the ABI version, 0 on stock KVM.
 *
 * HORNERO_CREATE_POOL_FILE on a VM: argument = bytes, a multiple of 2 MiB; gives a descriptor of
 * guest pool memory that belongs to this VM. mmap(MAP_SHARED) it and hand the address to
 * KVM_SET_USER_MEMORY_REGION: the guest then runs on whole frames. The memory is zero, is not
 * inherited by fork and not dumped; direct I/O into it fails (EFAULT). It returns to the pool when
 * the last mapping, region and descriptor are gone. ENOMEM: the pool has not that many frames.
 */
#define KVM_CAP_HORNERO		 0x484f5200
#define HORNERO_CREATE_POOL_FILE _IOW(HORNERO_IOC, 16, uint64_t)

/*
 * HORNERO_SET_NAME on a VM: UUID (not nil) and name that no other VM has (EEXIST). With HV_VM_KEEP
 * the VM outlives its last descriptor: its memory regions, vCPUs and their run pages stay as they
 * are, and nothing of it runs. That needs all of its memory to be pool files and a split irqchip,
 * then and later: EINVAL, and the kernel log says why. Without the flag the VM ends as usual.
 *
 * On /dev/kvm, by the user who made the VM or root (else EACCES), and while no process has it (else
 * EBUSY; ENOENT: there is none with that UUID): HORNERO_OPEN_VM gives a descriptor of it to this
 * process, HORNERO_DESTROY_VM ends it.
 *
 * On a VM that was opened so: HORNERO_OPEN_VCPU, argument = id, gives a vCPU's descriptor (ENOENT:
 * no such; EBUSY: it has one). An exit that was not answered is still in its run page and is
 * answered as ever. HORNERO_OPEN_REGION tells what slot `slot` holds (ENOENT: nothing; EINVAL:
 * there are no slots from here on) and gives a descriptor of the pool file behind it. Map that, and
 * set the region as it is with the new address: no vCPU runs before this was done for all of them.
 * irqfds, ioeventfds and signal masks are gone and set anew; the routing table is kept.
 */
struct hornero_region {
	uint32_t slot;
	uint32_t flags; /* KVM_MEM_* */
	uint64_t gpa, bytes;
	uint64_t offset; /* in the pool file */
	uint64_t file_bytes;
};

#define HORNERO_SET_NAME    _IOW(HORNERO_IOC, 17, struct hv_vm_name)
#define HORNERO_GET_NAME    _IOR(HORNERO_IOC, 18, struct hv_vm_name)
#define HORNERO_OPEN_VM	    _IOW(HORNERO_IOC, 19, uint8_t[16])
#define HORNERO_DESTROY_VM  _IOW(HORNERO_IOC, 20, uint8_t[16])
#define HORNERO_OPEN_VCPU   _IO(HORNERO_IOC, 21)
#define HORNERO_OPEN_REGION _IOWR(HORNERO_IOC, 22, struct hornero_region)
