// SPDX-License-Identifier: MIT
/*
 * The table of hypercalls, generated from HV_CALL_LIST, and the calls about the hypervisor itself.
 *
 * Those about VMs are in vm_calls.c. A handler gets its arguments as they came; larger answers go
 * to the calling CPU's call page, which the control domain reads after the call.
 */
#define LOG_TAG "call"
#include <string.h>

#include <abi/hypercall.h>
#include <abi/info.h>
#include <calls.h>
#include <crash.h>
#include <hypercall.h>
#include <log.h>
#include <platform.h>
#include <pool.h>
#include <tlb.h>
#include <vm.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/percpu.h>
#include <x86/virt.h>

static struct log_limit limit;

int64_t call_version(struct call *c)
{
	(void)c;
	return HV_ABI_VERSION;
}

int64_t call_cpu_page(struct call *c)
{
	return (int64_t)hpa_of(c->page).v;
}

int64_t call_info(struct call *c)
{
	struct hv_info *info = c->page;

	memcpy(info, &platform.info, sizeof(*info));
	info->tsc_khz = (uint32_t)platform.tsc_khz;
	if (virt_x2apic())
		info->features |= BIT64(HV_FEATURE_X2APIC);
	info->pool_free_bytes = pool_free_bytes(&info->pool_dirty_bytes);
	info->uptime_tsc = rdtsc();
	info->vms = vm_count();
	info->log_head = log_head();
	return 0;
}

int64_t call_log_read(struct call *c)
{
	uint64_t pos = c->args[1];
	const char *text;
	size_t length;

	switch (c->args[0]) {
	case HV_LOG_CURRENT:
		length = log_read(&pos, c->page, HV_PAGE_BYTES);
		*c->second = pos;
		return (int64_t)length;
	case HV_LOG_CRASH:
		text = crash_previous();
		if (!text)
			return -HV_ERR_NOENT;
		length = strlen(text);
		if (pos > length)
			return -HV_ERR_INVAL;
		length = min_u64(length - pos, HV_PAGE_BYTES);
		memcpy(c->page, text + pos, length);
		*c->second = pos + length;
		return (int64_t)length;
	default:
		return -HV_ERR_INVAL;
	}
}

int64_t call_cpu_stats(struct call *c)
{
	if (c->args[0] >= cpu_count)
		return -HV_ERR_NOENT;
	memcpy(c->page, virt_cpu_stats((unsigned int)c->args[0]), sizeof(struct hv_cpu_stats));
	return 0;
}

int64_t call_pay(struct call *c)
{
	tlb_pay(c->cpu);
	return 0;
}

int64_t call_owing(struct call *c)
{
	if (c->args[0] > debt_pay_begin(&tlb_debt))
		return -HV_ERR_INVAL;
	return (int64_t)debt_owing(&tlb_debt, c->args[0], c->page, HV_PAGE_BYTES / 8);
}

int64_t call_pool_scrub(struct call *c)
{
	int err = pool_scrub_part();

	(void)c;
	return err == -HV_ERR_NOENT ? 0 : err ? err : 1;
}

/*
 * Linux parks a CPU that it takes offline in a loop of HLT, where no exit of its own comes: nobody
 * could make it pay. Only INIT and SIPI bring it back, and those flush. The boot processor takes no
 * INIT, so it cannot be parked.
 */
int64_t call_cpu_dead(struct call *c)
{
	uint64_t cpu = c->args[0];

	if (!cpu || cpu >= cpu_count || cpu == c->cpu->index)
		return -HV_ERR_INVAL;
	tlb_quiesce(cpu_table[cpu]);
	return 0;
}

int64_t call_tsc_khz(struct call *c)
{
	/* 1 MHz to 100 GHz: anything else is a mistake in the caller's units. */
	if (c->args[0] < 1000 || c->args[0] > UINT64_C(100000000))
		return -HV_ERR_INVAL;
	/* Guests have been told: their CPUID and the clock of their APIC timers. */
	if (c->args[0] != platform.tsc_khz && vm_count())
		return -HV_ERR_BUSY;
	platform.tsc_khz = c->args[0];
	return (int64_t)platform.tsc_khz;
}

static const struct {
	const char *name;
	call_fn *fn;
} calls[] = {
#define X(number, NAME, name, text) [number] = {#NAME, call_##name},
	HV_CALL_LIST(X)
#undef X
};

int64_t hypercall_dispatch(struct cpu *cpu, uint64_t number, const uint64_t args[HYPERCALL_ARGS],
			   uint64_t *second)
{
	struct call c = {.cpu = cpu, .args = args, .page = virt_call_page(cpu), .second = second};
	int64_t result;

	if (number >= ARRAY_SIZE(calls) || !calls[number].fn) {
		log_limited(&limit, LOG_INFO, "unknown hypercall %lu", number);
		return -HV_ERR_NOCALL;
	}
	result = call_on_subject(&c, number, calls[number].fn);
	if (result < 0 && result != -HV_ERR_AGAIN)
		log_limited(&limit, LOG_DBG, "hypercall %s(%#lx, %#lx, %#lx) refused: error %ld",
			    calls[number].name, args[0], args[1], args[2], -result);
	return result;
}
