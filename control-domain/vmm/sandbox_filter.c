// SPDX-License-Identifier: MIT
/*
 * The system calls that a running device model makes. Found by reading the code and by running the
 * tests with every call logged; a new one needs a line here and its reason to be obvious. ioctl is
 * allowed by request, prctl only for thread names, mmap only without a file.
 *
 * The filter is a program of the kernel's packet filter, put together here: KVM_RUN, which every
 * exit to us passes, is through after a few instructions, and a guest's start does not wait for a
 * compiler of rules. Calls are sorted, and tried a group at a time.
 */
#include "sandbox_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

#define GROUP	    8 /* calls */
#define FIELD(name) ((uint32_t)offsetof(struct seccomp_data, name))
#define LOW(n)	    (FIELD(args) + 8 * (n)) /* the half that these calls look at */

const uint32_t sandbox_calls[] = {
	/* data */
	__NR_read,
	__NR_write,
	__NR_readv,
	__NR_writev,
	__NR_pread64,
	__NR_preadv,
	__NR_pwritev,
	__NR_fdatasync,
	__NR_fallocate,
	__NR_recvfrom,
	__NR_sendto,
	__NR_getrandom,
	/* connections that are there */
	__NR_accept4,
	__NR_close,
	__NR_dup,
	__NR_fcntl,
	__NR_newfstatat,
	__NR_fstat,
	/* waiting */
	__NR_epoll_wait,
	__NR_epoll_pwait,
	__NR_epoll_ctl,
	__NR_poll,
	__NR_timerfd_settime,
	__NR_clock_gettime,
	__NR_gettimeofday,
	__NR_time,
	__NR_restart_syscall,
	/* threads */
	__NR_futex,
	__NR_sched_yield,
	__NR_tgkill,
	__NR_getpid,
	__NR_gettid,
	__NR_rt_sigprocmask,
	__NR_rt_sigreturn,
	__NR_rt_sigaction,
	__NR_set_robust_list,
	__NR_rseq,
	__NR_exit,
	__NR_exit_group,
	/* malloc */
	__NR_brk,
	__NR_munmap,
	__NR_mremap,
	__NR_madvise,
	__NR_mprotect,
};

const uint32_t sandbox_ioctls[] = {
	KVM_RUN, /* first: it is asked for most */
	KVM_CHECK_EXTENSION,
	KVM_SET_GSI_ROUTING,
	KVM_SIGNAL_MSI,
	KVM_IOEVENTFD,
	/* reset: vCPU state */
	KVM_GET_REGS,
	KVM_SET_REGS,
	KVM_GET_SREGS,
	KVM_SET_SREGS,
	KVM_SET_FPU,
	KVM_SET_XSAVE,
	KVM_SET_XCRS,
	KVM_SET_DEBUGREGS,
	KVM_SET_LAPIC,
	KVM_SET_MP_STATE,
	KVM_SET_VCPU_EVENTS,
	KVM_SET_MSRS,
	/* the driver of the guest's network card starts */
	TUNSETOFFLOAD,
	/* our own terminal */
	TCGETS,
	TCSETS,
	TCSETSW,
	TIOCGWINSZ,
};

const unsigned sandbox_calls_count = sizeof(sandbox_calls) / sizeof(sandbox_calls[0]);
const unsigned sandbox_ioctls_count = sizeof(sandbox_ioctls) / sizeof(sandbox_ioctls[0]);

struct program {
	struct sock_filter *insn;
	unsigned length;
};

static void add(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	p->insn[p->length++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void load(struct program *p, uint32_t field)
{
	add(p, BPF_LD | BPF_W | BPF_ABS, field, 0, 0);
}

/* Goes on if the value loaded is @k, else ends the VM. */
static void require(struct program *p, uint32_t k)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, k, 1, 0);
	add(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
}

static void allow(struct program *p)
{
	add(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

/* Ends with one of @n values found, or with none. */
static void one_of(struct program *p, const uint32_t *values, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		add(p, BPF_JMP | BPF_JEQ | BPF_K, values[i], (uint8_t)(n - i), 0);
	add(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	allow(p);
}

/* A call whose arguments count: what is added until call_end() is for it alone. */
static unsigned call_begin(struct program *p, uint32_t call)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 0);
	return p->length;
}

static void call_end(struct program *p, unsigned begin)
{
	p->insn[begin - 1].jf = (uint8_t)(p->length - begin);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

unsigned sandbox_filter_build(struct sock_filter *insn)
{
	const unsigned n = sandbox_calls_count;
	struct program p = {.insn = insn};
	uint32_t sorted[sizeof(sandbox_calls) / sizeof(sandbox_calls[0])];
	unsigned at;

	load(&p, FIELD(arch));
	require(&p, AUDIT_ARCH_X86_64); /* numbers of other tables mean other calls */
	load(&p, FIELD(nr));

	at = call_begin(&p, __NR_ioctl);
	load(&p, LOW(1));
	one_of(&p, sandbox_ioctls, sandbox_ioctls_count);
	call_end(&p, at);

	at = call_begin(&p, __NR_mmap);
	load(&p, LOW(4));
	require(&p, (uint32_t)-1);
	load(&p, LOW(2));
	add(&p, BPF_ALU | BPF_AND | BPF_K, PROT_EXEC, 0, 0);
	require(&p, 0);
	allow(&p);
	call_end(&p, at);

	at = call_begin(&p, __NR_prctl);
	load(&p, LOW(0));
	require(&p, PR_SET_NAME);
	allow(&p);
	call_end(&p, at);

	memcpy(sorted, sandbox_calls, sizeof(sorted));
	qsort(sorted, n, sizeof(sorted[0]), by_value);
	for (unsigned i = 0; i < n; i += GROUP) {
		unsigned size = n - i < GROUP ? n - i : GROUP;

		if (i + size < n) /* the next group is two instructions behind this one's */
			add(&p, BPF_JMP | BPF_JGE | BPF_K, sorted[i + size], (uint8_t)(size + 2),
			    0);
		one_of(&p, sorted + i, size);
	}
	return p.length;
}

int sandbox_close(struct reason *why)
{
	struct sock_filter insn[SANDBOX_FILTER_MAX];
	struct sock_fprog program = {.filter = insn,
				     .len = (unsigned short)sandbox_filter_build(insn)};
	long result;

	/* The kernel asks for this from those without privileges; sandbox_enter() has done it. */
	result = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!result)
		result = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
				 &program);
	if (result > 0)
		return reason_set(why, "sandbox: system call filter: thread %ld has another one",
				  result);
	if (result)
		return reason_set(why, "sandbox: system call filter: %s", strerror(errno));
	return 0;
}
