// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finding the hypervisor, the call pages, paying TLB debts.
 *
 * The hypervisor never waits for another CPU. When it takes memory away it returns an epoch, and
 * CPUs that may still hold translations *owe* an invalidation for it. Linux can reach its CPUs,
 * so the driver collects: it asks who owes and runs HV_CALL_PAY there. A CPU pays before it goes
 * offline; once it is dead the hypervisor is told, for from then on nobody could make it.
 *
 * The call page is asked for on its own CPU, hence the hotplug callback. Read next: device.c.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/io.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/processor.h>
#include <asm/smp.h>
#include <asm/tsc.h>

#include "hv.h"

#define HV_MAX_CPUS   (HV_PAGE_BYTES * 8)
#define SETTLE_ROUNDS 3

/* One try scrubs at least one 2 MiB frame: enough for 2 TiB, and an end should it never do so. */
#define PATIENT_TRIES	  (1u << 20)
#define PATIENT_PAY_EVERY 64

static DEFINE_PER_CPU(void *, call_page);
static enum cpuhp_state online_state, dead_state;
static int *linux_cpu_of; /* by the hypervisor's index; -1: Linux does not know this CPU */
static unsigned int hv_cpus;

void *hv_page_get(void)
{
	void *page;

	preempt_disable();
	page = this_cpu_read(call_page);
	if (!page)
		preempt_enable();
	return page;
}

void hv_page_put(void)
{
	preempt_enable();
}

static void pay(void *unused)
{
	hv_call0(HV_CALL_PAY);
}

static long call_with_page(enum hv_call number, const u64 a[5], const void *in, size_t in_bytes,
			   void *out, size_t out_bytes, u64 *second)
{
	void *page = hv_page_get();
	long result;

	if (!page)
		return -HV_ERR_STATE;
	if (in)
		memcpy(page, in, in_bytes);
	result = hv_call(number, a[0], a[1], a[2], a[3], a[4], second);
	if (result >= 0 && out)
		memcpy(out, page, out_bytes);
	hv_page_put();
	return result;
}

long hv_call_in(enum hv_call number, u64 a, u64 b, u64 c, const void *in, size_t bytes)
{
	return call_with_page(number, (u64[5]){a, b, c}, in, bytes, NULL, 0, NULL);
}

long hv_call_out(enum hv_call number, u64 a, u64 b, u64 c, void *out, size_t bytes)
{
	return call_with_page(number, (u64[5]){a, b, c}, NULL, 0, out, bytes, NULL);
}

/* A process that is dying has a signal pending, but must get its clean-up done. */
static bool interrupted(void)
{
	return signal_pending(current) && !(current->flags & PF_EXITING);
}

long hv_call_patient(enum hv_call number, const u64 arguments[5], const void *in, size_t in_bytes,
		     void *out, size_t out_bytes, u64 *second)
{
	unsigned int tries;
	long result;

	for (tries = 0; tries < PATIENT_TRIES; tries++) {
		result = call_with_page(number, arguments, in, in_bytes, out, out_bytes, second);
		if (result != -HV_ERR_AGAIN || interrupted())
			break;
		if (tries % PATIENT_PAY_EVERY == 0)
			on_each_cpu(pay, NULL, true);
		cond_resched();
	}
	return result;
}

/* Who owes for the epoch, as Linux's CPUs; returns how many there are, unreachable ones included.
 */
static long owing_cpus(u64 epoch, struct cpumask *mask)
{
	unsigned long *page = hv_page_get();
	unsigned int index;
	long owing;

	if (!page)
		return -HV_ERR_STATE;
	cpumask_clear(mask);
	owing = hv_call1(HV_CALL_OWING, epoch);
	if (owing > 0)
		for_each_set_bit(index, page, hv_cpus) if (linux_cpu_of[index] >= 0)
			cpumask_set_cpu(linux_cpu_of[index], mask);
	hv_page_put();
	return owing;
}

long hv_settle(long epoch)
{
	cpumask_var_t mask;
	int round;
	long owing;

	if (epoch < 0)
		return epoch;
	if (!zalloc_cpumask_var(&mask, GFP_KERNEL))
		return -HV_ERR_NOMEM;
	cpus_read_lock(); /* a CPU on its way out would owe and be out of reach */
	for (round = 0; round < SETTLE_ROUNDS; round++) {
		owing = owing_cpus(epoch, mask);
		if (owing <= 0)
			break;
		on_each_cpu_mask(mask, pay, NULL, true);
	}
	cpus_read_unlock();
	free_cpumask_var(mask);
	if (owing > 0) {
		pr_err("%ld CPUs still owe a TLB flush for epoch %ld: their memory stays unused\n",
		       owing, epoch);
		return -HV_ERR_STATE;
	}
	return owing;
}

static int cpu_online_callback(unsigned int cpu)
{
	long address = hv_call0(HV_CALL_CPU_PAGE);

	if (address < 0) {
		pr_err("CPU %u gets no call page: %s\n", cpu, hv_error_text(address));
		return hv_to_errno(address);
	}
	per_cpu(call_page, cpu) = memremap(address, HV_PAGE_BYTES, MEMREMAP_WB);
	if (!per_cpu(call_page, cpu)) {
		pr_err("CPU %u cannot map its call page at 0x%lx\n", cpu, address);
		return -ENOMEM;
	}
	return 0;
}

static int cpu_offline_callback(unsigned int cpu)
{
	pay(NULL);
	memunmap(per_cpu(call_page, cpu));
	per_cpu(call_page, cpu) = NULL;
	return 0;
}

/* The last step of going offline, on another CPU: it is in its final loop now, and cannot pay. */
static int cpu_dead_callback(unsigned int cpu)
{
	unsigned int index;

	for (index = 0; index < hv_cpus; index++)
		if (linux_cpu_of[index] == cpu)
			hv_call1(HV_CALL_CPU_DEAD, index);
	return 0;
}

/* CPUs that were offline before this driver came: siblings without SMT, for one. */
static void declare_dead(void)
{
	unsigned int index;

	cpus_read_lock();
	for (index = 0; index < hv_cpus; index++)
		if (linux_cpu_of[index] < 0 || !cpu_online(linux_cpu_of[index]))
			hv_call1(HV_CALL_CPU_DEAD, index);
	cpus_read_unlock();
}

static int linux_cpu_with(u32 apic_id)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) if (per_cpu(x86_cpu_to_apicid, cpu) == apic_id) return cpu;
	return -1;
}

/* The hypervisor counts CPUs in the order of their APIC ids; learn whom Linux calls what. */
static int learn_cpus(void)
{
	struct hv_cpu_stats *stats;
	struct hv_info *info;
	unsigned int index;
	long result;

	info = kmalloc(sizeof(*info), GFP_KERNEL);
	stats = kmalloc(sizeof(*stats), GFP_KERNEL);
	result = info && stats ? hv_call_out(HV_CALL_INFO, 0, 0, 0, info, sizeof(*info))
			       : -HV_ERR_NOMEM;
	if (result < 0)
		goto out;
	hv_cpus = min_t(u32, info->cpus, HV_MAX_CPUS);
	linux_cpu_of = kcalloc(hv_cpus, sizeof(*linux_cpu_of), GFP_KERNEL);
	if (!linux_cpu_of)
		result = -HV_ERR_NOMEM;
	for (index = 0; result >= 0 && index < hv_cpus; index++) {
		result = hv_call_out(HV_CALL_CPU_STATS, index, 0, 0, stats, sizeof(*stats));
		if (result >= 0)
			linux_cpu_of[index] = linux_cpu_with(stats->apic_id);
	}
	if (result >= 0)
		pr_info("hypervisor %.*s on %u CPUs, interface %u.%u\n", (int)sizeof(info->version),
			info->version, info->cpus, info->abi_version >> 16,
			info->abi_version & 0xffff);
out:
	if (result < 0) {
		pr_err("the hypervisor does not describe itself: %s\n", hv_error_text(result));
		kfree(linux_cpu_of);
	}
	kfree(stats);
	kfree(info);
	return hv_to_errno(result);
}

static int find_hypervisor(void)
{
	u32 leaf, ebx, ecx, edx, version, unused;

	cpuid(HV_CPUID_SIGNATURE, &leaf, &ebx, &ecx, &edx);
	if (ebx != HV_SIGNATURE_EBX || ecx != HV_SIGNATURE_ECX || edx != HV_SIGNATURE_EDX) {
		pr_err("this kernel does not run under the Hornero hypervisor (its signature is not in CPUID 40000000h): boot from the Hornero medium first\n");
		return -ENODEV;
	}
	cpuid(HV_CPUID_VERSION, &version, &unused, &unused, &unused);
	if (!hv_version_fits(version, HV_ABI_VERSION)) {
		pr_err("the hypervisor speaks interface version %u.%u, this driver version %u.%u: use the driver from the hypervisor's own image\n",
		       version >> 16, version & 0xffff, HV_ABI_MAJOR, HV_ABI_MINOR);
		return -EPROTO;
	}
	return 0;
}

int hv_init(void)
{
	int err = find_hypervisor();

	if (err)
		return err;
	err = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "hornero:online", cpu_online_callback,
				cpu_offline_callback);
	if (err < 0)
		return err;
	online_state = err;
	err = learn_cpus();
	if (err)
		goto out_online;
	err = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "hornero:dead", NULL,
					cpu_dead_callback);
	if (err < 0)
		goto out_cpus;
	dead_state = err;
	declare_dead();
	if (tsc_khz)
		hv_call1(HV_CALL_TSC_KHZ, tsc_khz);
	return 0;

out_cpus:
	kfree(linux_cpu_of);
out_online:
	cpuhp_remove_state(online_state);
	return err;
}

void hv_exit(void)
{
	cpuhp_remove_state_nocalls(dead_state);
	cpuhp_remove_state(online_state);
	kfree(linux_cpu_of);
}
