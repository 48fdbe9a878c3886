// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel module that makes hypercalls on all CPUs at once, about the same few VMs and frames: one
 * CPU frees what the other is being given, destroys the VM that the other runs. Its arguments are
 * mostly sensible, so that they reach what they are about. The hypervisor must survive it; this
 * module checks nothing else.
 *
 * Loading it runs the storm, destroys what is left of it and prints one line to the kernel's log:
 *
 *	storm: N calls, M done; not once done: NAME...
 *
 * Parameters: seed, rounds (for each CPU). Use: test_hostile.py.
 */
#define pr_fmt(fmt) "storm: " fmt

#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/string.h>

#include "abi/err.h"
#include "abi/hypercall.h"
#include "abi/vcpu.h"

#include "hv.h"

#define VMS	 4
#define FRAMES	 8
#define NARROW	 512 /* rounds of each kind, in turns */
#define VCPUS	 2
#define CALLS	 64
#define PAGES(n) ((u64)(n)*PAGE_SIZE)
#define FRAME	 (2ul << 20)

static unsigned int seed = 1, rounds = 1000;
module_param(seed, uint, 0);
module_param(rounds, uint, 0);

/* All CPUs write these without a lock: what is stale or torn is one more bad argument. */
static u64 vms[VMS], frames[FRAMES];
static atomic_t made = ATOMIC_INIT(0), done[CALLS], waiting;
static DECLARE_COMPLETION(over);

struct caller {
	u32 state;  /* of its random numbers */
	void *page; /* the CPU's call page */
};

static u32 draw(struct caller *c, u32 below)
{
	c->state = c->state * 1664525 + 1013904223;
	return (c->state >> 8) % below;
}

static long call(enum hv_call number, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	long result = hv_call(number, a, b, c, d, e, NULL);

	atomic_inc(&made);
	if (result >= 0)
		atomic_inc(&done[number]);
	return result;
}

static long create(struct caller *c)
{
	struct hv_vm_create *args = c->page;
	long vm;

	memset(args, 0, sizeof(*args));
	args->vcpus = VCPUS;
	strscpy(args->name, "storm", sizeof(args->name));
	vm = call(HV_CALL_VM_CREATE, 0, 0, 0, 0, 0);
	if (vm > 0)
		call(HV_CALL_VM_DESTROY, xchg(&vms[draw(c, VMS)], vm), 0, 0, 0, 0);
	return vm;
}

/* What is used up comes back: a VM goes when there is no memory, and debts are paid. */
static void allocate(struct caller *c, u64 vm)
{
	long given = call(HV_CALL_POOL_ALLOC, vm, 1 + draw(c, 2), 0, 0, 0);
	u64 *list = c->page;

	if (given == -HV_ERR_AGAIN)
		call(HV_CALL_PAY, 0, 0, 0, 0, 0);
	if (given == -HV_ERR_NOMEM)
		call(HV_CALL_VM_DESTROY, vm, 0, 0, 0, 0);
	if (given == -HV_ERR_NOMEM || given == -HV_ERR_NOENT)
		create(c);
	while (given-- > 0)
		WRITE_ONCE(frames[draw(c, draw(c, 2) ? 2 : FRAMES)], list[given]);
}

static u64 length(struct caller *c)
{
	return draw(c, 4) ? FRAME : PAGES(1 + draw(c, 600));
}

/* @narrow: nothing but the giving and freeing of few frames, so that they meet often. */
static void one(struct caller *c, bool narrow)
{
	u64 vm = READ_ONCE(vms[draw(c, narrow ? 1 : VMS)]);
	u64 frame = READ_ONCE(frames[draw(c, narrow ? 2 : FRAMES)]);
	u64 gpa = draw(c, 2) ? draw(c, 4) * FRAME : PAGES(draw(c, 2048));
	u32 vcpu = draw(c, VCPUS + 1), kind = narrow ? 5 + draw(c, 27) : draw(c, 100);

	memset(c->page, 0, 64);
	if (kind < 3)
		create(c);
	else if (kind < 5)
		call(HV_CALL_VM_DESTROY, vm, 0, 0, 0, 0);
	else if (kind < 20)
		allocate(c, vm);
	else if (kind < 32)
		call(HV_CALL_POOL_FREE, vm, frame, 1, 0, 0);
	else if (kind < 45)
		call(HV_CALL_VM_MAP, vm, gpa, frame + (draw(c, 4) ? 0 : PAGES(draw(c, 512))),
		     length(c), HV_MAP_READ | draw(c, 32));
	else if (kind < 55)
		call(HV_CALL_VM_UNMAP, vm, gpa, length(c), 0, 0);
	else if (kind < 58)
		call(HV_CALL_VM_FUND, vm, 1, 0, 0, 0);
	else if (kind < 62)
		call(HV_CALL_VCPU_CREATE, vm, vcpu, vcpu, 0, 0);
	else if (kind < 70)
		call(HV_CALL_VCPU_RUN, vm, vcpu, 0, 0, 0);
	else if (kind < 73)
		call(HV_CALL_VCPU_GET, vm, vcpu, HV_GROUP_ALL, 0, 0);
	else if (kind < 76)
		call(HV_CALL_VCPU_SET, vm, vcpu, HV_GROUP_ALL, 0, 0);
	else if (kind < 78)
		call(HV_CALL_VCPU_CPUID, vm, vcpu, 1 + draw(c, 3), 0, 0);
	else if (kind < 80)
		call(HV_CALL_VCPU_MSR, vm, vcpu, 0x10 + draw(c, 2) * 0xb, draw(c, 2), 0);
	else if (kind < 82)
		call(HV_CALL_VCPU_APIC, vm, vcpu, 16 * draw(c, 64), draw(c, 2), 0);
	else if (kind < 85)
		call(HV_CALL_VM_MSI, vm, 0xfee00000 | vcpu << 12, 0x30 + draw(c, 8), 0, 0);
	else if (kind < 86)
		call(HV_CALL_VCPU_NMI, vm, vcpu, 0, 0, 0);
	else if (kind < 87)
		call(HV_CALL_VCPU_BLOCK, vm, vcpu, 0, 0, 0);
	else if (kind < 88)
		call(HV_CALL_VCPU_STATS, vm, vcpu, 0, 0, 0);
	else if (kind < 89)
		call(HV_CALL_VM_EOI_EXITS, vm, 0, 0, 0, 0);
	else if (kind < 90)
		call(HV_CALL_VM_INFO, draw(c, 8), 0, 0, 0, 0);
	else if (kind < 91)
		call(HV_CALL_OWING, 1 + draw(c, 64), 0, 0, 0, 0);
	else if (kind < 96)
		call(HV_CALL_POOL_SCRUB, 0, 0, 0, 0, 0);
	else
		call(HV_CALL_PAY, 0, 0, 0, 0, 0);
}

/* Interrupts off, as VCPU_RUN wants it and so that only the hypervisor shares the call page. */
static int storm(void *unused)
{
	struct caller c = {.state = seed + smp_processor_id() * 7919};
	unsigned int i;

	c.page = memremap(call(HV_CALL_CPU_PAGE, 0, 0, 0, 0, 0), HV_PAGE_BYTES, MEMREMAP_WB);
	for (i = 0; c.page && i < rounds; i++) {
		local_irq_disable();
		one(&c, i / NARROW % 2);
		local_irq_enable();
		cond_resched();
	}
	if (c.page)
		memunmap(c.page);
	if (atomic_dec_and_test(&waiting))
		complete(&over);
	return 0;
}

static void pay(void *unused)
{
	call(HV_CALL_PAY, 0, 0, 0, 0, 0);
}

/* Nothing runs any more. */
static void tidy(void)
{
	struct hv_vm_info *info;
	unsigned int slot;

	migrate_disable();
	info = memremap(call(HV_CALL_CPU_PAGE, 0, 0, 0, 0, 0), HV_PAGE_BYTES, MEMREMAP_WB);
	for (slot = 0; info && !call(HV_CALL_VM_INFO, slot, 0, 0, 0, 0); slot++)
		if (info->handle && !strcmp(info->name, "storm"))
			call(HV_CALL_VM_DESTROY, info->handle, 0, 0, 0, 0);
	if (info)
		memunmap(info);
	migrate_enable();
	on_each_cpu(pay, NULL, true);
	while (call(HV_CALL_POOL_SCRUB, 0, 0, 0, 0, 0) > 0)
		cond_resched();
}

static void tell(void)
{
	static const struct {
		const char *name;
		enum hv_call number;
	} called[] = {
#define X(NAME) {#NAME, HV_CALL_##NAME},
		X(VM_CREATE) X(VM_DESTROY) X(VM_FUND) X(VM_MAP) X(VM_UNMAP) X(POOL_ALLOC)
			X(POOL_FREE) X(VCPU_CREATE) X(VCPU_RUN) X(VCPU_GET) X(VCPU_SET)
				X(VCPU_CPUID) X(VCPU_MSR) X(VCPU_APIC) X(VM_MSI) X(VCPU_NMI)
					X(VCPU_BLOCK) X(VCPU_STATS) X(VM_EOI_EXITS) X(VM_INFO)
						X(OWING) X(POOL_SCRUB) X(PAY)
#undef X
	};
	static char text[512];
	struct seq_buf never;
	unsigned int i, all = 0;

	seq_buf_init(&never, text, sizeof(text) - 1);
	for (i = 0; i < CALLS; i++)
		all += atomic_read(&done[i]);
	for (i = 0; i < ARRAY_SIZE(called); i++)
		if (!atomic_read(&done[called[i].number]))
			seq_buf_printf(&never, " %s", called[i].name);
	pr_info("%d calls, %u done; not once done:%s\n", atomic_read(&made), all, text);
}

static int __init storm_init(void)
{
	struct task_struct *thread;
	unsigned int cpu;

	cpus_read_lock();
	atomic_set(&waiting, 1);
	for_each_online_cpu(cpu)
	{
		thread = kthread_create_on_cpu(storm, NULL, cpu, "storm/%u");
		if (IS_ERR(thread))
			continue;
		atomic_inc(&waiting);
		wake_up_process(thread);
	}
	if (!atomic_dec_and_test(&waiting))
		wait_for_completion(&over);
	cpus_read_unlock();
	tidy();
	tell();
	return -EAGAIN; /* it has done all that it is for: nothing of it stays */
}

module_init(storm_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Hornero's tests: hypercalls on all CPUs at once");
