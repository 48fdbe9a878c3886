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

#define VECTOR_DB	  1
#define VECTOR_AC	  17
#define VECTOR_MC	  18
#define ACCESS_CODE_REAL  0x9bu
#define ACCESS_DATA_REAL  0x93u
#define ACCESS_TSS_BUSY	  0x8bu
#define ACCESS_LDT	  0x82u
#define PAT_RESET	  UINT64_C(0x0007040600070406)
#define CR0_RESET	  UINT64_C(0x60000010)
#define FIRST_VPID	  2
#define MISC_FAST_STRINGS 1
#define VCPU_PAGES	  6 /* struct vcpu, VMCS, APIC page, CPUID table, and the two that are shared */
#define PLE_GAP_TICKS	  128

static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "first of VCPU_PAGES");
static_assert(sizeof(struct hv_cpuid) * HV_MAX_CPUID <= PAGE_SIZE, "fourth of VCPU_PAGES");

static uint64_t apic_access_page; /* address that the processor compares with; never accessed */

static uint32_t optional(enum vmx_option opt, uint32_t bits)
{
	return vmx_caps_has(&vmx_caps, opt) ? bits : 0;
}

bool apicv_in_use(void)
{
	return vmx_caps_has(&vmx_caps, VMX_OPT_APIC_REGISTERS) &&
	       vmx_caps_has(&vmx_caps, VMX_OPT_VIRTUAL_INTERRUPTS) &&
	       vmx_caps_has(&vmx_caps, VMX_OPT_X2APIC_MODE) &&
	       (vmx_caps.cpu2.may & CPU2_APIC_ACCESSES);
}

void guest_boot_init(void)
{
	apic_access_page = hpa_of(boot_alloc_pages(1)).v;
}

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
	if (apicv_in_use()) {
		err = ept_map(&virt->ept, GPA(VLAPIC_DEFAULT_BASE), HPA(apic_access_page),
			      PAGE_SIZE, EPT_R | EPT_W | EPT_TYPE(MEMORY_WB), EPT_4K);
		if (err)
			return err;
	}
	virt->eptp = ept_pointer(&virt->ept, vmx_caps_has(&vmx_caps, VMX_OPT_EPT_AD));
	virt->tsc_offset = -rdtsc();
	guest_msr_bitmaps(virt);
	vm->virt = virt;
	return 0;
}

static void init_controls(struct vcpu *vcpu)
{
	uint32_t cpu2 = CPU2_EPT | CPU2_UNRESTRICTED_GUEST | CPU2_WBINVD_EXITING;
	uint32_t cpu = CPU_TSC_OFFSETTING | CPU_HLT_EXITING | CPU_RDPMC_EXITING |
		       CPU_MOV_DR_EXITING | CPU_IO_EXITING | CPU_MSR_BITMAPS | CPU_SECONDARY;

	cpu |= vmx_caps.cpu.may & (CPU_MWAIT_EXITING | CPU_MONITOR_EXITING);
	cpu2 |= vmx_caps.cpu2.may & (CPU2_RDTSCP | CPU2_INVPCID | CPU2_USER_WAIT);
	cpu2 |= optional(VMX_OPT_VPID, CPU2_VPID) | optional(VMX_OPT_XSAVES, CPU2_XSAVES) |
		optional(VMX_OPT_PAUSE_LOOP, CPU2_PAUSE_LOOP_EXITING);
	cpu |= optional(VMX_OPT_TPR_SHADOW, CPU_TPR_SHADOW);
	if (!vmx_caps_has(&vmx_caps, VMX_OPT_TPR_SHADOW))
		cpu |= CPU_CR8_LOAD_EXITING | CPU_CR8_STORE_EXITING;
	if (apicv_in_use())
		cpu2 |= CPU2_VIRTUAL_INTERRUPTS | CPU2_APIC_REGISTERS;
	vmx_write_controls(PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS |
				   optional(VMX_OPT_PREEMPTION_TIMER, PIN_PREEMPTION_TIMER),
			   cpu, cpu2,
			   EXIT_HOST_64 | EXIT_SAVE_DEBUG | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
				   EXIT_SAVE_EFER | EXIT_LOAD_EFER |
				   optional(VMX_OPT_PERF_GLOBAL_CTRL, EXIT_LOAD_PERF_GLOBAL_CTRL),
			   ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER |
				   optional(VMX_OPT_PERF_GLOBAL_CTRL, ENTRY_LOAD_PERF_GLOBAL_CTRL));
	if (cpu2 & CPU2_VPID)
		vmwrite(VMCS_VPID, vcpu->vpid);
	if (cpu2 & CPU2_XSAVES)
		vmwrite(VMCS_XSS_EXITING_BITMAP, ~UINT64_C(0));
	if (cpu2 & CPU2_PAUSE_LOOP_EXITING) {
		vmwrite(VMCS_PLE_GAP, PLE_GAP_TICKS);
		vcpu->ple_window = PLE_WINDOW_TICKS;
		vmwrite(VMCS_PLE_WINDOW, vcpu->ple_window);
	}
	if (cpu & CPU_TPR_SHADOW) {
		vmwrite(VMCS_VIRTUAL_APIC_PAGE, arena_hpa(vcpu->lapic.regs).v);
		vmwrite(VMCS_TPR_THRESHOLD, 0);
	}
	if (apicv_in_use())
		vmwrite(VMCS_APIC_ACCESS_PAGE, apic_access_page);
}

static void init_vmcs(struct vcpu *vcpu)
{
	const struct virt_vm *virt = vcpu->vm->virt;

	init_controls(vcpu);
	/* #AC and #DB too: a guest can make their delivery loop without ever reaching an interrupt
	 * window. */
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT64(VECTOR_MC) | BIT64(VECTOR_AC) | BIT64(VECTOR_DB));
	vmwrite(VMCS_PAGE_FAULT_MASK, 0);
	vmwrite(VMCS_PAGE_FAULT_MATCH, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_GUEST_VMCS_LINK, ~UINT64_C(0));
	vmwrite(VMCS_EPT_POINTER, virt->eptp);
	vmwrite(VMCS_TSC_OFFSET, vcpu->tsc_offset);
	vmwrite(VMCS_CR0_MASK, CR0_NE | CR0_CD | CR0_NW);
	if (vmx_caps_has(&vmx_caps, VMX_OPT_PERF_GLOBAL_CTRL))
		vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, 0);
	vcpu_reset(vcpu, false);
	guest_apic_mode(vcpu);
}

#define SET_SEGMENT(name, sel, start, size, rights)                                                \
	do {                                                                                       \
		vmwrite(VMCS_GUEST_##name##_SELECTOR, (sel));                                      \
		vmwrite(VMCS_GUEST_##name##_BASE, (start));                                        \
		vmwrite(VMCS_GUEST_##name##_LIMIT, (size));                                        \
		vmwrite(VMCS_GUEST_##name##_ACCESS, (rights));                                     \
	} while (0)

static void reset_segments(void)
{
	SET_SEGMENT(CS, 0xf000, 0xffff0000, 0xffff, ACCESS_CODE_REAL);
	SET_SEGMENT(DS, 0, 0, 0xffff, ACCESS_DATA_REAL);
	SET_SEGMENT(ES, 0, 0, 0xffff, ACCESS_DATA_REAL);
	SET_SEGMENT(FS, 0, 0, 0xffff, ACCESS_DATA_REAL);
	SET_SEGMENT(GS, 0, 0, 0xffff, ACCESS_DATA_REAL);
	SET_SEGMENT(SS, 0, 0, 0xffff, ACCESS_DATA_REAL);
	SET_SEGMENT(LDTR, 0, 0, 0xffff, ACCESS_LDT);
	SET_SEGMENT(TR, 0, 0, 0xffff, ACCESS_TSS_BUSY);
	vmwrite(VMCS_GUEST_GDTR_BASE, 0);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 0xffff);
	vmwrite(VMCS_GUEST_IDTR_BASE, 0);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0xffff);
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
	vmwrite(VMCS_GUEST_PAT, PAT_RESET);
	vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
}

void vcpu_reset(struct vcpu *vcpu, bool init)
{
	uint32_t controls = vmread(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E_GUEST;
	uint64_t cd = init ? vmread(VMCS_CR0_SHADOW) & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;

	memset(&vcpu->page->gprs, 0, sizeof(vcpu->page->gprs));
	vcpu->page->gprs.rdx = cpuid(1, 0).eax;
	reset_segments();
	if (!init)
		reset_power_up(vcpu);
	vmwrite(VMCS_ENTRY_CONTROLS, controls);
	vmwrite(VMCS_GUEST_CR0, CR0_ET | CR0_NE);
	vmwrite(VMCS_CR0_SHADOW, CR0_ET | cd);
	vmwrite(VMCS_GUEST_CR3, 0);
	vmwrite(VMCS_GUEST_CR4, CR4_VMXE);
	vmwrite(VMCS_CR4_SHADOW, 0);
	vmwrite(VMCS_GUEST_EFER, 0);
	vmwrite(VMCS_GUEST_DR7, 0x400);
	vmwrite(VMCS_GUEST_RSP, 0);
	vmwrite(VMCS_GUEST_RIP, 0xfff0);
	vmwrite(VMCS_GUEST_RFLAGS, 2);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	vcpu->dr6 = 0xffff0ff0;
	vcpu->cr2 = 0;
	vcpu->flush_vpid = true;
	if (init)
		vlapic_reset(&vcpu->lapic);
	vcpu->activity = vcpu->index == 0 ? HV_ACTIVITY_RUN : HV_ACTIVITY_WAIT_SIPI;
}

void vcpu_sipi(struct vcpu *vcpu, uint8_t vector)
{
	vmwrite(VMCS_GUEST_CS_SELECTOR, (uint16_t)(vector << 8));
	vmwrite(VMCS_GUEST_CS_BASE, (uint64_t)vector << 12);
	vmwrite(VMCS_GUEST_RIP, 0);
	vcpu->activity = HV_ACTIVITY_RUN;
}

int64_t virt_vcpu_create(struct vm *vm, uint32_t index, uint32_t apic_id)
{
	uint8_t *block = vm_pages(vm, VCPU_PAGES);
	struct vcpu *vcpu = (struct vcpu *)block;
	int err;

	if (!block)
		return -HV_ERR_NOMEM;
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->apic_id = apic_id;
	vcpu->vmcs = block + PAGE_SIZE;
	vcpu->cpuid = (struct hv_cpuid *)(block + 3 * PAGE_SIZE);
	vcpu->page = (struct hv_vcpu_page *)(block + 4 * PAGE_SIZE);
	vcpu->vpid = (uint16_t)(FIRST_VPID + (uint32_t)vm->slot * HV_MAX_VCPUS + index);
	vcpu->last_cpu = UINT32_MAX;
	vcpu->tsc_offset = vm->virt->tsc_offset;
	err = control_ept_show_in_frame(arena_hpa(vcpu->page), 2);
	if (err)
		return err;
	vlapic_init(&vcpu->lapic, block + 2 * PAGE_SIZE, apic_id, index == 0,
		    (uint32_t)BIT64(hv_lapic_timer_shift(platform.tsc_khz)), 1);

	vmx_region_init(vcpu->vmcs);
	vmx_clear(vcpu->vmcs);
	virt_vcpu_visit(vcpu);
	init_vmcs(vcpu);
	virt_vcpu_unvisit(vcpu);
	vm->lapic[index] = &vcpu->lapic;
	__atomic_store_n(&vm->vcpu[index], vcpu, __ATOMIC_RELEASE);
	vm->vcpus++;
	return (int64_t)arena_hpa(vcpu->page).v;
}
