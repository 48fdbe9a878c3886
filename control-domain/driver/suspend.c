// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever asks Linux to suspend is told why not (suspend.h).
 *
 * Suspend to RAM and hibernation would come back without the hypervisor, which hides both from
 * Linux and refuses the register writes that begin them. What Linux still offers, under the same
 * name `mem`, is suspend to idle: all virtual machines would stand still behind a dark screen.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/notifier.h>
#include <linux/suspend.h>

#include "suspend.h"

static int refuse(struct notifier_block *block, unsigned long event, void *unused)
{
	if (event != PM_SUSPEND_PREPARE && event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	pr_err("suspend is refused: the machine would resume without the hypervisor, or its virtual machines would stand still meanwhile; power off or reboot instead\n");
	return notifier_from_errno(-EOPNOTSUPP);
}

static struct notifier_block block = {.notifier_call = refuse};

int suspend_init(void)
{
	return register_pm_notifier(&block);
}

void suspend_exit(void)
{
	unregister_pm_notifier(&block);
}
