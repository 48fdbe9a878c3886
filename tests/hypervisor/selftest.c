// SPDX-License-Identifier: MIT
/*
 * Hypervisor faults on order, to test the crash path. Only in test builds (TEST=1); the others
 * answer as if the call did not exist.
 */
#include <abi/hypercall.h>
#include <calls.h>
#include <panic.h>
#include <x86/asm.h>
#include <x86/paging.h>
#include <x86/vmx/vmx.h>

#define QUIET_TICKS 20000 /* longer than the hypervisor takes for any exit */
#define WAIT_TICKS  UINT64_C(4000000000)

/* Ends when the stack does: a count of calls that never gets back to 0. */
uint64_t selftest_recurse(volatile uint64_t *above);

uint64_t selftest_recurse(volatile uint64_t *above)
{
	volatile uint64_t here[32];

	here[0] = *above + 1;
	return here[0] ? selftest_recurse(here) + here[0] : 0;
}

extern const uint64_t image_data[], image_end[];

/* What is left of the boot part: it is mapped nowhere. */
static int64_t boot_left(void)
{
	int64_t n = 0;

	for (const uint64_t *p = image_data; p < image_end; p++)
		n += *p >= (uint64_t)image_start && *p < (uint64_t)image_text;

	for (const char *p = image_start; p < image_text; p += PAGE_SIZE) {
		const char *page = window_open(hpa_of(p));

		for (uint64_t i = 0; i < PAGE_SIZE; i++)
			n += page[i] != 0;
		window_close();
	}
	return n;
}

/* Returns while another CPU is between the entry and the exit of a guest. */
static void wait_for_guest(void)
{
	uint64_t start = rdtsc(), quiet = start;
	uint32_t seen = 0;

	while (rdtsc() - start < WAIT_TICKS) {
		const struct vmx_cpu *v = cpu_table[!this_cpu()->index]->vmx;
		uint32_t head = __atomic_load_n(&v->ring_head, __ATOMIC_ACQUIRE);

		if (!__atomic_load_n(&v->vcpu, __ATOMIC_ACQUIRE) || head != seen)
			quiet = rdtsc();
		else if (rdtsc() - quiet > QUIET_TICKS)
			return;
		seen = head;
	}
	panic("self-test: no guest runs on another CPU");
}

/* As when it comes while KERNEL_GS_BASE is exchanged. The control domain does not get it. */
static int64_t nmi_without_gs(struct cpu *cpu)
{
	bool noted;

	__asm__ volatile("swapgs\n\tint $2\n\tswapgs" ::: "memory");
	noted = cpu->nmi_in_root && cpu->vmx->nmi_owed;
	cpu->nmi_in_root = 0;
	cpu->vmx->nmi_owed = false;
	return noted;
}

static const uint8_t ret_insn[16] = {0xc3};

int64_t call_selftest(struct call *c)
{
	volatile uint64_t start = 0;

	switch (c->args[0]) {
	case HV_SELFTEST_PANIC:
		panic("self-test: this crash was ordered");
	case HV_SELFTEST_PANIC_BESIDE_GUEST:
		wait_for_guest();
		panic("self-test: this crash was ordered beside a guest");
	case HV_SELFTEST_PAGE_FAULT:
		return (int64_t) * (volatile uint64_t *)PAGE_SIZE;
	case HV_SELFTEST_STACK:
		return (int64_t)selftest_recurse(&start);
	case HV_SELFTEST_WRITE_CODE:
		*(volatile uint8_t *)(uint64_t)call_selftest = 0xcc;
		return 0;
	case HV_SELFTEST_EXEC_DATA:
		((void (*)(void))(uint64_t)ret_insn)();
		return 0;
	case HV_SELFTEST_EXEC_BOOT:
		((void (*)(void))(uint64_t)image_start)();
		return 0;
	case HV_SELFTEST_READ_BOOT:
		return *(const volatile int64_t *)((uint64_t)image_text - sizeof(int64_t));
	case HV_SELFTEST_BOOT_LEFT:
		return boot_left();
	case HV_SELFTEST_NMI_WITHOUT_GS:
		return nmi_without_gs(c->cpu);
	default:
		return -HV_ERR_INVAL;
	}
}
