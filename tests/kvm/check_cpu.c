// SPDX-License-Identifier: MIT
/* Checks of what a vCPU is besides its registers: MSRs, CPUID, the run page. */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

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
	client_destroy(&c);
}
