// SPDX-License-Identifier: MIT
/*
 * Turning a CPU into a virtual one, and back.
 *
 * What the VMCS does not switch is switched here: MSRs (vcpu_msr.c), CR2, debug registers, XCR0 and
 * every XSAVE component. The control domain's values are remembered when it writes them (their
 * writes exit) or saved on the way in. What a guest has switched off so that it cannot see it
 * (SYSCALL, OSXSAVE) is left alone until it switches it on. Whatever a guest leaves in a register
 * is gone before Linux runs again.
 */
#define LOG_TAG "vcpu"
#include <string.h>

#include <log.h>
#include <panic.h>
#include <vm.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/speculation.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>

static void fpu_save(void *area)
{
	if (guest_has.xcr0)
		__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((uint32_t)guest_has.xcr0),
				 "d"((uint32_t)(guest_has.xcr0 >> 32))
				 : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

/* False if the image is malformed; the registers hold something safe to overwrite then. */
static inline bool fpu_load(const void *area)
{
	uint32_t ok = 0;

	if (guest_has.xcr0)
		__asm__ volatile("1: xrstor64 (%1)\nmovl $1, %0\n2:\n" EX_TABLE("1b", "2b")
				 : "+r"(ok)
				 : "r"(area), "a"((uint32_t)guest_has.xcr0),
				   "d"((uint32_t)(guest_has.xcr0 >> 32))
				 : "memory");
	else
		__asm__ volatile("1: fxrstor64 (%1)\nmovl $1, %0\n2:\n" EX_TABLE("1b", "2b")
				 : "+r"(ok)
				 : "r"(area)
				 : "memory");
	return ok;
}

static inline void set_xcr0(uint64_t from, uint64_t to)
{
	if (unlikely(from != to) && guest_has.xcr0)
		BUG_ON(!xsetbv_safe(0, to));
}

/* A guest without CR4.OSXSAVE can neither read XCR0 nor use what it switches off. */
static void xcr0_load(struct vcpu *vcpu)
{
	set_xcr0(guest_has.xcr0, vcpu->xcr0);
	vcpu->xcr0_live = true;
}

void vcpu_cr4_is(struct vcpu *vcpu, uint64_t value)
{
	vcpu->osxsave = value & CR4_OSXSAVE;
	if (vcpu->osxsave && !vcpu->xcr0_live && this_vmx()->vcpu == vcpu)
		xcr0_load(vcpu);
}

/* The page's FPU image is written by the control domain too: one that the processor refuses becomes
 * the initial state. */
static void guest_fpu_load(struct vcpu *vcpu)
{
	static const struct {
		uint16_t fcw;
		uint8_t zero[22];
		uint32_t mxcsr;
		uint8_t rest[4096 - 28];
	} __aligned(64) initial = {.fcw = 0x37f, .mxcsr = 0x1f80};

	if (!fpu_load(vcpu->page->xsave))
		BUG_ON(!fpu_load(&initial));
}

/* DR0 to DR3 and DR6: into @from, out of @to. */
static void switch_debug(uint64_t from[5], const uint64_t to[5])
{
	from[0] = read_dr0();
	from[1] = read_dr1();
	from[2] = read_dr2();
	from[3] = read_dr3();
	from[4] = read_dr6();
	write_dr0(to[0]);
	write_dr1(to[1]);
	write_dr2(to[2]);
	write_dr3(to[3]);
	write_dr6(to[4]);
}

void vcpu_debug_load(struct vmx_cpu *v, struct vcpu *vcpu)
{
	switch_debug(v->dr, vcpu->dr);
}

/* After a stay elsewhere the host state is another CPU's, and translations held here may be stale.
 */
static void settle_here(struct vmx_cpu *v, struct vcpu *vcpu)
{
	if (vcpu->last_cpu != v->cpu->index) {
		vmx_write_host_state(v->cpu);
		vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_guest_exit);
	}
	if (vcpu->last_cpu != v->cpu->index || vcpu->flush_vpid) {
		vmx_flush_vpid(vcpu->vpid);
		vmx_flush_ept(vcpu->vm->virt->eptp);
		vcpu->last_cpu = v->cpu->index;
		vcpu->flush_vpid = false;
	}
}

void vcpu_enter(struct vmx_cpu *v, struct vcpu *vcpu)
{
	struct cpu *cpu = v->cpu;

	v->cr2 = read_cr2();
	fpu_save(v->xsave);
	set_xcr0(v->xcr0, guest_has.xcr0);
	guest_fpu_load(vcpu);
	if (vcpu->osxsave)
		xcr0_load(vcpu);
	vcpu_msrs_load(v, vcpu);
	if (vcpu->dr_live)
		vcpu_debug_load(v, vcpu);
	write_cr2(vcpu->cr2);
	vmx_load(vcpu->vmcs);
	v->vcpu = vcpu;
	cpu->gprs = &vcpu->page->gprs;
	cpu->launched = 0;
	settle_here(v, vcpu);
	vcpu->entered_tsc = rdtsc();
	speculation_before_stay();
	vcpu_take_orders(vcpu);
	vcpu_prepare(v, vcpu);
}

void vcpu_leave(struct vmx_cpu *v, enum hv_vcpu_exit exit)
{
	v->vcpu->page->rip = vmread_sure(VMCS_GUEST_RIP);
	v->vcpu->page->rflags = vmread_sure(VMCS_GUEST_RFLAGS);
	vcpu_leave_told(v, exit);
}

void vcpu_leave_told(struct vmx_cpu *v, enum hv_vcpu_exit exit)
{
	struct vcpu *vcpu = v->vcpu;
	struct hv_vcpu_page *page = vcpu->page;
	struct cpu *cpu = v->cpu;

	page->exit = exit;
	page->sregs.apic_base = vcpu->lapic.base;
	page->sregs.cr8 = vcpu->lapic.regs[VLAPIC_TPR / 4] >> 4;
	vmx_clear(vcpu->vmcs);
	vmx_load(v->vmcs);
	vcpu->cr2 = read_cr2();
	write_cr2(v->cr2);
	if (vcpu->dr_live)
		switch_debug(vcpu->dr, v->dr);
	vcpu_msrs_leave(v, vcpu);
	if (vcpu->xcr0_live)
		set_xcr0(vcpu->xcr0, guest_has.xcr0);
	vcpu->xcr0_live = false;
	fpu_save(page->xsave);
	set_xcr0(guest_has.xcr0, v->xcr0);
	BUG_ON(!fpu_load(v->xsave));
	vcpu->stats.guest_tsc += rdtsc() - vcpu->entered_tsc;
	page->guest_tsc = vcpu->stats.guest_tsc;
	v->vcpu = NULL;
	cpu->gprs = &v->gprs;
	cpu->launched = v->launched;
	v->gprs.rax = exit;
	__atomic_store_n(&vcpu->running, 0, __ATOMIC_RELEASE);
	vm_release(vcpu->vm);
}
