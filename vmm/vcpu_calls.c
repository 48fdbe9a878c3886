// SPDX-License-Identifier: MIT
/*
 * Hypercalls about vCPUs, guest memory and guest interrupts.
 *
 * A table says what each call is about, so that VMs are held and locked, and vCPUs found and
 * claimed, in one place. A call that looks at a vCPU's registers claims it (its `running` word);
 * one that only posts events needs no claim. VCPU_RUN keeps claim and hold until the stay in the
 * guest ends.
 */
#define LOG_TAG "vm"
#include <string.h>

#include <calls.h>
#include <pool.h>
#include <vlapic.h>
#include <tlb.h>
#include <vm.h>
#include <x86/virt.h>

#define APIC_REGISTERS_END 0x400
#define MAP_FLAGS	   (HV_MAP_READ | HV_MAP_WRITE | HV_MAP_EXEC | HV_MAP_LENT | HV_MAP_DIRTY)

enum subject { NONE, VM, LOCKED_VM, VCPU, STOPPED_VCPU };

static const uint8_t subjects[] = {
	[HV_CALL_VM_NAME] = LOCKED_VM,
	[HV_CALL_VM_MAP] = LOCKED_VM,
	[HV_CALL_VM_UNMAP] = LOCKED_VM,
	[HV_CALL_VM_DIRTY] = LOCKED_VM,
	[HV_CALL_VM_MSI] = VM,
	[HV_CALL_VM_EOI_EXITS] = LOCKED_VM,
	[HV_CALL_VCPU_CREATE] = LOCKED_VM,
	[HV_CALL_VCPU_GET] = STOPPED_VCPU,
	[HV_CALL_VCPU_SET] = STOPPED_VCPU,
	[HV_CALL_VCPU_CPUID] = STOPPED_VCPU,
	[HV_CALL_VCPU_MSR] = STOPPED_VCPU,
	[HV_CALL_VCPU_APIC] = STOPPED_VCPU,
	[HV_CALL_VCPU_NMI] = VCPU,
	[HV_CALL_VCPU_BLOCK] = STOPPED_VCPU,
	[HV_CALL_VCPU_STATS] = VCPU,
};

/* With the VM held: lock it, or make the vCPU's VMCS current, and let @fn work. */
static int64_t call_held(struct call *c, enum subject subject, call_fn *fn)
{
	int64_t result;

	if (subject >= VCPU && c->args[1] < HV_MAX_VCPUS)
		c->vcpu = __atomic_load_n(&c->vm->vcpu[c->args[1]], __ATOMIC_ACQUIRE);
	if (subject >= VCPU && !c->vcpu)
		return -HV_ERR_NOENT;
	if (subject == LOCKED_VM) {
		lock(&c->vm->lock);
		result = fn(c);
		unlock(&c->vm->lock);
	} else if (subject == STOPPED_VCPU) {
		if (!virt_vcpu_visit(c->vcpu))
			return -HV_ERR_BUSY;
		result = fn(c);
		virt_vcpu_unvisit(c->vcpu);
	} else {
		result = fn(c);
	}
	return result;
}

int64_t call_on_subject(struct call *c, uint64_t number, call_fn *fn)
{
	enum subject subject = number < ARRAY_SIZE(subjects) ? subjects[number] : NONE;
	int64_t result;

	if (subject == NONE)
		return fn(c);
	c->vm = vm_hold(c->args[0]);
	if (!c->vm)
		return -HV_ERR_NOENT;
	result = call_held(c, subject, fn);
	vm_release(c->vm);
	return result;
}

int64_t call_vcpu_create(struct call *c)
{
	uint64_t index = c->args[1], apic_id = c->args[2];
	int64_t result;

	if (index >= c->vm->args.vcpus || index >= HV_MAX_VCPUS || apic_id >= UINT32_MAX)
		return -HV_ERR_INVAL;
	if (c->vm->vcpu[index])
		return -HV_ERR_EXIST;
	result = virt_vcpu_create(c->vm, (uint32_t)index, (uint32_t)apic_id);
	/* Its pages must be one run: what is left of a frame in bits does not count. */
	if (result == -HV_ERR_NOMEM)
		*c->second = 1;
	return result;
}

int64_t hypercall_vcpu_run(struct cpu *cpu, uint64_t handle, uint64_t index)
{
	struct vm *vm = vm_hold(handle);
	struct vcpu *vcpu = NULL;

	if (!vm)
		return -HV_ERR_NOENT;
	if (index < HV_MAX_VCPUS)
		vcpu = __atomic_load_n(&vm->vcpu[index], __ATOMIC_ACQUIRE);
	/* It answers, and lets go of both, when the stay ends. */
	if (likely(vcpu && virt_vcpu_run(cpu, vcpu)))
		return 0;
	vm_release(vm);
	return vcpu ? -HV_ERR_BUSY : -HV_ERR_NOENT;
}

int64_t call_vcpu_run(struct call *c)
{
	return hypercall_vcpu_run(c->cpu, c->args[0], c->args[1]);
}

int64_t call_vcpu_get(struct call *c)
{
	if (c->args[2] & ~(uint64_t)HV_GROUP_ALL)
		return -HV_ERR_INVAL;
	virt_vcpu_get(c->vcpu, (uint32_t)c->args[2]);
	return 0;
}

int64_t call_vcpu_set(struct call *c)
{
	if (c->args[2] & ~(uint64_t)HV_GROUP_ALL)
		return -HV_ERR_INVAL;
	return virt_vcpu_set(c->vcpu, (uint32_t)c->args[2]);
}

int64_t call_vcpu_cpuid(struct call *c)
{
	if (!c->args[2] || c->args[2] > HV_MAX_CPUID)
		return -HV_ERR_INVAL;
	return virt_vcpu_cpuid(c->vcpu, c->page, (uint32_t)c->args[2]);
}

int64_t call_vcpu_msr(struct call *c)
{
	uint64_t value;

	if (c->args[2] > UINT32_MAX || c->args[3] > HV_MSR_WRITE)
		return -HV_ERR_INVAL;
	memcpy(&value, c->page, sizeof(value));
	if (!virt_vcpu_msr(c->vcpu, (uint32_t)c->args[2], &value, c->args[3] == HV_MSR_WRITE))
		return -HV_ERR_INVAL;
	if (c->args[3] == HV_MSR_READ)
		*c->second = value;
	return 0;
}

int64_t call_vcpu_apic(struct call *c)
{
	uint64_t value;
	int err;

	if (c->args[2] >= APIC_REGISTERS_END || !is_aligned(c->args[2], 16) ||
	    c->args[3] > HV_MSR_WRITE)
		return -HV_ERR_INVAL;
	memcpy(&value, c->page, sizeof(value));
	err = virt_vcpu_apic(c->vcpu, (uint32_t)c->args[2], &value, c->args[3] == HV_MSR_WRITE);
	*c->second = value;
	return err;
}

int64_t call_vcpu_nmi(struct call *c)
{
	virt_vcpu_nmi(c->vcpu);
	*c->second = BIT64(c->args[1]);
	return 0;
}

int64_t call_vcpu_block(struct call *c)
{
	return virt_vcpu_has_event(c->vcpu) ? -HV_ERR_AGAIN : 0;
}

int64_t call_vcpu_stats(struct call *c)
{
	memcpy(c->page, virt_vcpu_stats(c->vcpu), sizeof(struct hv_vcpu_stats));
	return 0;
}

int64_t call_vm_msi(struct call *c)
{
	struct vlapic_message m;
	int64_t reached = 0;

	if (c->args[2] > UINT32_MAX)
		return -HV_ERR_INVAL;
	vlapic_decode_msi(c->args[1], (uint32_t)c->args[2], &m);
	for (uint64_t to = vlapic_route(c->vm->lapic, HV_MAX_VCPUS, NULL, &m); to; to &= to - 1)
		reached++;
	*c->second = virt_vm_deliver(c->vm, &m);
	return reached;
}

int64_t call_vm_eoi_exits(struct call *c)
{
	uint64_t bitmap[4];

	memcpy(bitmap, c->page, sizeof(bitmap));
	for (unsigned int i = 0; i < 4; i++)
		__atomic_store_n(&c->vm->eoi_exits[i], bitmap[i], __ATOMIC_RELAXED);
	__atomic_fetch_add(&c->vm->eoi_generation, 1,
			   __ATOMIC_RELEASE); /* each vCPU takes it at its next entry */
	return 0;
}

/* --- memory --- */

static bool range_ok(uint64_t at, uint64_t bytes)
{
	return bytes && is_aligned(at | bytes, PAGE_SIZE) && at < BIT64(48) &&
	       bytes <= BIT64(48) - at;
}

int64_t call_vm_map(struct call *c)
{
	uint64_t gpa = c->args[1], hpa = c->args[2], bytes = c->args[3], flags = c->args[4];
	bool lent = flags & HV_MAP_LENT;
	uint64_t pages;
	int err;

	if (!range_ok(gpa, bytes) || !range_ok(hpa, bytes) || (flags & ~(uint64_t)MAP_FLAGS) ||
	    !(flags & HV_MAP_READ))
		return -HV_ERR_INVAL;
	if (lent && c->vm->kept)
		return -HV_ERR_STATE;
	if (lent) {
		err = virt_control_owns(HPA(hpa), bytes) ? 0 : -HV_ERR_OWNER;
	} else {
		lock(&pool_lock);
		err = owner_map_pages(&pool, c->vm->slot, HPA(hpa), bytes);
		unlock(&pool_lock);
	}
	if (err)
		return err;
	err = virt_vm_map(c->vm, GPA(gpa), HPA(hpa), bytes, (uint32_t)flags, &pages);
	if (err && !lent) {
		lock(&pool_lock);
		if (owner_unmap_pages(&pool, c->vm->slot, HPA(hpa), bytes) < 0)
			err = -HV_ERR_STATE;
		unlock(&pool_lock);
	}
	if (err == -HV_ERR_NOMEM)
		*c->second = max_u64(vm_frames_short(c->vm, pages), 1);
	else if (!err && lent)
		c->vm->lent_pages += bytes / PAGE_SIZE;
	return err;
}

int64_t call_vm_unmap(struct call *c)
{
	int64_t result;

	if (!range_ok(c->args[1], c->args[2]))
		return -HV_ERR_INVAL;
	lock(&pool_lock);
	result = virt_vm_unmap(c->vm, GPA(c->args[1]), c->args[2]);
	unlock(&pool_lock);
	if (result == -HV_ERR_NOMEM)
		*c->second = 1;
	return result;
}

int64_t call_vm_dirty(struct call *c)
{
	uint64_t gpa = c->args[1], bytes = c->args[2];
	int64_t result;

	if (!range_ok(gpa, bytes) || bytes > HV_DIRTY_PAGES * PAGE_SIZE)
		return -HV_ERR_INVAL;
	result = virt_vm_dirty(c->vm, GPA(gpa), bytes, c->page);
	if (result == -HV_ERR_NOMEM)
		*c->second = 1;
	return result;
}
