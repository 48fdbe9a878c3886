// SPDX-License-Identifier: MIT
/* Checks of PIC, IOAPIC and PIT in the kernel: lines, ticks, state. */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

static int set_line(struct client *c, uint32_t line, bool level)
{
	struct kvm_irq_level irq = {.irq = line, .level = level};

	must(ioctl(c->vm, KVM_IRQ_LINE_STATUS, &irq), "KVM_IRQ_LINE_STATUS");
	return irq.status;
}

static void set_rdi(struct client *c, uint64_t value)
{
	struct kvm_regs regs = get_regs(c);

	regs.rdi = value;
	must(ioctl(c->vcpu[0], KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

void check_pic(void)
{
	struct client c;
	int status;

	client_create_chips(&c, 1, guest_pic);
	expect_io(&c, client_run(&c, 0), false, 1, 0, "PIC set up");
	expect_rest(&c, "rests behind the PIC");
	set_line(&c, 2, true);
	set_line(&c, 2, false);
	expect_rest(&c, "masked line");
	status = set_line(&c, 1, true);
	report(status == 1, "line taken", "%d", status);
	set_line(&c, 1, false);
	status = set_line(&c, 1, true);
	report(status == 0, "second edge merged", "%d", status);
	set_line(&c, 1, false);
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 1, "PIC ends hlt");
	report(client_counter(&c, 0x41) == 1, "PIC's vector once", "%u", client_counter(&c, 0x41));
	expect_rest(&c, "rests behind the PIC again");
	client_destroy(&c);

	client_create_chips(&c, 1, guest_pic);
	set_rdi(&c, 1);
	expect_io(&c, client_run(&c, 0), false, 1, 0, "PIT set up");
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 1, "PIT ticks");
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 2, "PIT ticks again");
	report(client_counter(&c, 0x40) >= 2, "PIT's vector", "%u", client_counter(&c, 0x40));
	client_destroy(&c);
}

void check_ioapic(void)
{
	time_t end = time(NULL) + PATIENCE_MS / 1000;
	uint32_t count;
	struct client c;
	int reason;

	client_create_chips(&c, 1, guest_ioapic);
	expect_io(&c, client_run(&c, 0), false, 1, 0, "IOAPIC set up");
	expect_rest(&c, "rests behind the IOAPIC");
	report(set_line(&c, 6, true) == 1, "edge taken", "no");
	set_line(&c, 6, false);
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 1, "edge ends hlt");
	report(client_counter(&c, 0x41) == 1, "edge's vector once", "%u", client_counter(&c, 0x41));
	/*
	 * A level that stays high interrupts again after each EOI, so that nothing else is done.
	 * Not for long: KVM holds a line back that was ended 10,000 times on end.
	 */
	set_line(&c, 5, true);
	do {
		reason = client_run_for(&c, 0, 5);
		count = client_counter(&c, 0x42);
	} while (reason == -1 && errno == EINTR && count <= 1 && time(NULL) < end);
	report(reason == -1 && count > 1, "level repeats", "%d, %u", reason, count);
	set_line(&c, 5, false);
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 2, "level ends");
	report(client_counter(&c, 0x42) <= count + 1, "level ended", "%u",
	       client_counter(&c, 0x42));
	expect_rest(&c, "rests behind the IOAPIC again");
	client_destroy(&c);
}

void check_chip_state(void)
{
	struct kvm_irqchip pic = {.chip_id = KVM_IRQCHIP_PIC_MASTER}, again = pic;
	struct kvm_irqchip ioapic = {.chip_id = KVM_IRQCHIP_IOAPIC};
	struct kvm_pit_state2 pit;
	struct client c;

	client_create_chips(&c, 1, guest_pic);
	report(ioctl(c.vm, KVM_CREATE_IRQCHIP) < 0 && errno == EEXIST, "chips once", "%d", errno);
	set_rdi(&c, 1);
	client_run(&c, 0);
	must(ioctl(c.vm, KVM_GET_IRQCHIP, &pic), "KVM_GET_IRQCHIP");
	report(pic.chip.pic.irq_base == 0x40 && pic.chip.pic.imr == 0xfc, "PIC's state",
	       "base %x, mask %x", pic.chip.pic.irq_base, pic.chip.pic.imr);
	pic.chip.pic.imr = 0xff;
	must(ioctl(c.vm, KVM_SET_IRQCHIP, &pic), "KVM_SET_IRQCHIP");
	must(ioctl(c.vm, KVM_GET_IRQCHIP, &again), "KVM_GET_IRQCHIP");
	report(again.chip.pic.imr == 0xff, "PIC's state set", "mask %x", again.chip.pic.imr);
	must(ioctl(c.vm, KVM_GET_PIT2, &pit), "KVM_GET_PIT2");
	report(pit.channels[0].count == 0x2e9c && pit.channels[0].mode == 2, "PIT's state",
	       "count %x, mode %u", pit.channels[0].count, pit.channels[0].mode);
	must(ioctl(c.vm, KVM_SET_PIT2, &pit), "KVM_SET_PIT2");
	client_destroy(&c);

	client_create_chips(&c, 1, guest_ioapic);
	client_run(&c, 0);
	must(ioctl(c.vm, KVM_GET_IRQCHIP, &ioapic), "KVM_GET_IRQCHIP");
	report((ioapic.chip.ioapic.redirtbl[5].bits & 0x1ffff) == 0x8042, "IOAPIC's state", "%llx",
	       (unsigned long long)ioapic.chip.ioapic.redirtbl[5].bits);
	client_destroy(&c);
}
