// SPDX-License-Identifier: MIT
// sources: $(FAKE_MACHINE)
// flags: $(FAKE_MACHINE_FLAGS) -Itests/fuzz
/*
 * What becomes of a guest's exits, and what it is injected, by the SDM's tables: the hypervisor's
 * own files on the machine that the hypercalls are fuzzed on. Sources: SDM 3C "Information for VM
 * Exits That Occur During Event Delivery", "Event Injection", "Interrupt-Window Exiting".
 */
#include "test.h"

#include <abi/hypercall.h>
#include <hypercall.h>
#include <vm.h>
#include <x86/speculation.h>
#include <x86/virt.h>

#include "machine_state.h"

#define RFLAGS_IF	       0x200
#define RUN_INJECT_EXTERNAL(v) (INTR_VALID | INTR_TYPE_EXTERNAL | (v))

static struct vm *vm;
static struct vcpu *vcpu;

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t args[HYPERCALL_ARGS] = {a, b, c}, second = 0;
	int64_t result = hypercall_dispatch(machine_cpu(), number, args, &second);

	machine_enter();
	return result;
}

/* A guest with its first vCPU running on this CPU. */
static void start(unsigned int features)
{
	struct hv_vm_create args = {.vcpus = 2};
	int64_t handle;

	if (vm)
		machine_end(); /* of the one before */
	machine_start(features);
	memcpy(machine_call_page(), &args, sizeof(args));
	handle = call(HV_CALL_VM_CREATE, 0, 0, 0);
	CHECK(handle > 0);
	CHECK(call(HV_CALL_VCPU_CREATE, (uint64_t)handle, 0, 0) > 0);
	vm = vm_hold((uint64_t)handle);
	vm_release(vm);
	vcpu = vm->vcpu[0];
}

static void run(void)
{
	CHECK_EQ(call(HV_CALL_VCPU_RUN, vm->handle, 0, 0), 0);
}

static void exits(uint32_t reason, uint32_t interruption, uint32_t vectoring)
{
	const struct machine_exit exit = {
		.reason = reason, .interruption = interruption, .vectoring = vectoring, .bytes = 2};

	machine_guest_exits(&exit);
}

/* While the guest runs, its VMCS is the current one. */
static void check_injected(uint32_t info)
{
	CHECK(machine_in_guest());
	CHECK_EQ(machine_field(VMCS_ENTRY_INTERRUPTION.encoding), info);
}

static void check_left(enum hv_vcpu_exit exit)
{
	CHECK(!machine_in_guest());
	CHECK_EQ(vcpu->page->exit, exit);
	CHECK_EQ(vcpu->running, 0);
	CHECK_EQ(vm_holds(vm), 0);
}

TEST(exits_that_end_a_stay)
{
	static const struct {
		uint32_t reason, interruption;
		enum hv_vcpu_exit exit;
	} rows[] = {
		{VMX_EXIT_EXTERNAL_INTERRUPT, 0, HV_VCPU_EXIT_INTR},
		{VMX_EXIT_TRIPLE_FAULT, 0, HV_VCPU_EXIT_SHUTDOWN},
		{VMX_EXIT_INIT, 0, HV_VCPU_EXIT_INTR},
		{VMX_EXIT_PAUSE, 0, HV_VCPU_EXIT_INTR},
		{VMX_EXIT_HLT, 0, HV_VCPU_EXIT_HLT},
		{VMX_EXIT_IO, 0, HV_VCPU_EXIT_PIO},
		{VMX_EXIT_EPT_VIOLATION, 0, HV_VCPU_EXIT_INSN},
		{VMX_EXIT_APIC_ACCESS, 0, HV_VCPU_EXIT_INSN},
		{VMX_EXIT_VIRTUALIZED_EOI, 0, HV_VCPU_EXIT_EOI},
		{VMX_EXIT_TASK_SWITCH, 0, HV_VCPU_EXIT_TASK},
		{VMX_EXIT_MACHINE_CHECK_ON_ENTRY, 0, HV_VCPU_EXIT_INTR},
		{VMX_EXIT_EXCEPTION_NMI, INTR_VALID | INTR_TYPE_NMI | VECTOR_NMI,
		 HV_VCPU_EXIT_INTR},
		{VMX_EXIT_EXCEPTION_NMI, INTR_VALID | INTR_TYPE_HARDWARE | VECTOR_MC,
		 HV_VCPU_EXIT_INTR},
		{VMX_EXIT_EXCEPTION_NMI, INTR_VALID | INTR_TYPE_HARDWARE | 3,
		 HV_VCPU_EXIT_INTERNAL},
		{5, 0, HV_VCPU_EXIT_INTERNAL},	 /* I/O SMI: none of ours */
		{127, 0, HV_VCPU_EXIT_INTERNAL}, /* no reason of today's */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		start(i & 1);
		run();
		exits(rows[i].reason, rows[i].interruption, 0);
		check_left(rows[i].exit);
	}
}

TEST(exits_that_are_faults)
{
	static const uint8_t undefined[] = {
		VMX_EXIT_GETSEC, VMX_EXIT_VMCLEAR, VMX_EXIT_VMLAUNCH, VMX_EXIT_VMXON,
		VMX_EXIT_INVEPT, VMX_EXIT_INVVPID, VMX_EXIT_VMFUNC,   VMX_EXIT_MONITOR,
		VMX_EXIT_MWAIT,	 VMX_EXIT_ENCLS,   VMX_EXIT_PCONFIG,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(undefined); i++) {
		start(0);
		run();
		exits(undefined[i], 0, 0);
		check_injected(INTR_VALID | INTR_TYPE_HARDWARE | VECTOR_UD);
		CHECK_EQ(machine_field(VMCS_GUEST_RIP.encoding), 0xfff0); /* not stepped over */
	}
	start(0);
	run();
	machine_set_field(VMCS_GUEST_CR0.encoding, CR0_PE | CR0_NE);
	exits(VMX_EXIT_RDPMC, 0, 0);
	check_injected(INTR_VALID | INTR_TYPE_HARDWARE | INTR_ERROR_CODE | VECTOR_GP);
	start(0);
	run(); /* real mode has no error codes */
	exits(VMX_EXIT_RDPMC, 0, 0);
	check_injected(INTR_VALID | INTR_TYPE_HARDWARE | VECTOR_GP);
}

TEST(settled_instructions_are_stepped_over)
{
	static const uint8_t reasons[] = {VMX_EXIT_CPUID, VMX_EXIT_INVD, VMX_EXIT_WBINVD,
					  VMX_EXIT_VMCALL};

	for (unsigned int i = 0; i < ARRAY_SIZE(reasons); i++) {
		start(0);
		run();
		machine_set_field(VMCS_GUEST_INTERRUPTIBILITY.encoding, INTERRUPTIBILITY_STI);
		exits(reasons[i], 0, 0);
		check_injected(0);
		CHECK_EQ(machine_field(VMCS_GUEST_RIP.encoding), 0xfff2);
		CHECK_EQ(machine_field(VMCS_GUEST_INTERRUPTIBILITY.encoding), 0);
	}
}

TEST(an_event_whose_delivery_exited_is_injected_again)
{
	static const struct {
		uint32_t vectoring, injected;
		bool length, error;
	} rows[] = {
		{INTR_VALID | INTR_TYPE_EXTERNAL | 0x41, INTR_VALID | INTR_TYPE_EXTERNAL | 0x41, 0,
		 0},
		{INTR_VALID | INTR_TYPE_NMI | 2, INTR_VALID | INTR_TYPE_NMI | 2, 0, 0},
		{INTR_VALID | INTR_TYPE_HARDWARE | 6, INTR_VALID | INTR_TYPE_HARDWARE | 6, 0, 0},
		{INTR_VALID | INTR_TYPE_HARDWARE | INTR_ERROR_CODE | 13,
		 INTR_VALID | INTR_TYPE_HARDWARE | INTR_ERROR_CODE | 13, 0, 1},
		{INTR_VALID | INTR_TYPE_SOFT_INT | 0x80, INTR_VALID | INTR_TYPE_SOFT_INT | 0x80, 1,
		 0},
		{INTR_VALID | INTR_TYPE_SOFT_EXC | 3, INTR_VALID | INTR_TYPE_SOFT_EXC | 3, 1, 0},
		{INTR_VALID | INTR_TYPE_PRIV_SOFT | 1, INTR_VALID | INTR_TYPE_PRIV_SOFT | 1, 1, 0},
		/* bit 12 is undefined there and reserved here */
		{INTR_VALID | INTR_TYPE_EXTERNAL | 1 << 12 | 0x42,
		 INTR_VALID | INTR_TYPE_EXTERNAL | 0x42, 0, 0},
		{INTR_TYPE_EXTERNAL | 0x43, 0, 0, 0},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		start(i & 1);
		run();
		machine_set_field(VMCS_ENTRY_INSN_LENGTH.encoding, 9);
		machine_set_field(VMCS_IDT_VECTORING_ERROR.encoding, 0x77);
		machine_set_field(VMCS_GUEST_INTERRUPTIBILITY.encoding, INTERRUPTIBILITY_NMI);
		exits(VMX_EXIT_PREEMPTION_TIMER, 0, rows[i].vectoring);
		check_injected(rows[i].injected);
		CHECK_EQ(machine_field(VMCS_ENTRY_INSN_LENGTH.encoding), rows[i].length ? 2 : 9);
		CHECK_EQ(machine_field(VMCS_ENTRY_ERROR_CODE.encoding), rows[i].error ? 0x77 : 0);
		/* An NMI that was not delivered does not block yet; others change nothing. */
		CHECK_EQ(machine_field(VMCS_GUEST_INTERRUPTIBILITY.encoding),
			 INTR_TYPE(rows[i].vectoring) == INTR_TYPE_NMI ? 0 : INTERRUPTIBILITY_NMI);
	}
}

TEST(a_task_switch_delivers_its_event_itself)
{
	start(0);
	run();
	machine_set_field(VMCS_IDT_VECTORING_ERROR.encoding, 0x77);
	exits(VMX_EXIT_TASK_SWITCH, 0, INTR_VALID | INTR_TYPE_HARDWARE | INTR_ERROR_CODE | 13);
	check_left(HV_VCPU_EXIT_TASK);
	CHECK_EQ(vcpu->page->task.vectoring,
		 INTR_VALID | INTR_TYPE_HARDWARE | INTR_ERROR_CODE | 13);
	CHECK_EQ(vcpu->page->task.error, 0x77);
	CHECK_EQ(vcpu->page->insn.bytes, 2);
	run();
	check_injected(0);
}

TEST(one_event_at_a_time_by_priority)
{
	/* An event under way first, then the NMI, then the interrupt, each when its window opens.
	 */
	start(0);
	vcpu->page->lapic[0xf0] = 0; /* as created; the APIC is enabled by MSR and register */
	call(HV_CALL_VCPU_GET, vm->handle, 0, HV_GROUP_LAPIC);
	vcpu->page->lapic[0xf1] = 1;
	CHECK_EQ(call(HV_CALL_VCPU_SET, vm->handle, 0, HV_GROUP_LAPIC), 0);
	CHECK_EQ(call(HV_CALL_VM_MSI, vm->handle, 0xfee00000, 0x51), 1);
	CHECK_EQ(call(HV_CALL_VCPU_NMI, vm->handle, 0, 0), 0);
	run();
	check_injected(INTR_VALID | INTR_TYPE_NMI | VECTOR_NMI);
	CHECK(machine_field(VMCS_CPU_CONTROLS.encoding) & CPU_INTERRUPT_WINDOW);
	CHECK(!(machine_field(VMCS_CPU_CONTROLS.encoding) & CPU_NMI_WINDOW));

	/* IF is clear: not yet; the window is asked for still. */
	exits(VMX_EXIT_PREEMPTION_TIMER, 0, 0);
	check_injected(0);
	CHECK(machine_field(VMCS_CPU_CONTROLS.encoding) & CPU_INTERRUPT_WINDOW);

	/* A shadow holds it back, too. */
	machine_set_field(VMCS_GUEST_RFLAGS.encoding, 2 | RFLAGS_IF);
	machine_set_field(VMCS_GUEST_INTERRUPTIBILITY.encoding, INTERRUPTIBILITY_STI);
	exits(VMX_EXIT_PREEMPTION_TIMER, 0, 0);
	check_injected(0);

	/* And an event under way. */
	machine_set_field(VMCS_GUEST_INTERRUPTIBILITY.encoding, 0);
	exits(VMX_EXIT_PREEMPTION_TIMER, 0, INTR_VALID | INTR_TYPE_HARDWARE | 6);
	check_injected(INTR_VALID | INTR_TYPE_HARDWARE | 6);

	exits(VMX_EXIT_INTERRUPT_WINDOW, 0, 0);
	check_injected(RUN_INJECT_EXTERNAL(0x51));
	CHECK(!(machine_field(VMCS_CPU_CONTROLS.encoding) & CPU_INTERRUPT_WINDOW));
	exits(VMX_EXIT_PREEMPTION_TIMER, 0, 0);
	check_injected(0); /* once */
}

TEST(an_nmi_waits_until_nmis_are_open)
{
	start(0);
	run();
	machine_set_field(VMCS_GUEST_INTERRUPTIBILITY.encoding, INTERRUPTIBILITY_NMI);
	virt_vcpu_nmi(vcpu);
	exits(VMX_EXIT_PREEMPTION_TIMER, 0, 0);
	check_injected(0);
	CHECK(machine_field(VMCS_CPU_CONTROLS.encoding) & CPU_NMI_WINDOW);
	machine_set_field(VMCS_GUEST_INTERRUPTIBILITY.encoding, 0);
	exits(VMX_EXIT_NMI_WINDOW, 0, 0);
	check_injected(INTR_VALID | INTR_TYPE_NMI | VECTOR_NMI);
	CHECK(!(machine_field(VMCS_CPU_CONTROLS.encoding) & CPU_NMI_WINDOW));
}

TEST(a_halted_guest_wakes_for_what_it_would_take)
{
	start(0);
	run();
	exits(VMX_EXIT_HLT, 0, 0);
	check_left(HV_VCPU_EXIT_HLT);
	CHECK_EQ(call(HV_CALL_VCPU_BLOCK, vm->handle, 0, 0), 0);
	CHECK_EQ(call(HV_CALL_VCPU_NMI, vm->handle, 0, 0), 0);
	CHECK_EQ(call(HV_CALL_VCPU_BLOCK, vm->handle, 0, 0), -HV_ERR_AGAIN);
	run();
	check_injected(INTR_VALID | INTR_TYPE_NMI | VECTOR_NMI);
}

TEST(alignment_and_debug_exceptions_go_back_to_the_guest)
{
	start(0);
	run();
	machine_set_field(VMCS_GUEST_CR0.encoding, CR0_PE | CR0_NE);
	machine_set_field(VMCS_EXIT_ERROR_CODE.encoding, 0);
	exits(VMX_EXIT_EXCEPTION_NMI, INTR_VALID | INTR_TYPE_HARDWARE | INTR_ERROR_CODE | VECTOR_AC,
	      0);
	check_injected(INTR_VALID | INTR_TYPE_HARDWARE | INTR_ERROR_CODE | VECTOR_AC);
	start(0);
	run();
	machine_set_field(VMCS_GUEST_INTERRUPTIBILITY.encoding, INTERRUPTIBILITY_MOV_SS);
	machine_set_field(VMCS_GUEST_DR7.encoding, 0x2400);
	exits(VMX_EXIT_EXCEPTION_NMI, INTR_VALID | INTR_TYPE_HARDWARE | VECTOR_DB, 0);
	check_injected(INTR_VALID | INTR_TYPE_HARDWARE | VECTOR_DB);
	CHECK_EQ(machine_field(VMCS_GUEST_INTERRUPTIBILITY.encoding), 0);
	CHECK_EQ(machine_field(VMCS_GUEST_DR7.encoding), 0x400); /* GD is clear */
}

/* ---- code in large pages */

#define EPT_FETCH 4 /* of the exit's qualification */
#define NX_LARGE  8 /* readable, not executable */

TEST(code_gets_small_pages_when_it_is_run)
{
	struct machine_exit fetch = {.reason = VMX_EXIT_EPT_VIOLATION,
				     .qualification = EPT_FETCH | NX_LARGE,
				     .address = FRAME_SIZE + 0x1230};
	uint64_t args[HYPERCALL_ARGS] = {0}, second;
	const uint64_t *frame;

	start(16);
	CHECK_EQ(call(HV_CALL_VM_FUND, vm->handle, 1, 0), 0);
	CHECK_EQ(call(HV_CALL_POOL_ALLOC, vm->handle, 1, 0), 1);
	frame = (const uint64_t *)machine_call_page();
	memcpy(args,
	       (uint64_t[]){vm->handle, FRAME_SIZE, frame[0], FRAME_SIZE,
			    HV_MAP_READ | HV_MAP_WRITE | HV_MAP_EXEC},
	       5 * sizeof(*args));
	CHECK_EQ(hypercall_dispatch(machine_cpu(), HV_CALL_VM_MAP, args, &second), 0);
	machine_check();
	run();
	machine_guest_exits(&fetch);
	CHECK(machine_in_guest());
	machine_check();
	machine_guest_exits(&fetch); /* as of another vCPU, a moment later */
	CHECK(machine_in_guest());
	fetch.qualification = NX_LARGE | 1; /* no fetch: the driver's */
	machine_guest_exits(&fetch);
	check_left(HV_VCPU_EXIT_INSN);
	run();
	fetch.qualification = EPT_FETCH; /* there is nothing at all */
	fetch.address = 16 * FRAME_SIZE;
	machine_guest_exits(&fetch);
	check_left(HV_VCPU_EXIT_INSN);
	CHECK_EQ(*vm->promised, 0);
}

/* ---- what the VMCS does not switch */

#define MSR_SPEC_CTRL 0x48
#define MSR_STAR      0xc0000081
#define MSR_TSC_AUX   0xc0000103

static const uint32_t switched[] = {MSR_SPEC_CTRL, MSR_STAR,	       MSR_STAR + 1, MSR_STAR + 2,
				    MSR_STAR + 3,  MSR_KERNEL_GS_BASE, MSR_TSC_AUX};

/* The control domain has 100h and so on in its registers, the guest shall have 200h and so on. */
static void start_with_msrs(void)
{
	struct vmx_cpu *v;

	start(0);
	v = machine_cpu()->vmx;
	speculation.spec_ctrl = true;
	guest_has.rdtscp = true;
	for (uint32_t i = 0; i < ARRAY_SIZE(switched); i++)
		machine_wrmsr(switched[i], 0x100 + i);
	for (uint32_t i = 0; i < CACHED_MSRS; i++) {
		v->cached_msr[i] = 0x101 + i;
		vcpu->msr[i] = 0x201 + i;
	}
	v->tsc_aux = 0x106;
	vcpu->spec_ctrl = 0x200;
	vcpu->kernel_gs_base = 0x205;
	vcpu->tsc_aux = 0x206;
	vcpu_efer_is(vcpu, EFER_SCE);
}

static void check_msrs(uint64_t base)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(switched); i++)
		CHECK_EQ(machine_msr(switched[i]), base + i);
}

TEST(msrs_are_the_guests_while_it_runs_and_only_then)
{
	start_with_msrs();
	for (unsigned int stay = 0; stay < 2; stay++) {
		run();
		check_msrs(0x200);
		exits(VMX_EXIT_EXTERNAL_INTERRUPT, 0, 0);
		check_left(HV_VCPU_EXIT_INTR);
		check_msrs(0x100);
	}
}

static void guest_writes_msr(uint32_t msr, uint64_t value)
{
	vcpu->page->gprs.rcx = msr;
	vcpu->page->gprs.rax = (uint32_t)value;
	vcpu->page->gprs.rdx = value >> 32;
	exits(VMX_EXIT_WRMSR, 0, 0);
	CHECK(machine_in_guest());
}

static uint64_t guest_reads_msr(uint32_t msr)
{
	vcpu->page->gprs.rcx = msr;
	exits(VMX_EXIT_RDMSR, 0, 0);
	CHECK(machine_in_guest());
	return vcpu->page->gprs.rax | vcpu->page->gprs.rdx << 32;
}

static void check_syscall_msrs(uint64_t base)
{
	for (uint32_t i = 0; i < CACHED_MSRS; i++)
		CHECK_EQ(machine_msr(MSR_STAR + i), base + i);
}

/* Without EFER.SCE no guest can see them but by RDMSR, which exits. */
TEST(msrs_of_syscall_are_switched_once_the_guest_can_use_it)
{
	start_with_msrs();
	vcpu_efer_is(vcpu, 0);
	run();
	check_syscall_msrs(0x101);
	guest_writes_msr(MSR_STAR, 0x301);
	CHECK_EQ(guest_reads_msr(MSR_STAR), 0x301);
	CHECK_EQ(guest_reads_msr(MSR_STAR + 1), 0x202);
	check_syscall_msrs(0x101);
	guest_writes_msr(MSR_STAR, 0x201);
	guest_writes_msr(MSR_EFER, EFER_SCE);
	check_syscall_msrs(0x201);
	guest_writes_msr(MSR_STAR, 0x302);
	CHECK_EQ(machine_msr(MSR_STAR), 0x302);
	guest_writes_msr(MSR_STAR, 0x201);
	exits(VMX_EXIT_EXTERNAL_INTERRUPT, 0, 0);
	check_left(HV_VCPU_EXIT_INTR);
	check_msrs(0x100);
	run();
	check_syscall_msrs(0x201);
	guest_writes_msr(MSR_EFER, 0); /* they are the control domain's again at the latest then */
	exits(VMX_EXIT_EXTERNAL_INTERRUPT, 0, 0);
	check_syscall_msrs(0x101);
	run();
	check_syscall_msrs(0x101);
	CHECK_EQ(guest_reads_msr(MSR_STAR + 3), 0x204);
}

/* Control domain and guest run in the same mode, so nothing but a barrier keeps what one has taught
 * the predictors from the other. */
TEST(predictors_are_flushed_after_each_stay)
{
	unsigned int before;

	start_with_msrs();
	run(); /* a VM that did not run last: a barrier of its own */
	for (unsigned int stay = 0; stay < 3; stay++) {
		before = machine_predictor_barriers();
		exits(VMX_EXIT_EXTERNAL_INTERRUPT, 0, 0);
		check_left(HV_VCPU_EXIT_INTR);
		CHECK_EQ(machine_predictor_barriers(), before + 1);
		run();
		CHECK_EQ(machine_predictor_barriers(), before + 1);
	}
	exits(VMX_EXIT_EXTERNAL_INTERRUPT, 0, 0);
	speculation.spec_ctrl = false; /* on a processor without, there is no such MSR */
	before = machine_predictor_barriers();
	run();
	exits(VMX_EXIT_EXTERNAL_INTERRUPT, 0, 0);
	CHECK_EQ(machine_predictor_barriers(), before);
}
