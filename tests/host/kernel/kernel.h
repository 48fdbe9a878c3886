// SPDX-License-Identifier: MIT
/*
 * As much of Linux's headers as control-domain/driver/vcpu_run.c needs to compile for a host test;
 * every header that it and its own headers name is a link to this file. What the functions do is
 * the test's affair.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;
typedef int64_t s64;
typedef int64_t ktime_t;
typedef uint32_t kuid_t;
typedef unsigned long sigset_t_;

#define __user
#define __rcu
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define U64_MAX	      UINT64_MAX
#define KTIME_MAX     INT64_MAX
#define NSEC_PER_MSEC 1000000L
#define EINTR	      4
#define EINVAL	      22
#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif
#ifndef PAGE_MASK
#define PAGE_MASK (~(u64)(PAGE_SIZE - 1))
#endif
#define SIG_SETMASK		 2
#define TASK_INTERRUPTIBLE	 1
#define HRTIMER_MODE_ABS	 0
#define X86_EFLAGS_IF		 0x200
#define pr_err_ratelimited(...)	 ((void)0)
#define pr_info_ratelimited(...) ((void)0)
#define min_t(type, a, b)	 ((type)(a) < (type)(b) ? (type)(a) : (type)(b))

struct kref {
	int count;
};
struct mutex {
	int owner;
};
struct rw_semaphore {
	int owner;
};
typedef struct {
	int owner;
} spinlock_t;
struct list_head {
	struct list_head *next, *prev;
};
struct rcu_head {
	void *next;
};
struct rcuwait {
	void *task;
};
