// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs by UUID, and those that are kept without a process.
 *
 * Every VM is in one list while its struct exists. A VM is OPEN while it has users (vm.h). When the
 * last is gone it is ENDING, or, marked by HORNERO_SET_NAME, KEPT: until it is opened again, or
 * destroyed by its UUID. A kept VM holds the module, so the driver stays loaded.
 */
#pragma once

#include <linux/list.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "abi/vcpu.h"

struct vm;

/* All under keep.c's lock, but for `wanted`. */
struct keep {
	struct list_head all;
	u32 state;		/* enum hornero_vm_state */
	struct hv_vm_name name; /* as the hypervisor has it */
	kuid_t owner;
	bool wanted; /* HV_VM_KEEP; changes under vm->lock and vm->memory_lock */
};

void keep_add(struct vm *vm);
void keep_remove(struct vm *vm);

/* The last user is gone: true, and somebody else may open it from now on; false: end it. */
bool keep_instead(struct vm *vm);

/* HORNERO_SET_NAME, HORNERO_GET_NAME */
int keep_set_name(struct vm *vm, const struct hv_vm_name *name);
int keep_get_name(struct vm *vm, struct hv_vm_name __user *user);

/* HORNERO_OPEN_VM: a new descriptor, or an errno negated. HORNERO_DESTROY_VM. */
int keep_open(const u8 __user *uuid);
int keep_destroy(const u8 __user *uuid);

/* enum hornero_vm_state of the hypervisor's VM, and the user id of its owner. */
u32 keep_state(u32 handle, u32 *owner);
