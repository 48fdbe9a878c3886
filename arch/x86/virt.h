// SPDX-License-Identifier: MIT
/*
 * What the vendor-neutral hypervisor (vmm/) may ask of the virtualization hardware.
 *
 * This is the whole border: vmm/ includes this header and nothing below arch/x86/vmx/.
 */
#pragma once

#include <abi/info.h>
#include <abi/vcpu.h>
#include <types.h>

struct cpu;

/** Flush every translation of this CPU that EPT, VPIDs or our own tables made. */
void virt_flush_all(void);

/** The page that the control domain shares with us on @cpu; its address for the control domain. */
void *virt_call_page(const struct cpu *cpu);

/** Exit statistics of CPU @index. */
const struct hv_cpu_stats *virt_cpu_stats(unsigned int index);

/** True if this CPU's local APIC is in x2APIC mode. */
bool virt_x2apic(void);

/* --- the control domain's view of pool frames; callers hold the pool's lock --- */

/** Show the frame to the control domain, or hide it, which leaves a TLB debt. False, and not shown:
 * it was touched as a hole, as virt_control_unsink() says. */
bool virt_control_show(hpa_t frame) __must_use;
void virt_control_hide(hpa_t frame);

/** True if the frame was touched as a hole and led to the sink: not any more, but that leaves a
 * debt. */
bool virt_control_unsink(hpa_t frame);

/** True if all of [@base, @base + @bytes) is the control domain's RAM. */
bool virt_control_owns(hpa_t base, uint64_t bytes);

/* --- virtual machines --- */

struct vlapic_message;
struct vm;
struct vcpu;

/** Set up what a new VM needs besides @vm. -HV_ERR_NOMEM if its arena is too small. */
int virt_vm_init(struct vm *vm) __must_use;

/** Map guest memory; @flags: HV_MAP_*. On -HV_ERR_NOMEM *@pages says how many table pages it may
 * take. Context: vm->lock. */
int virt_vm_map(struct vm *vm, gpa_t gpa, hpa_t hpa, uint64_t bytes, uint32_t flags,
		uint64_t *pages) __must_use;

/** Unmap and uncount; the epoch of the TLB debt, or -HV_ERR_*. Context: vm->lock and pool_lock. */
int64_t virt_vm_unmap(struct vm *vm, gpa_t gpa, uint64_t bytes) __must_use;

/** Which pages the guest wrote: bits of @bitmap; the epoch of the TLB debt, or -HV_ERR_*. Context:
 * vm->lock. */
int64_t virt_vm_dirty(struct vm *vm, gpa_t gpa, uint64_t bytes, uint64_t *bitmap) __must_use;

/** Deliver an interrupt message from a device; the vCPUs to kick. Context: any. */
uint64_t virt_vm_deliver(struct vm *vm, const struct vlapic_message *m);

/** Create vCPU @index; address of its shared page or -HV_ERR_*. Context: vm->lock. */
int64_t virt_vcpu_create(struct vm *vm, uint32_t index, uint32_t apic_id) __must_use;

/** Claim a vCPU and make its registers accessible on this CPU, and end both. */
bool virt_vcpu_visit(struct vcpu *vcpu) __must_use;
void virt_vcpu_unvisit(struct vcpu *vcpu);

/** Claim a vCPU of a held VM and run it once this hypercall is done; claim and hold end with the
 * stay. */
bool virt_vcpu_run(struct cpu *cpu, struct vcpu *vcpu) __must_use;

/* These need a visit. */
void virt_vcpu_get(struct vcpu *vcpu, uint32_t groups);
int virt_vcpu_set(struct vcpu *vcpu, uint32_t groups) __must_use;
int virt_vcpu_cpuid(struct vcpu *vcpu, const struct hv_cpuid *table, uint32_t n) __must_use;
bool virt_vcpu_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value, bool write) __must_use;
int virt_vcpu_apic(struct vcpu *vcpu, uint32_t offset, uint64_t *value, bool write) __must_use;
bool virt_vcpu_has_event(struct vcpu *vcpu);

/* These do not. */
void virt_vcpu_nmi(struct vcpu *vcpu);
const struct hv_vcpu_stats *virt_vcpu_stats(const struct vcpu *vcpu);
