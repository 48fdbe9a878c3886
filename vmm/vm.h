// SPDX-License-Identifier: MIT
/*
 * Virtual machines: the table of them, their memory for metadata, their life and death.
 *
 * All that belongs to a VM (this structure, vCPUs, VMCSs, EPT tables) lies in its *arena*: pool
 * frames that the hypervisor maps while the VM lives. Nothing is allocated anywhere else, so
 * nothing can leak.
 *
 * A VM is found by handle and *held* while a call works on it; destruction is refused while anybody
 * holds it. Lock order: vm->lock, pool_lock, the control domain's map.
 */
#pragma once

#include <abi/hypercall.h>
#include <abi/vcpu.h>
#include <lock.h>
#include <types.h>

#define VM_SLOTS 64

struct vcpu;
struct virt_vm;
struct vlapic;

struct vm {
	uint16_t slot;
	uint32_t handle;
	struct lock lock;
	struct hv_vm_create args; /* as checked */
	struct virt_vm *virt;
	uint32_t vcpus; /* created so far */
	struct vcpu *vcpu[HV_MAX_VCPUS];
	struct vlapic *lapic[HV_MAX_VCPUS]; /* for routing; NULL: none */
	uint64_t eoi_exits[4];		    /* vectors whose EOI the driver wants to see */
	uint32_t eoi_generation;
	/* arena: bump allocation, and a list of pages that came back */
	uint64_t bump, bump_end; /* host-physical, within the newest frame */
	void *free_pages;
	uint64_t free_page_count;
	const uint64_t *promised; /* of the free pages, how many the page tables will need */
	uint64_t arena_frames, frames;
	uint64_t lent_pages; /* mapped, of the control domain's memory */
	bool kept;	     /* HV_VM_KEEP: there are none */
};

/** The VM of @handle, held; NULL if there is none. Context: root mode. */
struct vm *vm_hold(uint64_t handle);
void vm_release(struct vm *vm);

/** Calls and stays that hold @vm now. */
uint32_t vm_holds(const struct vm *vm);

/** A zeroed page of @vm's arena, or NULL. Context: vm->lock. */
void *vm_page(struct vm *vm);

/** @n zeroed, physically contiguous pages, or NULL. Context: vm->lock. */
void *vm_pages(struct vm *vm, unsigned int n);

/** Give one page back. Its debt is cleared. Context: vm->lock. */
void vm_page_free(struct vm *vm, void *page);

/** Physical address of @p in an arena. */
hpa_t vm_hpa(const void *p);

/** VMs that exist. */
unsigned int vm_count(void);

/** Frames of arena that @pages more pages take beyond what is left. */
uint64_t vm_frames_short(const struct vm *vm, uint64_t pages);
