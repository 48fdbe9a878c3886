// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Linux wants from a thread before it may stay in the kernel for another round in the guest:
 * rescheduling, signals, task work, rseq.
 */
#pragma once

#include <linux/types.h>

/* Once, at load. 0 or -ENOMEM. */
int thread_work_init(void);
void thread_work_exit(void);

/* Whether there is some. With interrupts off the answer holds until they are on. */
bool thread_work_pending(void);

/* Does it; may sleep. -EINTR: a signal is pending, go to user space. */
int thread_work_do(void);
