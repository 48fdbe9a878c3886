// SPDX-License-Identifier: MIT
/*
 * Hypercalls about vCPUs, guest memory and guest interrupts.
 *
 * A call about a vCPU claims it (its `running` word) for as long as it looks at registers; one that
 * only posts events needs no claim. VCPU_RUN keeps claim and hold until the stay in the guest ends.
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

/* The vCPU at (handle, index) with its VM held; NULL if there is none. */
static struct vcpu *find(const struct call *c, struct vm **vm)
{
	struct vcpu *vcpu;

	*vm = vm_hold(c->args[0]);
	if (!*vm)
		return NULL;
	vcpu = c->args[1] < HV_MAX_VCPUS
		       ? __atomic_load_n(&(*vm)->vcpu[c->args[1]], __ATOMIC_ACQUIRE)
		       : NULL;
	if (!vcpu)
		vm_release(*vm);
	return vcpu;
}

/* Claim the stopped vCPU and make its VMCS current. -HV_ERR_BUSY while it runs or is looked at. */
static int visit(const struct call *c, struct vm **vm, struct vcpu **vcpu)
{
	*vcpu = find(c, vm);
	if (!*vcpu)
		return -HV_ERR_NOENT;
	if (!virt_vcpu_claim(*vcpu)) {
		vm_release(*vm);
		return -HV_ERR_BUSY;
	}
	virt_vcpu_visit(*vcpu);
	return 0;
}

static void leave(struct vm *vm, struct vcpu *vcpu)
{
	virt_vcpu_unvisit(vcpu);
	virt_vcpu_unclaim(vcpu);
	vm_release(vm);
}

int64_t call_vcpu_create(struct call *c)
{
	struct vm *vm = vm_hold(c->args[0]);
	uint64_t index = c->args[1], apic_id = c->args[2];
	int64_t result;

	if (!vm)
		return -HV_ERR_NOENT;
	lock(&vm->lock);
	if (index >= vm->args.vcpus || index >= HV_MAX_VCPUS || apic_id >= UINT32_MAX)
		result = -HV_ERR_INVAL;
	else if (vm->vcpu[index])
		result = -HV_ERR_EXIST;
	else
		result = virt_vcpu_create(vm, (uint32_t)index, (uint32_t)apic_id);
	/* Its pages must be one run: what is left of a frame in bits does not count. */
	if (result == -HV_ERR_NOMEM)
		*c->second = 1;
	unlock(&vm->lock);
	vm_release(vm);
	return result;
}

int64_t call_vcpu_run(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu = find(c, &vm);

	if (!vcpu)
		return -HV_ERR_NOENT;
	if (!virt_vcpu_claim(vcpu)) {
		vm_release(vm);
		return -HV_ERR_BUSY;
	}
	virt_vcpu_run(c->cpu, vcpu); /* answers when the stay ends */
	return 0;
}

int64_t call_vcpu_get(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu;
	int err;

	if (c->args[2] & ~(uint64_t)HV_GROUP_ALL)
		return -HV_ERR_INVAL;
	err = visit(c, &vm, &vcpu);
	if (err)
		return err;
	virt_vcpu_get(vcpu, (uint32_t)c->args[2]);
	leave(vm, vcpu);
	return 0;
}

int64_t call_vcpu_set(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu;
	int err;

	if (c->args[2] & ~(uint64_t)HV_GROUP_ALL)
		return -HV_ERR_INVAL;
	err = visit(c, &vm, &vcpu);
	if (err)
		return err;
	err = virt_vcpu_set(vcpu, (uint32_t)c->args[2]);
	leave(vm, vcpu);
	return err;
}

int64_t call_vcpu_cpuid(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu;
	int err;

	if (!c->args[2] || c->args[2] > HV_MAX_CPUID)
		return -HV_ERR_INVAL;
	err = visit(c, &vm, &vcpu);
	if (err)
		return err;
	err = virt_vcpu_cpuid(vcpu, c->page, (uint32_t)c->args[2]);
	leave(vm, vcpu);
	return err;
}

int64_t call_vcpu_msr(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu;
	uint64_t value;
	int err;

	if (c->args[2] > UINT32_MAX || c->args[3] > HV_MSR_WRITE)
		return -HV_ERR_INVAL;
	err = visit(c, &vm, &vcpu);
	if (err)
		return err;
	memcpy(&value, c->page, sizeof(value));
	if (!virt_vcpu_msr(vcpu, (uint32_t)c->args[2], &value, c->args[3] == HV_MSR_WRITE))
		err = -HV_ERR_INVAL;
	else if (c->args[3] == HV_MSR_READ)
		*c->second = value;
	leave(vm, vcpu);
	return err;
}

int64_t call_vcpu_apic(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu;
	uint64_t value;
	int err;

	if (c->args[2] >= APIC_REGISTERS_END || !is_aligned(c->args[2], 16) ||
	    c->args[3] > HV_MSR_WRITE)
		return -HV_ERR_INVAL;
	err = visit(c, &vm, &vcpu);
	if (err)
		return err;
	memcpy(&value, c->page, sizeof(value));
	err = virt_vcpu_apic(vcpu, (uint32_t)c->args[2], &value, c->args[3] == HV_MSR_WRITE);
	*c->second = value;
	leave(vm, vcpu);
	return err;
}

int64_t call_vcpu_nmi(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu = find(c, &vm);

	if (!vcpu)
		return -HV_ERR_NOENT;
	virt_vcpu_nmi(vcpu);
	*c->second = BIT64(c->args[1]);
	vm_release(vm);
	return 0;
}

int64_t call_vcpu_block(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu;
	int err = visit(c, &vm, &vcpu);

	if (err)
		return err;
	if (virt_vcpu_has_event(vcpu))
		err = -HV_ERR_AGAIN;
	leave(vm, vcpu);
	return err;
}

int64_t call_vcpu_stats(struct call *c)
{
	struct vm *vm;
	struct vcpu *vcpu = find(c, &vm);

	if (!vcpu)
		return -HV_ERR_NOENT;
	memcpy(c->page, virt_vcpu_stats(vcpu), sizeof(struct hv_vcpu_stats));
	vm_release(vm);
	return 0;
}

int64_t call_vm_msi(struct call *c)
{
	struct vm *vm = vm_hold(c->args[0]);
	struct vlapic_message m;
	int64_t reached = 0;

	if (!vm)
		return -HV_ERR_NOENT;
	if (c->args[2] > UINT32_MAX) {
		vm_release(vm);
		return -HV_ERR_INVAL;
	}
	vlapic_decode_msi(c->args[1], (uint32_t)c->args[2], &m);
	for (uint64_t to = vlapic_route(vm->lapic, HV_MAX_VCPUS, NULL, &m); to; to &= to - 1)
		reached++;
	*c->second = virt_vm_deliver(vm, &m);
	vm_release(vm);
	return reached;
}

int64_t call_vm_eoi_exits(struct call *c)
{
	struct vm *vm = vm_hold(c->args[0]);
	uint64_t bitmap[4];

	if (!vm)
		return -HV_ERR_NOENT;
	memcpy(bitmap, c->page, sizeof(bitmap));
	lock(&vm->lock);
	for (unsigned int i = 0; i < 4; i++)
		__atomic_store_n(&vm->eoi_exits[i], bitmap[i], __ATOMIC_RELAXED);
	__atomic_fetch_add(&vm->eoi_generation, 1,
			   __ATOMIC_RELEASE); /* each vCPU takes it at its next entry */
	unlock(&vm->lock);
	vm_release(vm);
	return 0;
}

/* --- memory --- */

static bool range_ok(uint64_t at, uint64_t bytes)
{
	return bytes && is_aligned(at | bytes, PAGE_SIZE) && at < BIT64(48) &&
	       bytes <= BIT64(48) - at;
}

/* All of [@hpa, @hpa + @bytes) is the control domain's RAM. */
static int check_lent(uint64_t hpa, uint64_t bytes)
{
	int err = 0;

	lock(&pool_lock);
	for (uint64_t at = align_down(hpa, FRAME_SIZE); at < hpa + bytes && !err;
	     at += FRAME_SIZE) {
		const struct frame *f = owner_of(&pool, HPA(at));

		if (!f || f->kind != OWNER_CONTROL)
			err = -HV_ERR_OWNER;
	}
	unlock(&pool_lock);
	return err;
}

int64_t call_vm_map(struct call *c)
{
	uint64_t gpa = c->args[1], hpa = c->args[2], bytes = c->args[3], flags = c->args[4];
	bool lent = flags & HV_MAP_LENT;
	struct vm *vm;
	uint64_t pages;
	int err;

	if (!range_ok(gpa, bytes) || !range_ok(hpa, bytes) || (flags & ~(uint64_t)MAP_FLAGS) ||
	    !(flags & HV_MAP_READ))
		return -HV_ERR_INVAL;
	vm = vm_hold(c->args[0]);
	if (!vm)
		return -HV_ERR_NOENT;
	lock(&vm->lock);
	if (lent) {
		err = check_lent(hpa, bytes);
	} else {
		lock(&pool_lock);
		err = owner_map_pages(&pool, vm->slot, HPA(hpa), bytes);
		unlock(&pool_lock);
	}
	if (!err) {
		err = virt_vm_map(vm, GPA(gpa), HPA(hpa), bytes, (uint32_t)flags, &pages);
		if (err && !lent) {
			lock(&pool_lock);
			if (owner_unmap_pages(&pool, vm->slot, HPA(hpa), bytes) < 0)
				err = -HV_ERR_STATE;
			unlock(&pool_lock);
		}
		if (err == -HV_ERR_NOMEM)
			*c->second = max_u64(vm_frames_short(vm, pages), 1);
	}
	unlock(&vm->lock);
	vm_release(vm);
	return err;
}

int64_t call_vm_unmap(struct call *c)
{
	uint64_t gpa = c->args[1], bytes = c->args[2];
	struct vm *vm;
	int64_t result;

	if (!range_ok(gpa, bytes))
		return -HV_ERR_INVAL;
	vm = vm_hold(c->args[0]);
	if (!vm)
		return -HV_ERR_NOENT;
	lock(&vm->lock);
	lock(&pool_lock);
	result = virt_vm_unmap(vm, GPA(gpa), bytes);
	unlock(&pool_lock);
	if (result == -HV_ERR_NOMEM)
		*c->second = 1;
	unlock(&vm->lock);
	vm_release(vm);
	return result;
}
