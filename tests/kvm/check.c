// SPDX-License-Identifier: MIT
/*
 * Checks of the KVM API as the driver offers it, from outside: run as "kvm-check [NAME]...".
 * Reading order: check.h, guest.S, then the table at the end of this file.
 */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/ioctl.h"

static unsigned int failed, passed;

bool report(bool ok, const char *name, const char *format, ...)
{
	va_list arguments;

	printf(ok ? "ok %s" : "FAIL %s: ", name);
	if (!ok) {
		va_start(arguments, format);
		vprintf(format, arguments);
		va_end(arguments);
	}
	puts("");
	fflush(stdout);
	ok ? passed++ : failed++;
	return ok;
}

bool expect_exit(struct client *c, int reason, int wanted, const char *name)
{
	return report(
		reason == wanted, name, "exit %d (errno %d, suberror %d), not %d", reason, errno,
		reason == KVM_EXIT_INTERNAL_ERROR ? (int)c->run[0]->internal.suberror : 0, wanted);
}

bool expect_io(struct client *c, int reason, bool in, unsigned int bytes, uint32_t data,
	       const char *name)
{
	struct kvm_run *run = c->run[0];
	uint32_t got = 0;

	if (reason != KVM_EXIT_IO)
		return expect_exit(c, reason, KVM_EXIT_IO, name);
	if (!in)
		memcpy(&got, (uint8_t *)run + run->io.data_offset, bytes);
	return report(run->io.direction == (in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT) &&
			      run->io.size == bytes && run->io.count == 1 && (in || got == data),
		      name, "direction %d, %u bytes, count %u, data %x", run->io.direction,
		      run->io.size, run->io.count, got);
}

void answer_io(struct client *c, uint32_t data)
{
	memcpy((uint8_t *)c->run[0] + c->run[0]->io.data_offset, &data, c->run[0]->io.size);
}

struct kvm_regs get_regs(struct client *c)
{
	struct kvm_regs regs;

	must(ioctl(c->vcpu[0], KVM_GET_REGS, &regs), "KVM_GET_REGS");
	return regs;
}

/* The guest has to be at rest: running it for a moment ends by the signal. */
void expect_rest(struct client *c, const char *name)
{
	int reason = client_run_for(c, 0, 20);

	report(reason == -1 && errno == EINTR && c->run[0]->exit_reason == KVM_EXIT_INTR, name,
	       "result %d, errno %d, exit %u", reason, errno, c->run[0]->exit_reason);
}

static void check_ports(void)
{
	struct client c;

	client_create(&c, 1, guest_ports);
	expect_io(&c, client_run(&c, 0), false, 1, 0x78, "outb");
	expect_io(&c, client_run(&c, 0), false, 2, 0x5678, "outw");
	expect_io(&c, client_run(&c, 0), false, 4, 0x12345678, "outl");
	expect_io(&c, client_run(&c, 0), true, 1, 0, "inb");
	answer_io(&c, 0xaa);
	expect_io(&c, client_run(&c, 0), true, 2, 0, "inw");
	answer_io(&c, 0xbbcc);
	expect_io(&c, client_run(&c, 0), true, 4, 0, "inl");
	answer_io(&c, 0xdeadbeef);
	expect_rest(&c, "halts after ports");
	struct kvm_regs regs = get_regs(&c);
	report(regs.rsi == 0x123456aa, "inb merges", "rsi %llx", regs.rsi);
	report(regs.rdi == 0x1234bbcc, "inw merges", "rdi %llx", regs.rdi);
	report(regs.rax == 0xdeadbeef, "inl replaces", "rax %llx", regs.rax);
	client_destroy(&c);
}

bool expect_mmio(struct client *c, int reason, bool write, uint64_t address, unsigned int bytes,
		 uint64_t data, const char *name)
{
	struct kvm_run *run = c->run[0];
	uint64_t got = 0;

	if (reason != KVM_EXIT_MMIO)
		return expect_exit(c, reason, KVM_EXIT_MMIO, name);
	memcpy(&got, run->mmio.data, bytes);
	return report(run->mmio.is_write == write && run->mmio.phys_addr == address &&
			      run->mmio.len == bytes && (!write || got == data),
		      name, "write %d at %llx, %u bytes, data %llx", run->mmio.is_write,
		      run->mmio.phys_addr, run->mmio.len, (unsigned long long)got);
}

/* An instruction on two pages, cut at each of its bytes. */
static void check_mmio_edge(void)
{
	static const uint8_t code[] = {0xc7, 0x83, 0x10, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0xf4};
	const unsigned int edge = 0x7000, length = sizeof(code) - 1; /* movl ..., 0x10(%ebx); hlt */
	struct kvm_regs regs;
	struct client c;

	client_create(&c, 1, guest_mmio);
	for (unsigned int before = 1; before < length; before++) {
		memcpy(c.memory + edge - before, code, sizeof(code));
		regs = get_regs(&c);
		regs.rbx = DEVICE;
		regs.rip = edge - before;
		must(ioctl(c.vcpu[0], KVM_SET_REGS, &regs), "KVM_SET_REGS");
		expect_mmio(&c, client_run(&c, 0), true, DEVICE + 0x10, 4, 0x11223344,
			    "mmio write across pages");
		c.run[0]->immediate_exit = 1;
		client_run(&c, 0); /* finishes it, and goes no further */
		c.run[0]->immediate_exit = 0;
		regs = get_regs(&c);
		report(regs.rip == edge - before + length, "and the next instruction", "RIP %llx",
		       regs.rip);
	}
	client_destroy(&c);
}

static void answer_mmio(struct client *c, uint64_t data)
{
	memcpy(c->run[0]->mmio.data, &data, sizeof(data));
}

static void check_mmio(void)
{
	struct client c;

	client_create(&c, 1, guest_mmio);
	expect_mmio(&c, client_run(&c, 0), true, DEVICE, 4, 0xa1b2c3d4, "mmio write");
	expect_mmio(&c, client_run(&c, 0), false, DEVICE + 5, 1, 0, "mmio read of a byte");
	answer_mmio(&c, 0x11);
	expect_mmio(&c, client_run(&c, 0), false, DEVICE + 6, 2, 0, "mmio read, extended");
	answer_mmio(&c, 0x8877);
	expect_mmio(&c, client_run(&c, 0), false, DEVICE + 8, 4, 0, "or reads");
	answer_mmio(&c, 0x80000001);
	expect_mmio(&c, client_run(&c, 0), true, DEVICE + 8, 4, 0x800000f1, "or writes");
	expect_rest(&c, "halts after mmio");
	struct kvm_regs regs = get_regs(&c);
	report((regs.rax & 0xff) == 0x11, "byte arrives", "rax %llx", regs.rax);
	report(regs.rcx == 0x8877, "word is extended", "rcx %llx", regs.rcx);
	report((regs.rsi & 0xc5) == 0x80, "or sets flags", "flags %llx", regs.rsi);
	client_destroy(&c);
}

/* Runs until something else than the port access expected; gathers or feeds `count` items. */
static unsigned int serve_string(struct client *c, int *reason, bool in, uint8_t *bytes,
				 unsigned int count)
{
	struct kvm_run *run = c->run[0];
	unsigned int done = 0, n;

	while (*reason == KVM_EXIT_IO &&
	       run->io.direction == (in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT) && done < count) {
		n = run->io.size * run->io.count;
		if (in)
			memcpy((uint8_t *)run + run->io.data_offset, bytes + done, n);
		else
			memcpy(bytes + done, (uint8_t *)run + run->io.data_offset, n);
		done += n;
		*reason = client_run(c, 0);
	}
	return done;
}

static void check_stack(void)
{
	struct client c;

	client_create(&c, 1, guest_stack);
	expect_mmio(&c, client_run(&c, 0), false, DEVICE, 4, 0, "push from a device");
	answer_mmio(&c, 0x11223344);
	expect_mmio(&c, client_run(&c, 0), true, DEVICE + 4, 4, 0x55667788, "pop to a device");
	expect_rest(&c, "halts after push and pop");
	struct kvm_regs regs = get_regs(&c);
	report(regs.rsi == 0x11223344, "pushed what the device said", "rsi %llx", regs.rsi);
	report(regs.rdi == STACK && regs.rsp == STACK, "stack pointer back", "rdi %llx, rsp %llx",
	       regs.rdi, regs.rsp);
	client_destroy(&c);
}

static void check_strings(void)
{
	uint8_t out[16] = {0}, in[12] = "abcdefghijkl";
	struct client c;
	int reason;

	client_create(&c, 1, guest_strings);
	reason = client_run(&c, 0);
	unsigned int sent = serve_string(&c, &reason, false, out, 5);
	report(sent == 5 && !memcmp(out, "hello", 5), "rep outsb", "%u bytes: %.16s", sent, out);
	unsigned int taken = serve_string(&c, &reason, true, in, 12);
	report(taken == 12, "rep insl asks", "%u bytes", taken);
	report(!memcmp(c.memory + 0x5000, in, 12), "rep insl stores", "%.12s", c.memory + 0x5000);
	expect_mmio(&c, reason, true, DEVICE + 0x100, 4, 0x64636261, "rep movsl to a device");
	expect_mmio(&c, client_run(&c, 0), true, DEVICE + 0x104, 4, 0x68676665, "and its second");
	expect_rest(&c, "halts after strings");
	client_destroy(&c);
}

static void check_immediate_exit(void)
{
	struct client c;
	int reason;

	client_create(&c, 1, guest_ports);
	c.run[0]->immediate_exit = 1;
	reason = client_run(&c, 0);
	report(reason == -1 && errno == EINTR, "immediate exit", "%d, errno %d", reason, errno);
	c.run[0]->immediate_exit = 0;
	for (int i = 0; i < 4; i++)
		reason = client_run(&c, 0);
	expect_io(&c, reason, true, 1, 0, "inb pending");
	answer_io(&c, 0x55);
	c.run[0]->immediate_exit = 1;
	reason = client_run(&c, 0);
	struct kvm_regs regs = get_regs(&c);
	report(reason == -1 && errno == EINTR && (regs.rax & 0xff) == 0x55,
	       "immediate exit completes the port read", "%d, errno %d, rax %llx", reason, errno,
	       regs.rax);
	client_destroy(&c);
}

static void check_spin(void)
{
	struct client c;
	int reason;

	client_create(&c, 1, guest_spin);
	reason = client_run_for(&c, 0, 50);
	report(reason == -1 && errno == EINTR, "spinning guest is interrupted", "%d, errno %d",
	       reason, errno);
	client_destroy(&c);
}

static void *run_second(void *client)
{
	while (client_run(client, 0) == -1 && errno == EINTR)
		;
	return NULL;
}

/* A region comes, goes and moves under a running vCPU. */
static void check_regions(void)
{
	const uint64_t page = 4096;
	struct client c;
	pthread_t thread;
	int reason;

	client_create(&c, 1, guest_writer);
	uint8_t *extra =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint32_t *count = (volatile uint32_t *)(c.memory + 0x400000);

	do {
		reason = client_run_for(&c, 0, 20);
	} while (reason == -1 && !*count);
	report(reason == -1, "writes before", "%d, count %u", reason, *count);
	client_region(&c, 0, 0, 0, NULL, 0);
	client_region(&c, 0, 0, 0x400000, c.memory, 0);
	reason = client_run(&c, 0);
	expect_mmio(&c, reason, false, 0x400000, 4, 0, "memory taken away is a device");
	answer_mmio(&c, 41);
	expect_mmio(&c, client_run(&c, 0), true, 0x400000, 4, 42, "and written as one");
	client_region(&c, 1, 0x400000, page, extra, 0);
	do {
		reason = client_run_for(&c, 0, 20);
	} while (reason == -1 && !*(volatile uint32_t *)extra);
	report(reason == -1, "new memory under the old address", "%d", reason);
	pthread_create(&thread, NULL, run_second, &c);
	uint32_t before = *(volatile uint32_t *)extra;
	while (*(volatile uint32_t *)extra == before)
		;
	c.memory[0x4000] = 1;
	pthread_join(thread, NULL);
	expect_io(&c, (int)c.run[0]->exit_reason, false, 1, 0, "the guest saw the flag");
	client_destroy(&c);
	munmap(extra, 2 * page);
}

static void check_readonly(void)
{
	struct client c;
	int reason;

	client_create(&c, 1, guest_writer);
	client_region(&c, 0, 0, 0, NULL, 0);
	client_region(&c, 0, 0, 0x400000, c.memory, 0);
	client_region(&c, 1, 0x400000, 4096, c.memory + 0x400000, KVM_MEM_READONLY);
	*(uint32_t *)(c.memory + 0x400000) = 7;
	reason = client_run(&c, 0);
	expect_mmio(&c, reason, true, 0x400000, 4, 8, "write to read-only memory exits");
	report(c.memory[0x400000] == 7, "and changes nothing", "%u", c.memory[0x400000]);
	client_destroy(&c);
}

static void check_shutdown(void)
{
	struct client c;

	client_create(&c, 1, guest_shutdown);
	expect_exit(&c, client_run(&c, 0), KVM_EXIT_SHUTDOWN, "triple fault");
	client_destroy(&c);
}

static void nothing(int signal)
{
	(void)signal;
}

static void round_trip(struct client *c, unsigned long get, unsigned long set, const char *name)
{
	static uint8_t first[8192], second[8192];

	memset(first, 0, sizeof(first));
	memset(second, 0, sizeof(second));
	must(ioctl(c->vcpu[0], get, first), name);
	memcpy(second, first, sizeof(first));
	if (!report(!ioctl(c->vcpu[0], set, second), name, "set: errno %d", errno))
		return;
	memset(second, 0, sizeof(second));
	must(ioctl(c->vcpu[0], get, second), name);
	report(!memcmp(first, second, sizeof(first)), name, "changed by setting it");
}

static void check_state(void)
{
	struct kvm_fpu fpu = {.fcw = 0x27f, .mxcsr = 0x1f80, .xmm = {[3] = {1, 2, 3}}}, back;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[2];
	} msrs = {.head.nmsrs = 2,
		  .entry = {{.index = 0x174, .data = 0x10}, {.index = 0xc0000082, .data = 0x1234}}};
	struct client c;
	int done;

	client_create(&c, 1, guest_idle);
	round_trip(&c, KVM_GET_REGS, KVM_SET_REGS, "regs");
	round_trip(&c, KVM_GET_SREGS, KVM_SET_SREGS, "sregs");
	round_trip(&c, KVM_GET_FPU, KVM_SET_FPU, "fpu");
	round_trip(&c, KVM_GET_XSAVE, KVM_SET_XSAVE, "xsave");
	round_trip(&c, KVM_GET_XCRS, KVM_SET_XCRS, "xcrs");
	round_trip(&c, KVM_GET_LAPIC, KVM_SET_LAPIC, "lapic");
	round_trip(&c, KVM_GET_MP_STATE, KVM_SET_MP_STATE, "mp state");
	round_trip(&c, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, "debug registers");
	must(ioctl(c.vcpu[0], KVM_SET_FPU, &fpu), "KVM_SET_FPU");
	must(ioctl(c.vcpu[0], KVM_GET_FPU, &back), "KVM_GET_FPU");
	report(!memcmp(fpu.xmm, back.xmm, sizeof(fpu.xmm)) && back.fcw == 0x27f, "fpu values",
	       "xmm3 %x, fcw %x", back.xmm[3][0], back.fcw);
	done = ioctl(c.vcpu[0], KVM_SET_MSRS, &msrs);
	report(done == 2, "set msrs", "%d", done);
	msrs.entry[0].data = msrs.entry[1].data = 0;
	done = ioctl(c.vcpu[0], KVM_GET_MSRS, &msrs);
	report(done == 2 && msrs.entry[0].data == 0x10 && msrs.entry[1].data == 0x1234, "get msrs",
	       "%d: %llx %llx", done, msrs.entry[0].data, msrs.entry[1].data);
	report(ioctl(c.vcpu[0], KVM_RUN, 1) < 0 && errno == EINVAL, "KVM_RUN wants no argument",
	       "errno %d", errno);
	client_destroy(&c);
}

/* Processes that die with a VM running leave nothing that hinders the next. */
static void check_killed(void)
{
	struct client c;
	int status, i;

	for (i = 0; i < 20; i++) {
		pid_t child = fork();

		if (!child) {
			client_create(&c, 2, guest_spin);
			signal(SIGALRM, SIG_DFL); /* first, or the one signal may be lost */
			ualarm(1000 + 3000 * i, 0);
			client_run(&c, 0);
			_exit(0);
		}
		waitpid(child, &status, 0);
		if (!WIFSIGNALED(status))
			break;
	}
	report(i == 20, "killed processes", "round %d: status %x", i, status);
	client_create(&c, 2, guest_idle);
	expect_io(&c, client_run(&c, 0), false, 1, 0, "a VM after them");
	client_destroy(&c);
}

/* A task register that no processor with VT-x enters with. Linux's KVM need not refuse it. */
static void check_refused(void)
{
	struct kvm_sregs sregs;
	struct client c;

	client_create(&c, 1, guest_idle);
	must(ioctl(c.vcpu[0], KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.tr.type = 1;
	must(ioctl(c.vcpu[0], KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	expect_exit(&c, client_run(&c, 0), KVM_EXIT_FAIL_ENTRY, "refused entry");
	client_destroy(&c);
}

static const struct {
	const char *name;
	void (*run)(void);
} checks[] = {
	{"ports", check_ports},
	{"mmio", check_mmio},
	{"mmio-edge", check_mmio_edge},
	{"stack", check_stack},
	{"strings", check_strings},
	{"immediate", check_immediate_exit},
	{"spin", check_spin},
	{"interrupts", check_interrupts},
	{"irqfd", check_irqfd},
	{"ioeventfd", check_ioeventfd},
	{"regions", check_regions},
	{"readonly", check_readonly},
	{"shutdown", check_shutdown},
	{"deadline", check_deadline},
	{"smp", check_smp},
	{"state", check_state},
	{"msrs", check_msr_list},
	{"pic", check_pic},
	{"ioapic", check_ioapic},
	{"chips", check_chip_state},
	{"delivery", check_delivery},
	{"xsave", check_xsave_size},
	{"sync", check_sync_regs},
	{"killed", check_killed},
	{"pool", check_pool},
	{"stats", check_stats},
	{"keep", check_keep},
	{"dirty", check_dirty},
	{"dirty-by-hand", check_dirty_by_hand},
	{"rings", check_rings},
};

static bool wanted(int count, char **names, const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return true;
	return !count;
}

int main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = nothing};

	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (unsigned int i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (!wanted(argc - 1, argv + 1, checks[i].name))
			continue;
		printf("-- %s\n", checks[i].name);
		checks[i].run();
	}
	if (argc > 1 && wanted(argc - 1, argv + 1, "refused"))
		check_refused(); /* by name only */
	if (argc > 1 && wanted(argc - 1, argv + 1, "leave"))
		check_leave(); /* by name only: somebody has to end that VM */
	printf("%u ok, %u failed\n", passed, failed);
	return failed || !passed;
}
