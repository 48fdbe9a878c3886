// SPDX-License-Identifier: MIT
/* Checks of what a vCPU is besides its registers: MSRs, CPUID, interrupted deliveries, the run
 * page. */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "abi/ioctl.h"

/* Every MSR in the list can be read and its value written back: QEMU insists. */
void check_msr_list(void)
{
	struct {
		struct kvm_msr_list head;
		uint32_t index[1024];
	} list = {.head.nmsrs = 1024};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = {.head.nmsrs = 1};
	uint32_t bad = 0;
	struct client c;

	client_create(&c, 1, guest_idle);
	must(ioctl(c.kvm, KVM_GET_MSR_INDEX_LIST, &list), "KVM_GET_MSR_INDEX_LIST");
	for (uint32_t i = 0; i < list.head.nmsrs && !bad; i++) {
		one.entry = (struct kvm_msr_entry){.index = list.index[i]};
		if (ioctl(c.vcpu[0], KVM_GET_MSRS, &one) != 1 ||
		    ioctl(c.vcpu[0], KVM_SET_MSRS, &one) != 1)
			bad = list.index[i];
	}
	report(!bad, "msr list", "%x cannot be read and written back", bad);
	client_destroy(&c);
}

/* A vCPU whose stack comes and goes. */
struct delivery {
	struct client c;
	uint32_t refused; /* runs that ended because there was no memory for it */
	int other;	  /* a run that ended otherwise */
	bool over;
};

static void *deliver(void *argument)
{
	struct delivery *d = argument;
	struct kvm_run *run = d->c.run[0];

	while (!__atomic_load_n(&d->over, __ATOMIC_SEQ_CST)) {
		int reason = client_run(&d->c, 0);

		if (reason == KVM_EXIT_INTERNAL_ERROR &&
		    run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV)
			__atomic_fetch_add(&d->refused, 1, __ATOMIC_SEQ_CST);
		else if (reason != -1 || errno != EINTR)
			__atomic_store_n(&d->other, reason ? reason : -1, __ATOMIC_SEQ_CST);
		if (d->other)
			break;
	}
	return NULL;
}

/* Waits until *word is no longer `old`. */
static bool changes(const struct delivery *d, const uint32_t *word, uint32_t old)
{
	time_t end = time(NULL) + PATIENCE_MS / 1000;

	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == old)
		if (time(NULL) > end || __atomic_load_n(&d->other, __ATOMIC_SEQ_CST))
			return false;
	return true;
}

/*
 * An NMI whose frame finds no memory is no instruction on a device: the run ends with an error that
 * says so. The NMI is kept: it is delivered, once, when the memory is there.
 */
void check_delivery(void)
{
	const struct kvm_msi nmi = {.address_lo = 0xfee00000, .data = 4 << 8};
	static struct delivery d;
	const uint32_t rounds = 50;
	uint32_t *count, round, refused;
	pthread_t thread;
	void *stack;

	client_create(&d.c, 1, guest_stack_on_device);
	/* AMD's processors, on which KVM is tested, do not tell it what they were doing. */
	if (ioctl(d.c.kvm, KVM_CHECK_EXTENSION, KVM_CAP_HORNERO) <= 0) {
		client_destroy(&d.c);
		return;
	}
	stack = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	count = (uint32_t *)(d.c.memory + COUNTERS) + 0x44;
	expect_io(&d.c, client_run(&d.c, 0), false, 1, 0, "stack on a device");
	pthread_create(&thread, NULL, deliver, &d);
	for (round = 0; round < rounds; round++) {
		refused = __atomic_load_n(&d.refused, __ATOMIC_SEQ_CST);
		must(ioctl(d.c.vm, KVM_SIGNAL_MSI, &nmi), "KVM_SIGNAL_MSI");
		if (!changes(&d, &d.refused, refused))
			break;
		client_region(&d.c, 1, 0xc0000000, 4096, stack, 0);
		if (!changes(&d, count, round))
			break;
		client_region(&d.c, 1, 0xc0000000, 0, stack, 0);
	}
	__atomic_store_n(&d.over, true, __ATOMIC_SEQ_CST);
	d.c.run[0]->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	report(round == rounds && *count == rounds, "NMIs kept until there is a stack",
	       "round %u, %u delivered, %u refused, exit %d", round, *count, d.refused, d.other);
	client_destroy(&d.c);
	munmap(stack, 4096);
}

/* The size of a compacted image follows XCR0: 576 bytes and AVX's 256. */
void check_xsave_size(void)
{
	uint32_t features, bytes;
	struct client c;

	client_create(&c, 1, guest_xsave_size);
	report(client_run(&c, 0) == KVM_EXIT_IO, "leaf 0Dh", "%u", c.run[0]->exit_reason);
	memcpy(&features, (uint8_t *)c.run[0] + c.run[0]->io.data_offset, sizeof(features));
	client_run(&c, 0);
	memcpy(&bytes, (uint8_t *)c.run[0] + c.run[0]->io.data_offset, sizeof(bytes));
	report(!(features & 0xa) || bytes == 832, "compacted image's size", "%x: %u", features,
	       bytes);
	client_destroy(&c);
}

/* Registers through the run page, in the middle of a port read too. */
void check_sync_regs(void)
{
	const uint32_t answer = 0x5a;
	struct kvm_sregs sregs;
	struct client c;

	client_create(&c, 1, guest_ports);
	c.run[0]->kvm_valid_regs = 1ull << 63;
	report(client_run(&c, 0) == -1 && errno == EINVAL, "unknown set of registers", "errno %d",
	       errno);
	c.run[0]->kvm_valid_regs = KVM_SYNC_X86_REGS;
	for (int i = 0; i < 4; i++)
		client_run(&c, 0);
	report(c.run[0]->io.direction == KVM_EXIT_IO_IN &&
		       c.run[0]->s.regs.regs.rip == get_regs(&c).rip,
	       "registers in the run page", "rip %llx", c.run[0]->s.regs.regs.rip);
	answer_io(&c, answer);
	c.run[0]->s.regs.regs.rbx = 0x1234;
	c.run[0]->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	client_run(&c, 0);
	report(c.run[0]->s.regs.regs.rbx == 0x1234 && !c.run[0]->kvm_dirty_regs,
	       "registers from the run page", "rbx %llx", c.run[0]->s.regs.regs.rbx);
	/* Linux's KVM loses the answer where its emulator does the IN. */
	report((get_regs(&c).rsi & 0xff) == answer ||
		       ioctl(c.kvm, KVM_CHECK_EXTENSION, KVM_CAP_HORNERO) <= 0,
	       "the port read was completed", "rsi %llx", get_regs(&c).rsi);
	must(ioctl(c.vcpu[0], KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	report(c.run[0]->apic_base == sregs.apic_base && c.run[0]->apic_base & 0x800,
	       "the run page tells the APIC's base", "%llx", c.run[0]->apic_base);
	sregs.apic_base ^= 0x1000;
	must(ioctl(c.vcpu[0], KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(c.vcpu[0], KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	report((sregs.apic_base & ~0xfffull) == 0xfee01000, "another base is kept", "%llx",
	       sregs.apic_base);
	client_destroy(&c);
}
