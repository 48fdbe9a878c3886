// SPDX-License-Identifier: GPL-2.0-only
/*
 * The thread that has free pool memory zeroed (scrub.h).
 *
 * The hypervisor owns that memory and zeroes it, 128 KiB a call; the thread only lends the time, at
 * the lowest priority. Nothing depends on it: what is still dirty when it is asked for is zeroed
 * then, by the hypervisor, and nothing else is ever handed out.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "hv.h"
#include "scrub.h"

static DECLARE_WAIT_QUEUE_HEAD(wait);
static struct task_struct *thread;
static bool due = true;

static int scrub(void *unused)
{
	set_user_nice(current, MAX_NICE);
	while (!kthread_should_stop()) {
		WRITE_ONCE(due, false); /* before looking: what comes now is seen, or sets it */
		while (hv_call0(HV_CALL_POOL_SCRUB) > 0 && !kthread_should_stop())
			cond_resched();
		wait_event_idle(wait, READ_ONCE(due) || kthread_should_stop());
	}
	return 0;
}

void scrub_wake(void)
{
	WRITE_ONCE(due, true);
	wake_up(&wait);
}

int scrub_init(void)
{
	thread = kthread_run(scrub, NULL, "hornero-scrub");
	if (IS_ERR(thread))
		pr_err("no thread to zero free memory: error %ld\n", PTR_ERR(thread));
	return PTR_ERR_OR_ZERO(thread);
}

void scrub_exit(void)
{
	kthread_stop(thread);
}
