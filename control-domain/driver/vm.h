// SPDX-License-Identifier: GPL-2.0-only
/*
 * One virtual machine in the driver: struct vm, and what its parts offer each other.
 *
 * Lifetimes. *Users* are descriptors through which the VM can act: the VM's own and those of its
 * vCPUs. When the last is closed, the VM's interrupt sources and memory regions go (vm_put_user()).
 * *References* keep struct vm and the hypervisor's VM: the users as one, each pool file, whose
 * frames belong to that VM, and each file of statistics. With the last reference the hypervisor's
 * VM is destroyed. A region holds its pool file, a pool file holds a reference, never a user: so
 * nothing keeps itself alive.
 * A VM marked as kept (keep.h) stays as it is without users: regions, files and references.
 *
 * Locks, outermost first: vcpu->lock, vm->lock, vm->memory_lock, mmap_lock; vm->event_lock is a
 * spinlock inside an eventfd's own. Routing is read under RCU, in interrupt context too.
 */
#pragma once

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>

#include "hv.h"
#include "keep.h"
#include "regions.h"
#include "routing.h"

#define VM_MAX_VCPUS 16
#define VM_VCPU_IDS  255 /* 255 is the xAPIC's broadcast */

struct vcpu;
struct irqchip;
struct ioeventfd;

/* What stands behind a slot of vm->regions. */
struct region_backing {
	struct file *pool; /* a pool file, or NULL: pinned pages of the process */
	u64 pool_offset;
	struct page **pages;
	unsigned long pinned;
	bool adrift;	      /* its user address is that of a process before this one */
	unsigned long *dirty; /* pages written and not told yet; NULL: not logged */
};

struct routing_table {
	struct rcu_head rcu;
	struct route route[ROUTING_MAX];
};

struct vm {
	struct kref references;
	struct kref users;
	u32 handle; /* the hypervisor's */
	struct mm_struct *mm;
	struct keep keep;

	struct mutex lock; /* creation, irqchip, routing and event changes */
	bool split_irqchip;
	u32 ioapic_pins;
	struct irqchip *irqchip; /* set once, before the first vCPU */
	u32 boot_id;		 /* KVM_SET_BOOT_CPU_ID */
	u32 id_limit;		 /* vCPU ids are below; 0: the driver's own limit */
	u32 vcpu_count;
	struct vcpu *boot;		  /* the one with that id; read without the lock */
	struct vcpu *vcpus[VM_MAX_VCPUS]; /* by index; set once, read without the lock */

	struct rw_semaphore memory_lock;
	struct region_table regions;
	struct region_backing backing[REGION_SLOTS];
	u32 adrift;	  /* regions that are; no vCPU runs */
	u64 log_manually; /* KVM_DIRTY_LOG_*: set by KVM_ENABLE_CAP; under memory_lock */

	struct routing_table __rcu *routing;
	spinlock_t event_lock;
	struct list_head irqfds;
	struct list_head ioeventfds; /* RCU for readers */
	struct ioeventfd
		*bell[HV_DOORBELLS]; /* those in the hypervisor's table, by slot; as above */
	bool port_without_slot;	     /* some ioeventfd at a port was not in the table */
};

/* Local APICs are there, and lines can be used. */
static inline bool vm_has_irqchip(const struct vm *vm)
{
	return vm->split_irqchip || vm->irqchip;
}

/* ---- vm.c */

/* KVM_CREATE_VM: a new descriptor, or an errno negated. */
int vm_create(void);

/* A descriptor for a user of vm, who is let go if there is none to give. */
int vm_new_descriptor(struct vm *vm);

void vm_get(struct vm *vm); /* a reference */
void vm_put(struct vm *vm);
void vm_get_user(struct vm *vm);
void vm_put_user(struct vm *vm);

/*
 * A hypercall that needs metadata memory of the VM: funds it with frames of the pool as often as
 * the hypervisor asks for more. Result as the hypervisor's.
 */
long vm_call_funded(struct vm *vm, enum hv_call number, const u64 arguments[5]);

/* The same with an answer in the call page. */
long vm_call_funded_out(struct vm *vm, enum hv_call number, const u64 arguments[5], void *out,
			size_t bytes);

/* ---- extensions.c: KVM_CHECK_EXTENSION, for /dev/kvm and VMs alike. */
int extension_value(long extension);

/* ---- memory.c */

struct kvm_userspace_memory_region;
int memory_set_region(struct vm *vm, const struct kvm_userspace_memory_region *region);
void memory_release_all(struct vm *vm);
void memory_cut_adrift(struct vm *vm);

struct hornero_region;

/* HORNERO_OPEN_REGION: fills in region; the pool file, with a reference, or an error pointer. */
struct file *memory_open_region(struct vm *vm, struct hornero_region *region);

/*
 * Copies between guest RAM and the kernel, within one page. -EFAULT where there is no RAM (or, for
 * writes, where it is read-only). Context: a thread of the VM's process, memory_lock held for
 * reading.
 */
int memory_read(struct vm *vm, u64 gpa, void *data, unsigned int bytes);
int memory_write(struct vm *vm, u64 gpa, const void *data, unsigned int bytes);

/* The user address behind gpa, or 0. Context: memory_lock held. */
u64 memory_uaddr(struct vm *vm, u64 gpa, bool write);

/* The guest's memory at gpa was written for it, not by it. Context: memory_lock held. */
void memory_mark_dirty(struct vm *vm, u64 gpa);

/* ---- dirty.c: the log of pages written. Context of dirty_get() and the last two: memory_lock not
 * held, of the others: held for writing. */

#define DIRTY_LOG_WAYS (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

struct kvm_dirty_log;
struct kvm_clear_dirty_log;

/* The region in the slot, mapped, is logged from now on: an enum hv_err negated, or 0. */
long dirty_start(struct vm *vm, u32 slot);
void dirty_stop(struct vm *vm, u32 slot);
void dirty_all(struct vm *vm, u32 slot);

int dirty_get(struct vm *vm, const struct kvm_dirty_log *log);
int dirty_clear(struct vm *vm, const struct kvm_clear_dirty_log *log);

/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
int dirty_log_manually(struct vm *vm, u64 how);

/* ---- pool.c */

/* HORNERO_CREATE_POOL_FILE: a new descriptor, or an errno negated. */
int pool_create_file(struct vm *vm, u64 bytes);

/*
 * The pool file of `vm` that is mapped shared at [uaddr, uaddr + bytes), with a reference, and the
 * offset in it. NULL: not a mapping of one (of this VM).
 */
struct file *pool_file_at(struct vm *vm, u64 uaddr, u64 bytes, u64 *offset);
u64 pool_file_bytes(struct file *file);

/* The run of frames at offset: its address, and in *run how many of the `bytes` follow each other.
 */
u64 pool_run_at(struct file *file, u64 offset, u64 bytes, u64 *run);

/* ---- events.c, irqfd.c, ioeventfd.c */

struct kvm_irq_routing;
struct kvm_irqfd;
struct kvm_ioeventfd;
struct kvm_msi;
struct kvm_irq_level;

int events_set_routing(struct vm *vm, const struct kvm_irq_routing __user *user);
int events_split_irqchip(struct vm *vm, u64 pins);
int events_create_irqchip(struct vm *vm);
int events_signal_msi(struct vm *vm, const struct kvm_msi *msi);

/* Sends a message; the vCPUs that it reached, or an enum hv_err negated. Context: any. */
long events_send(struct vm *vm, u64 address, u32 data);

/* Which EOIs have to come to the IOAPIC. Context: process, a spinlock may be held. */
int events_tell_eoi_vectors(struct vm *vm, const u64 vectors[4]);

/*
 * Sets a line: a high one sends its message, if it stands for one. Positive: delivered, 0: merged,
 * negative: connected to nothing. Context: any, under rcu_read_lock() or not.
 */
int events_set_line(struct vm *vm, u32 gsi, u8 source, bool level);

/* A pulse on the line. Context: as above. */
void events_raise(struct vm *vm, u32 gsi);

/* KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS */
int events_irq_line(struct vm *vm, struct kvm_irq_level __user *user, bool status);

int irqfd_change(struct vm *vm, const struct kvm_irqfd *args);
void irqfd_release_all(struct vm *vm);
int irqfd_init(void);
void irqfd_exit(void);

int ioeventfd_change(struct vm *vm, const struct kvm_ioeventfd *args);
void ioeventfd_release_all(struct vm *vm);

/* Signals the eventfd bound to this write, true when there is one. */
bool ioeventfd_write(struct vm *vm, bool port, u64 address, unsigned int bytes, u64 data);

/* The same for the OUT that ended a stay: quick where the hypervisor has looked already. */
bool ioeventfd_port_write(struct vm *vm, const struct hv_vcpu_page *page);

/* Signals the eventfds whose doorbells the hypervisor has counted. Context: after a stay. */
void ioeventfd_rung(struct vcpu *vcpu);

/* Tells the hypervisor of the doorbells that are bound already. Context: vm->lock held. */
void ioeventfd_new_vcpu(struct vcpu *vcpu);

/* ---- stats.c */

/* KVM_GET_STATS_FD of the VM, or of one of its vCPUs: a new descriptor, or an errno negated. */
int stats_create_file(struct vm *vm, const struct vcpu *vcpu);

/* ---- vcpu.c */

/* KVM_CREATE_VCPU: a new descriptor, or an errno negated. Context: vm->lock not held. */
int vcpu_create(struct vm *vm, u32 id);

/* HORNERO_OPEN_VCPU: a descriptor of one that has none, or an errno negated. Context: as above. */
int vcpu_open(struct vm *vm, u64 id);
void vcpu_free(struct vcpu *vcpu);

/* Makes the vCPUs in the bitmap look at their events: wakes those asleep, interrupts those running.
 */
void vcpu_kick_many(struct vm *vm, u64 indexes);
