// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/filter/rules.c
// flags: -Icontrol-domain/vmm/filter -D_GNU_SOURCE -Wl,--push-state,--no-as-needed -lseccomp
// -Wl,--pop-state
/*
 * The program that judges the device model's system calls, run by an interpreter: every number,
 * every request, and arguments that differ in the half that counts or in the other one.
 */
#include "test.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "rules.h"

#define HIGH UINT64_C(0xabcdef0100000000)

static struct sock_filter program[BPF_MAXINSNS];
static unsigned length, steps;

static void build(void)
{
	FILE *file = tmpfile();

	CHECK(file != NULL);
	CHECK_EQ(sandbox_rules_export(fileno(file)), 0);
	rewind(file);
	length = (unsigned)fread(program, sizeof(program[0]), BPF_MAXINSNS, file);
	CHECK(length && length < BPF_MAXINSNS);
	fclose(file);
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
		case BPF_JMP | BPF_JGT | BPF_K:
			at += a > f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JA:
			at += f->k;
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

/* What is allowed whatever its arguments, and what a device model that was taken over would want.
 */
TEST(every_call)
{
	static const int wanted[] = {SYS_open,
				     SYS_openat,
				     SYS_execve,
				     SYS_execveat,
				     SYS_socket,
				     SYS_connect,
				     SYS_clone,
				     SYS_clone3,
				     SYS_fork,
				     SYS_ptrace,
				     SYS_kill,
				     SYS_mount,
				     SYS_bpf,
				     SYS_setuid,
				     SYS_unshare,
				     SYS_setns,
				     SYS_mmap,
				     SYS_ioctl,
				     SYS_prctl,
				     SYS_seccomp,
				     SYS_openat2,
				     SYS_io_uring_setup,
				     SYS_process_vm_writev};
	unsigned free = 0;

	build();
	for (uint32_t call = 0; call < 2048; call++) {
		bool listed = allowed(call, 0, 0, 0, 0);

		CHECK_EQ(allowed(call, HIGH, HIGH, HIGH, HIGH), listed);
		CHECK(!allowed(call | 0x40000000, 0, KVM_RUN, 0, UINT32_MAX)); /* x32 */
		CHECK(!allowed(call | 0x80000000, 0, KVM_RUN, 0, UINT32_MAX));
		free += listed;
	}
	CHECK(free > 30 && free < 50);
	CHECK(allowed(SYS_read, 0, 0, 0, 0) && allowed(SYS_exit_group, 0, 0, 0, 0));
	for (unsigned i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		CHECK(!allowed((uint32_t)wanted[i], 0, 0, 0, 0));
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
	unsigned others = 0;

	build();
	CHECK(allowed(SYS_ioctl, 3, KVM_RUN, 0, 0));
	CHECK(steps < 32); /* what each exit pays */
	CHECK(allowed(SYS_ioctl, 3, KVM_SET_GSI_ROUTING, 0, 0) &&
	      allowed(SYS_ioctl, 0, TCGETS, 0, 0));
	for (unsigned bit = 0; bit < 32; bit++)
		others += allowed(SYS_ioctl, KVM_RUN, KVM_RUN ^ 1u << bit, KVM_RUN, KVM_RUN);
	CHECK_EQ(others, 0);
	CHECK(!allowed(SYS_ioctl, 0, KVM_CREATE_VM, 0, 0));
	CHECK(!allowed(SYS_ioctl, 0, KVM_SET_USER_MEMORY_REGION, 0, 0));
	CHECK(!allowed(SYS_ioctl, 0, TIOCSTI, 0, 0));
	CHECK(!allowed(SYS_ioctl, 0, HIGH | KVM_RUN, 0, 0));
}

TEST(arguments)
{
	build();
	CHECK(allowed(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, UINT32_MAX));
	CHECK(!allowed(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, UINT32_MAX));
	CHECK(!allowed(SYS_mmap, 0, 4096, HIGH | PROT_EXEC, UINT32_MAX));
	CHECK(!allowed(SYS_mmap, 0, 4096, PROT_READ, 3));
	CHECK(!allowed(SYS_mmap, 0, 4096, PROT_READ, 0));
	CHECK(allowed(SYS_prctl, PR_SET_NAME, 0, 0, 0));
	CHECK(!allowed(SYS_prctl, PR_SET_SECCOMP, 0, 0, 0));
	CHECK(!allowed(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0));
}
