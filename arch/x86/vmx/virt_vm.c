// SPDX-License-Identifier: MIT
/*
 * The VMX side of <x86/virt.h>'s verbs on VMs and vCPUs.
 *
 * Thin: each verb makes the right VMCS current, if it needs one, and calls the file that knows.
 */
#include <panic.h>
#include <pool.h>
#include <tlb.h>
#include <vm.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/speculation.h>
#include <x86/virt.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

/* To be the only one to touch it. */
static inline bool claim(struct vcpu *vcpu)
{
	uint32_t no = 0;

	return __atomic_compare_exchange_n(&vcpu->running, &no, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

bool virt_vcpu_visit(struct vcpu *vcpu)
{
	if (!claim(vcpu))
		return false;
	vmx_load(vcpu->vmcs);
	return true;
}

void virt_vcpu_unvisit(struct vcpu *vcpu)
{
	vmx_clear(vcpu->vmcs);
	vmx_load(this_vmx()->vmcs);
	__atomic_store_n(&vcpu->running, 0, __ATOMIC_RELEASE);
}

bool virt_vcpu_run(struct cpu *cpu, struct vcpu *vcpu)
{
	if (!claim(vcpu))
		return false;
	cpu->vmx->enter = vcpu;
	return true;
}

bool virt_vcpu_msr(struct vcpu *vcpu, uint32_t msr, uint64_t *value, bool write)
{
	return write ? guest_msr_write(vcpu, msr, *value, true) : guest_msr_read(vcpu, msr, value);
}

int virt_vcpu_apic(struct vcpu *vcpu, uint32_t offset, uint64_t *value, bool write)
{
	struct vlapic_effect effect = {0};
	enum hv_vcpu_exit exit;
	int err;

	if (vlapic_x2apic(&vcpu->lapic) || !vlapic_enabled(&vcpu->lapic))
		return -HV_ERR_STATE;
	if (!write)
		return vlapic_read(&vcpu->lapic, offset, vcpu_tsc(vcpu), value);
	err = vlapic_write(&vcpu->lapic, offset, (uint32_t)*value, vcpu_tsc(vcpu), &effect);
	if (err)
		return err;
	if (guest_apic_effect(vcpu, &effect, &exit))
		vcpu->eoi_due = true;
	*value = vcpu->page->kick;
	vcpu->page->kick = 0;
	return 0;
}

void virt_vcpu_nmi(struct vcpu *vcpu)
{
	__atomic_fetch_or(&vcpu->pending, PENDING_NMI, __ATOMIC_RELEASE);
}

const struct hv_vcpu_stats *virt_vcpu_stats(const struct vcpu *vcpu)
{
	return &vcpu->stats;
}

uint64_t virt_vm_deliver(struct vm *vm, const struct vlapic_message *m)
{
	return vm_deliver(vm, NULL, m);
}

int virt_vcpu_cpuid(struct vcpu *vcpu, const struct hv_cpuid *table, uint32_t n)
{
	int err = guest_cpuid_set(&vcpu->cpuid, table, n);

	if (err)
		return err;
	vcpu->cr4_allowed = guest_cpuid_cr4(&vcpu->cpuid) & vmx_caps.cr4_fixed1;
	vmwrite(VMCS_CR4_MASK, ~vcpu->cr4_allowed | CR4_OSXSAVE);
	return 0;
}

/* --- memory --- */

static void collect_tables(struct vm *vm)
{
	struct virt_vm *virt = vm->virt;
	void *page;

	if (!virt->freed.first || !debt_cleared(&tlb_debt, virt->freed_epoch))
		return;
	while ((page = ept_freed_pop(&virt->ept, &virt->freed)))
		vm_page_free(vm, page);
}

int virt_vm_map(struct vm *vm, gpa_t gpa, hpa_t hpa, uint64_t bytes, uint32_t flags,
		uint64_t *pages)
{
	unsigned int largest = flags & HV_MAP_DIRTY ? EPT_4K : vm->virt->ept.largest;
	bool code = (flags & HV_MAP_EXEC) && speculation.small_code && largest > EPT_4K;
	uint64_t attr = EPT_R | EPT_TYPE(MEMORY_WB) | EPT_IGNORE_PAT;

	attr |= flags & HV_MAP_WRITE ? EPT_W : 0;
	attr |= code ? EPT_CODE : flags & HV_MAP_EXEC ? EPT_X : 0;
	collect_tables(vm);
	*pages = ept_pages_needed(gpa, hpa, bytes, code ? EPT_4K : largest);
	if (code && vm_frames_short(vm, *pages))
		return -HV_ERR_NOMEM;
	return ept_map(&vm->virt->ept, gpa, hpa, bytes, attr, largest);
}

bool virt_vm_fetch(struct vm *vm, gpa_t gpa)
{
	bool ok;

	lock(&vm->lock);
	ok = ept_split_code(&vm->virt->ept, gpa);
	unlock(&vm->lock);
	return ok;
}

int64_t virt_vm_dirty(struct vm *vm, gpa_t gpa, uint64_t bytes, uint64_t *bitmap)
{
	int err;

	if (!vmx_has(VMX_OPT_EPT_AD))
		return -HV_ERR_UNSUPPORTED;
	collect_tables(vm);
	err = ept_take_dirty(&vm->virt->ept, gpa, bytes, bitmap);
	return err ? err : (int64_t)debt_new(&tlb_debt);
}

static bool is_lent(hpa_t hpa)
{
	const struct frame *f = owner_of(&pool, hpa);

	return !f || f->kind != OWNER_VM;
}

/* Takes the mapped-page counts back leaf by leaf; the caller holds the pool's lock. */
static void uncount(struct vm *vm, gpa_t gpa, uint64_t bytes)
{
	uint64_t at = gpa.v, end = gpa.v + bytes;
	struct ept_leaf leaf;

	while (at < end) {
		bool present = ept_lookup(&vm->virt->ept, GPA(at), &leaf);
		uint64_t size = UINT64_C(1) << ept_shift(leaf.level);
		uint64_t next = min_u64(align_down(at, size) + size, end);

		if (present && is_lent(leaf.hpa))
			vm->lent_pages -= (next - at) / PAGE_SIZE;
		else if (present && owner_unmap_pages(&pool, vm->slot, leaf.hpa, next - at) < 0)
			panic("VM %x: mapped pages of %#lx were not counted", vm->handle,
			      leaf.hpa.v);
		at = next;
	}
}

int64_t virt_vm_unmap(struct vm *vm, gpa_t gpa, uint64_t bytes)
{
	struct virt_vm *virt = vm->virt;
	int err;

	/* The APIC page is ours, not the driver's to unmap. */
	if (gpa.v <= VLAPIC_DEFAULT_BASE && gpa.v + bytes > VLAPIC_DEFAULT_BASE && guest_has.apicv)
		return -HV_ERR_INVAL;
	/* Leaves that reach beyond the range are split: that can fail, so it comes first. */
	err = ept_split_edges(&virt->ept, gpa, bytes);
	if (err)
		return err;
	uncount(vm, gpa, bytes);
	err = ept_unmap(&virt->ept, gpa, bytes, &virt->freed);
	BUG_ON(err);
	virt->freed_epoch = debt_new(&tlb_debt);
	return (int64_t)virt->freed_epoch;
}
