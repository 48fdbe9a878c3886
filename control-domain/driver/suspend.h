/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * No sleep of the whole machine while the hypervisor runs (suspend.c).
 */
#pragma once

/* From here on `echo mem >/sys/power/state` and its like end in EOPNOTSUPP and a line that says
 * why. */
int suspend_init(void);
void suspend_exit(void);
