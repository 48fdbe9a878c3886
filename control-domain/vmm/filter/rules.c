// SPDX-License-Identifier: MIT
/*
 * The system calls that a running device model makes. Found by reading the code and by running the
 * tests with every call logged; a new one needs a line here and its reason to be obvious. ioctl is
 * allowed by request, prctl only for thread names, mmap only without a file.
 *
 * Runs at build time: libseccomp takes a million instructions for the program that it makes of
 * this, which each VM's start would pay.
 */
#include "rules.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static const int calls[] = {
	/* data */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fallocate),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(getrandom),
	/* connections that are there */
	SCMP_SYS(accept4),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(fcntl),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstat),
	/* waiting */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(restart_syscall),
	/* threads */
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	SCMP_SYS(tgkill),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* malloc */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mprotect),
};

static const unsigned long ioctls[] = {
	KVM_RUN,
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

static int add_rules(scmp_filter_ctx filter)
{
	int error = 0;

	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]) && !error; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	for (unsigned i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]) && !error; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					 SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)ioctls[i]));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
					 SCMP_A0_32(SCMP_CMP_EQ, PR_SET_NAME));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
					 SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
					 SCMP_A4_32(SCMP_CMP_EQ, (uint32_t)-1));
	return error;
}

int sandbox_rules_export(int fd)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error;

	if (!filter)
		return -ENOMEM;
	error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A tree: the kernel looks up each call there is when it takes the filter. */
	if (!error)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!error)
		error = add_rules(filter);
	if (!error)
		error = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	return error;
}
