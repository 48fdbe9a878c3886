// SPDX-License-Identifier: MIT
/*
 * A virtual CPU's VMCS, its creation and its reset.
 *
 * Unlike the control domain's, nearly everything exits that the processor does not virtualize
 * safely: all ports, HLT, most MSRs, debug-register use until the first, CR0.CD/NW and the CR4 bits
 * that its CPUID hides. CR0.CD and NW are shadowed; guest memory is write-back (EPT ignores PAT).
 * Sources: SDM 3A "Processor State After Reset"; SDM 3C "VM-Execution Control Fields".
 */
#include <string.h>

#include <platform.h>
#include <vm.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/virt.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

#define FIRST_VPID	  2
#define MISC_FAST_STRINGS 1
#define VCPU_PAGES	  6 /* struct vcpu, VMCS, APIC page, CPUID table, and the two that are shared */
#define PLE_GAP_TICKS	  128

static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "first of VCPU_PAGES");
static_assert(sizeof(struct hv_cpuid) * HV_MAX_CPUID <= PAGE_SIZE, "fourth of VCPU_PAGES");

static uint32_t optional(enum vmx_option opt, uint32_t bits)
{
	return vmx_has(opt) ? bits : 0;
}

struct guest_has guest_has;

static void *table_alloc(void *ctx)
{
	return vm_page(ctx);
}

static hpa_t table_hpa(void *ctx, const void *page)
{
	(void)ctx;
	return arena_hpa(page);
}

static void *table_ptr(void *ctx, hpa_t page)
{
	(void)ctx;
	return arena_ptr(page);
}

int virt_vm_init(struct vm *vm)
{
	struct virt_vm *virt = vm_page(vm);
	int err;

	virt->pages = (struct ept_pages){vm, table_alloc, table_hpa, table_ptr};
	virt->msr_bitmap[0] = vm_page(vm);
	virt->msr_bitmap[1] = vm_page(vm);
	err = ept_init(&virt->ept, &virt->pages, optional(VMX_OPT_EPT_1G, 1) ? EPT_1G : EPT_2M);
	if (err)
		return err;
	if (guest_has.apicv) {
		err = ept_map(&virt->ept, GPA(VLAPIC_DEFAULT_BASE), HPA(guest_has.apic_access_page),
			      PAGE_SIZE, EPT_R | EPT_W | EPT_TYPE(MEMORY_WB), EPT_4K);
		if (err)
			return err;
	}
	vm->promised = &virt->ept.promised;
	virt->eptp = ept_pointer(&virt->ept, vmx_has(VMX_OPT_EPT_AD));
	virt->tsc_offset = -rdtsc();
	guest_msr_bitmaps(virt);
	vm->virt = virt;
	return 0;
}

static void init_vmcs(struct vcpu *vcpu, void *page)
{
	struct vmcs_setup s = {
		.pin = PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS |
		       optional(VMX_OPT_PREEMPTION_TIMER, PIN_PREEMPTION_TIMER),
		.cpu = CPU_TSC_OFFSETTING | CPU_HLT_EXITING | CPU_RDPMC_EXITING |
		       CPU_MOV_DR_EXITING | CPU_IO_EXITING |
		       (vmx_caps.cpu.may & (CPU_MWAIT_EXITING | CPU_MONITOR_EXITING)),
		.cpu2 = CPU2_WBINVD_EXITING | optional(VMX_OPT_PAUSE_LOOP, CPU2_PAUSE_LOOP_EXITING),
		.exit = guest_has.timer_kept ? EXIT_SAVE_PREEMPTION_TIMER : 0,
		/* #AC and #DB too: a guest can make their delivery loop without ever reaching an
		 * interrupt window. */
		.exceptions = BIT64(VECTOR_MC) | BIT64(VECTOR_AC) | BIT64(VECTOR_DB),
		.eptp = vcpu->vm->virt->eptp,
		.cr0_mask = CR0_NE | CR0_CD | CR0_NW,
		.xss_exiting = ~UINT64_C(0),
		.vpid = vcpu->vpid,
	};

	s.cpu |= guest_has.tpr_shadow ? CPU_TPR_SHADOW
				      : CPU_CR8_LOAD_EXITING | CPU_CR8_STORE_EXITING;
	if (guest_has.apicv)
		s.cpu2 |= CPU2_VIRTUAL_INTERRUPTS | CPU2_APIC_REGISTERS;
	vcpu->vmcs = vmx_init_vmcs(page, &s);
	if (s.cpu2 & CPU2_PAUSE_LOOP_EXITING) {
		vmwrite(VMCS_PLE_GAP, PLE_GAP_TICKS);
		vcpu->ple_window = PLE_WINDOW_TICKS;
		vmwrite(VMCS_PLE_WINDOW, vcpu->ple_window);
	}
	if (s.cpu & CPU_TPR_SHADOW) {
		vmwrite(VMCS_VIRTUAL_APIC_PAGE, arena_hpa(vcpu->lapic.regs).v);
		vmwrite(VMCS_TPR_THRESHOLD, 0);
	}
	if (guest_has.apicv)
		vmwrite(VMCS_APIC_ACCESS_PAGE, guest_has.apic_access_page);
	vmwrite(VMCS_TSC_OFFSET, vcpu->tsc_offset);
	vcpu->cr4_allowed = ~CR4_VMXE;
	vmwrite(VMCS_CR4_MASK, CR4_VMXE | CR4_OSXSAVE);
	vcpu_reset(vcpu, false);
	guest_apic_mode(vcpu);
}

static void reset_power_up(struct vcpu *vcpu)
{
	uint16_t *fcw = (uint16_t *)vcpu->page->xsave;
	uint32_t *mxcsr = (uint32_t *)(vcpu->page->xsave + 24);

	memset(vcpu->page->xsave, 0, sizeof(vcpu->page->xsave));
	*fcw = 0x37f;
	*mxcsr = 0x1f80;
	vcpu->xcr0 = 1;
	vcpu->xss = 0;
	memset(vcpu->msr, 0, sizeof(vcpu->msr));
	vcpu->kernel_gs_base = vcpu->tsc_aux = vcpu->spec_ctrl = vcpu->tsc_adjust = 0;
	vcpu->misc_enable = MISC_FAST_STRINGS;
	vmcs_set_msrs();
}

void vcpu_reset(struct vcpu *vcpu, bool init)
{
	uint64_t cd = init ? vmread(VMCS_CR0_SHADOW) & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;

	memset(&vcpu->page->gprs, 0, sizeof(vcpu->page->gprs));
	vcpu->page->gprs.rdx = cpuid(1, 0).eax;
	vmcs_set_init_state();
	if (!init)
		reset_power_up(vcpu);
	vmwrite(VMCS_GUEST_CR0, CR0_ET | CR0_NE);
	vmwrite(VMCS_CR0_SHADOW, CR0_ET | cd);
	vcpu_efer_is(vcpu, 0);
	vcpu_cr4_is(vcpu, 0);
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	vcpu->dr[4] = 0xffff0ff0;
	vcpu->cr2 = 0;
	vcpu->flush_vpid = true;
	if (init)
		vlapic_reset(&vcpu->lapic);
	vcpu->activity =
		vcpu->lapic.base & VLAPIC_BASE_BSP ? HV_ACTIVITY_RUN : HV_ACTIVITY_WAIT_SIPI;
}

void vcpu_sipi(struct vcpu *vcpu, uint8_t vector)
{
	vmcs_set_sipi(vector);
	vcpu->activity = HV_ACTIVITY_RUN;
}

int64_t virt_vcpu_create(struct vm *vm, uint32_t index, uint32_t apic_id)
{
	uint8_t *block = vm_pages(vm, VCPU_PAGES);
	struct vcpu *vcpu = (struct vcpu *)block;
	int err;

	if (!block)
		return -HV_ERR_NOMEM;
	err = control_ept_show_pages(arena_hpa(block + 4 * PAGE_SIZE), 2);
	if (err) {
		vm->bump -= VCPU_PAGES * PAGE_SIZE; /* untouched yet */
		return err;
	}
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->apic_id = apic_id;
	vcpu->cpuid.entry = (struct hv_cpuid *)(block + 3 * PAGE_SIZE);
	vcpu->page = (struct hv_vcpu_page *)(block + 4 * PAGE_SIZE);
	vcpu->vpid = (uint16_t)(FIRST_VPID + (uint32_t)vm->slot * HV_MAX_VCPUS + index);
	vcpu->last_cpu = UINT32_MAX;
	vcpu->tsc_offset = vm->virt->tsc_offset;
	vlapic_init(&vcpu->lapic, block + 2 * PAGE_SIZE, apic_id, index == 0,
		    (uint32_t)BIT64(hv_lapic_timer_shift(platform.tsc_khz)), 1);

	init_vmcs(vcpu, block + PAGE_SIZE);
	virt_vcpu_unvisit(vcpu);
	vm->lapic[index] = &vcpu->lapic;
	__atomic_store_n(&vm->vcpu[index], vcpu, __ATOMIC_RELEASE);
	vm->vcpus++;
	return (int64_t)arena_hpa(vcpu->page).v;
}
