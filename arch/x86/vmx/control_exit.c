// SPDX-License-Identifier: MIT
/*
 * Exits of the control domain: few kinds, and in steady state only CPUID.
 *
 * An exit that is not in the switch cannot happen with the controls of control_boot.c; if it does,
 * it is our bug, and panic() says so. Nothing here waits for another CPU.
 *
 * INIT exits must be fast and silent: Linux sends the SIPI ~10 us later, and a CPU in root mode
 * loses it.
 */
#define LOG_TAG "control"
#include <stdio.h>

#include <abi/hypercall.h>
#include <crash.h>
#include <hypercall.h>
#include <log.h>
#include <panic.h>
#include <platform.h>
#include <tlb.h>
#include <x86/asm.h>
#include <x86/exceptions.h>
#include <x86/machine.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

static struct log_limit limit_vmx_insn;

static void handle_cpuid(struct vmx_cpu *v, struct hv_gprs *g)
{
	uint32_t leaf = (uint32_t)g->rax;
	uint64_t cr4 = cpuid_needs_cr4(leaf) ? vmread(VMCS_GUEST_CR4) : 0;

	cpuid_store(g, cpuid_table_lookup(&v->cpuid, leaf, (uint32_t)g->rcx, cr4));
	vmx_skip_instruction();
}

static void handle_xsetbv(struct vmx_cpu *v, struct hv_gprs *g)
{
	uint64_t value = (uint32_t)g->rax | g->rdx << 32;

	if ((value & ~XCR0_ALLOWED) || !xsetbv_safe((uint32_t)g->rcx, value)) {
		vmx_inject_exception(VECTOR_GP, 0);
		return;
	}
	v->xcr0 = value;
	cpuid_table_refresh_xsave(&v->cpuid, cpuid_hardware, NULL);
	vmx_skip_instruction();
}

void control_init(struct vmx_cpu *v)
{
	if (crash_begun()) /* the INIT is the crashing CPU's: stand still while it writes */
		cpu_halt_forever();
	/* Latched before the SIPI that has just been taken: hardware would have dropped it. */
	if (v->at_sipi_start)
		return;
	if (v->cpu->index ==
	    0) /* wait-for-SIPI is not for the boot processor: it would begin at the reset vector */
		machine_reset();
	control_wait_for_sipi(v);
}

static void handle_vmx_instruction(uint32_t reason)
{
	log_limited(&limit_vmx_insn, LOG_INFO,
		    "the control domain executed a VMX instruction (exit %u) at %#lx: #UD", reason,
		    vmread(VMCS_GUEST_RIP));
	vmx_inject_exception(VECTOR_UD, -1);
}

static void handle_vmcall(struct vmx_cpu *v, struct hv_gprs *g, uint64_t rip)
{
	uint32_t cs = vmread_sure(VMCS_GUEST_CS_ACCESS);
	uint64_t result = 0;

	/* 64-bit code of level 0, which only level 0 can run unless it conforms. */
	if ((cs & (ACCESS_CODE_64 | ACCESS_DPL | ACCESS_CONFORMING)) != ACCESS_CODE_64) {
		handle_vmx_instruction(VMX_EXIT_VMCALL);
		return;
	}
	vmx_finish_at(rip, vmread_sure(VMCS_EXIT_INSN_LENGTH), vmread_sure(VMCS_GUEST_RFLAGS));
	/* A run that is refused goes through the dispatcher, which tells the log. */
	if (unlikely(g->rax != HV_CALL_VCPU_RUN || hypercall_vcpu_run(v->cpu, g->rdi, g->rsi)))
		result = (uint64_t)hypercall_dispatch(
			v->cpu, g->rax,
			(const uint64_t[HYPERCALL_ARGS]){g->rdi, g->rsi, g->rdx, g->rcx, g->r8},
			&g->rdx);
	if (v->enter) {
		struct vcpu *vcpu = v->enter;

		v->enter = NULL;
		vcpu_enter(v, vcpu); /* RAX is set when the stay ends */
	} else {
		g->rax = result;
	}
}

/* All but CPUID, VMCALL and INIT. */
static void handle_other(struct vmx_cpu *v, struct hv_gprs *g, const struct hv_exit_record *r)
{
	switch (r->reason) {
	case VMX_EXIT_SIPI:
		control_start_sipi(v, (uint8_t)vmread(VMCS_EXIT_QUALIFICATION));
		break;
	case VMX_EXIT_TRIPLE_FAULT:
		log_info("triple fault in the control domain: the machine is reset");
		machine_reset();
		break;
	case VMX_EXIT_INVD:
		wbinvd();
		vmx_skip_instruction();
		break;
	case VMX_EXIT_GETSEC:
	case VMX_EXIT_VMCLEAR ... VMX_EXIT_VMXON:
	case VMX_EXIT_INVEPT:
	case VMX_EXIT_INVVPID:
		handle_vmx_instruction(r->reason);
		break;
	case VMX_EXIT_CR_ACCESS:
		control_cr_access(g);
		break;
	case VMX_EXIT_IO:
		control_io(g);
		break;
	case VMX_EXIT_RDMSR:
		control_rdmsr(g);
		break;
	case VMX_EXIT_WRMSR:
		control_wrmsr(v, g);
		break;
	case VMX_EXIT_EPT_VIOLATION:
		if (!control_apic_violation(g))
			control_ept_violation();
		break;
	case VMX_EXIT_XSETBV:
		handle_xsetbv(v, g);
		break;
	case VMX_EXIT_MONITOR_TRAP: /* asked for by vmx_nmi_owed(), which runs before the next entry
				     */
		vmwrite(VMCS_CPU_CONTROLS, vmread(VMCS_CPU_CONTROLS) & ~CPU_MONITOR_TRAP);
		break;
	case VMX_EXIT_MACHINE_CHECK_ON_ENTRY:
		v->mce_owed = true;
		break;
	case VMX_EXIT_INVALID_GUEST_STATE:
	case VMX_EXIT_MSR_LOADING:
		vmx_entry_failed(v->cpu);
		break;
	default:
		panic("exit %u of the control domain at %#lx is not handled (qualification %#lx)",
		      r->reason, r->rip, r->qualification);
	}
}

void control_handle_exit(struct vmx_cpu *v, struct hv_gprs *g)
{
	uint32_t reason = v->cpu->reason & 0xffff;

	if (likely(reason < HV_EXIT_REASONS))
		v->stats.exits[reason]++;
	if (likely(reason == VMX_EXIT_CPUID)) {
		handle_cpuid(v, g);
		v->at_sipi_start = false;
		return;
	}

	uint64_t start = rdtsc();
	struct hv_exit_record *r = &v->ring[v->ring_head++ % EXIT_RING];

	*r = (struct hv_exit_record){.tsc = start,
				     .rip = vmread_sure(VMCS_GUEST_RIP),
				     .reason = (uint16_t)reason,
				     .vm = CONTROL_VM};
	if (likely(reason == VMX_EXIT_VMCALL)) { /* has no qualification, and delivers no event */
		v->at_sipi_start = false;
		handle_vmcall(v, g, r->rip);
	} else {
		r->qualification = vmread(VMCS_EXIT_QUALIFICATION);
		vmx_reinject_vectoring();
		if (reason == VMX_EXIT_INIT) {
			control_init(v);
			return;
		}
		v->at_sipi_start = false;
		handle_other(v, g, r);
	}
	v->stats.root_tsc += rdtsc() - start;
}

void vmx_handle_exit(struct cpu *cpu, struct hv_gprs *gprs)
{
	struct vmx_cpu *v = cpu->vmx;

	cpu->launched = 1;
	if (v->vcpu) {
		vcpu_handle_exit(v, gprs);
	} else {
		v->launched = 1;
		control_handle_exit(v, gprs);
	}
	if (unlikely(v->nmi_owed || v->mce_owed))
		cpu->nmi_in_root = 1;
}

void vmx_entry_failed(struct cpu *cpu)
{
	if (cpu->vmx->vcpu) {
		vcpu_entry_failed(cpu->vmx);
		return;
	}
	vmcs_dump();
	panic("VM entry of the control domain refused: 'hornero log --crash' names the VMCS field");
}

static void emit_exit(const struct hv_exit_record *r, const char *of,
		      void (*emit)(const char *line))
{
	char line[100];

	snprintf(line, sizeof(line), "%s%016lx exit %-2u vm %04x/%u rip %016lx qualification %lx",
		 of, r->tsc, r->reason, r->vm, r->vcpu, r->rip, r->qualification);
	emit(line);
}

void virt_crash_exits(void (*emit)(const char *line))
{
	const struct vmx_cpu *v = this_vmx();
	uint32_t i = v && v->ring_head > EXIT_RING ? v->ring_head - EXIT_RING : 0;

	for (; v && i < v->ring_head; i++)
		emit_exit(&v->ring[i % EXIT_RING], "", emit);
}

void virt_crash_others(void (*emit)(const char *line))
{
	unsigned int left = CRASH_OTHERS;
	char of[16];

	for (unsigned int i = 0; i < cpu_count && left; i++) {
		const struct vmx_cpu *v = cpu_table[i]->vmx;

		if (cpu_table[i] == this_cpu() || !v || !v->ring_head)
			continue;
		left--;
		snprintf(of, sizeof(of), "CPU %u: ", i);
		emit_exit(&v->ring[(v->ring_head - 1) % EXIT_RING], of, emit);
	}
}

void vmx_nmi_owed(struct cpu *cpu)
{
	struct vmx_cpu *v = cpu->vmx;

	/* First this, then the look at what is owed: an NMI in between sets both again. */
	__atomic_store_n(&cpu->nmi_in_root, 0, __ATOMIC_SEQ_CST);
	if (v->vcpu) /* it is the control domain's: go back there first */
		vcpu_leave(v, HV_VCPU_EXIT_INTR);
	if (vmread(VMCS_ENTRY_INTERRUPTION) & INTR_VALID) {
		/* Another event goes first; come back before its handler's first instruction. */
		vmwrite(VMCS_CPU_CONTROLS,
			vmread(VMCS_CPU_CONTROLS) | (vmx_caps.cpu.may & CPU_MONITOR_TRAP));
	} else if (v->mce_owed) {
		v->mce_owed = false;
		vmx_inject_exception(VECTOR_MC, -1);
	} else if (v->nmi_owed) {
		v->nmi_owed = false;
		vmwrite(VMCS_ENTRY_INTERRUPTION, INTR_VALID | INTR_TYPE_NMI | 2);
		v->stats.nmis_reinjected++;
	}
}

/* An entry that was about to happen starts over, so that it sees what is owed. */
static void rewind_entry(struct trap_frame *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(vmx_reentry); i += 2)
		if (f->rip >= vmx_reentry[i] && f->rip < vmx_reentry[i + 1])
			f->rip = vmx_reentry[i];
}

void virt_nmi(struct cpu *c, struct trap_frame *f)
{
	if (!c->vmx)
		return;
	c->vmx->nmi_owed = true;
	c->nmi_in_root = 1;
	rewind_entry(f);
}

bool virt_machine_check(struct cpu *c, struct trap_frame *f)
{
	if (!c->vmx || !c->gprs)
		return false;
	c->vmx->mce_owed = true;
	c->nmi_in_root = 1;
	rewind_entry(f);
	return true;
}
