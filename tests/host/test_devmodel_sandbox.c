// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/sandbox_filter.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE
/*
 * The program that judges the device model's system calls, run by an interpreter: every number,
 * every request, and arguments that differ in the half that counts or in the other one.
 */
#include "test.h"

#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "sandbox_filter.h"

#define HIGH UINT64_C(0xabcdef0100000000)

static struct sock_filter program[SANDBOX_FILTER_MAX + 1];
static unsigned length, steps;

static void build(void)
{
	memset(program, 0xee, sizeof(program));
	length = sandbox_filter_build(program);
	CHECK(length && length <= SANDBOX_FILTER_MAX);
	CHECK_EQ(program[SANDBOX_FILTER_MAX].code, 0xeeee);
}

static uint32_t run(const struct seccomp_data *data)
{
	uint32_t a = 0;

	steps = 0;
	for (unsigned at = 0; at < length; at++, steps++) {
		const struct sock_filter *f = &program[at];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			CHECK(f->k % 4 == 0 && f->k < sizeof(*data));
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			at += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			CHECK(f->k == SECCOMP_RET_ALLOW || f->k == SECCOMP_RET_KILL_PROCESS);
			return f->k;
		default:
			CHECK(!"an instruction that is not expected");
		}
	}
	CHECK(!"ran off the end");
	return 0;
}

static bool allowed(uint32_t call, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a4)
{
	const struct seccomp_data data = {
		.nr = (int)call, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1, a2, 0, a4, 0}};

	return run(&data) == SECCOMP_RET_ALLOW;
}

static bool in(const uint32_t *list, unsigned n, uint32_t value)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i] == value)
			return true;
	return false;
}

TEST(every_call)
{
	build();
	for (uint32_t call = 0; call < 2048; call++) {
		bool listed = in(sandbox_calls, sandbox_calls_count, call);

		CHECK_EQ(allowed(call, 0, 0, 0, 0), listed);
		CHECK_EQ(allowed(call, HIGH, HIGH, HIGH, HIGH), listed);
		CHECK(!allowed(call | 0x40000000, 0, KVM_RUN, 0, UINT64_MAX)); /* x32 */
		CHECK(!allowed(call | 0x80000000, 0, KVM_RUN, 0, UINT64_MAX));
	}
	CHECK(allowed(SYS_read, 0, 0, 0, 0) && allowed(SYS_exit_group, 0, 0, 0, 0));
	CHECK(!allowed(SYS_open, 0, 0, 0, 0) && !allowed(SYS_execve, 0, 0, 0, 0));
	CHECK(!allowed(SYS_socket, 0, 0, 0, 0) && !allowed(SYS_clone, 0, 0, 0, 0));
}

TEST(other_tables_of_calls)
{
	build();
	for (uint32_t arch = 0; arch < 3; arch++)
		for (int call = 0; call < 512; call++) {
			const uint32_t archs[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0};
			const struct seccomp_data data = {.nr = call, .arch = archs[arch]};

			CHECK_EQ(run(&data), SECCOMP_RET_KILL_PROCESS);
		}
}

TEST(requests)
{
	build();
	for (uint32_t i = 0; i < sandbox_ioctls_count; i++) {
		uint32_t request = sandbox_ioctls[i];

		CHECK(allowed(SYS_ioctl, 3, request, 0, 0));
		CHECK(allowed(SYS_ioctl, 3, HIGH | request, 0, 0)); /* the kernel takes 32 bits */
		for (unsigned bit = 0; bit < 32; bit++)
			CHECK_EQ(allowed(SYS_ioctl, request, request ^ 1u << bit, request, request),
				 in(sandbox_ioctls, sandbox_ioctls_count, request ^ 1u << bit));
	}
	CHECK(!allowed(SYS_ioctl, 0, KVM_CREATE_VM, 0, 0));
	CHECK(!allowed(SYS_ioctl, 0, TIOCSTI, 0, 0));
	CHECK(allowed(SYS_ioctl, 0, KVM_RUN, 0, 0));
	CHECK(steps < 8); /* what each exit pays */
}

TEST(arguments)
{
	build();
	CHECK(allowed(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, UINT32_MAX));
	CHECK(allowed(SYS_mmap, 0, 4096, HIGH, HIGH | UINT32_MAX));
	CHECK(!allowed(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, UINT32_MAX));
	CHECK(!allowed(SYS_mmap, 0, 4096, HIGH | PROT_EXEC, UINT64_MAX));
	CHECK(!allowed(SYS_mmap, 0, 4096, PROT_READ, 3));
	CHECK(!allowed(SYS_mmap, 0, 4096, PROT_READ, 0));
	CHECK(allowed(SYS_prctl, PR_SET_NAME, 0, 0, 0));
	CHECK(!allowed(SYS_prctl, PR_SET_SECCOMP, 0, 0, 0));
	CHECK(!allowed(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0));
}
