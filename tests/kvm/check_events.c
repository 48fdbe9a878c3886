// SPDX-License-Identifier: MIT
/*
 * Checks of what reaches a vCPU from outside and of doorbells that leave it: messages, NMI, irqfd,
 * EOI exits, ioeventfd, the deadline timer, INIT and SIPI.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

void check_interrupts(void)
{
	struct client c;
	int reason;

	client_create(&c, 1, guest_idle);
	expect_io(&c, client_run(&c, 0), false, 1, 0, "APIC enabled");
	expect_rest(&c, "idle guest rests");
	client_msi(&c, 0x42);
	reason = client_run_for(&c, 0, PATIENCE_MS);
	expect_io(&c, reason, false, 1, 1, "msi ends hlt");
	report(client_counter(&c, 0x42) == 1, "msi handled once", "%u", client_counter(&c, 0x42));
	expect_rest(&c, "rests again");
	must(ioctl(c.vcpu[0], KVM_NMI), "KVM_NMI");
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 2, "nmi ends hlt");
	report(client_counter(&c, 2) == 1, "nmi handled once", "%u", client_counter(&c, 2));
	client_destroy(&c);
}

static void *signal_after_start(void *fd)
{
	uint64_t one = 1;

	usleep(20000); /* the vCPU is asleep by then, most likely; both orders must work */
	must(write((int)(intptr_t)fd, &one, sizeof(one)), "eventfd");
	return NULL;
}

void check_irqfd(void)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[2];
	} routing = {
		.head.nr = 2,
		.entry = {{.gsi = 5,
			   .type = KVM_IRQ_ROUTING_MSI,
			   .u.msi = {.address_lo = 0xfee00000, .data = 0x8043}},
			  {.gsi = 30,
			   .type = KVM_IRQ_ROUTING_MSI,
			   .u.msi = {.address_lo = 0xfee00000, .data = 0x40}}},
	};
	int fd = must(eventfd(0, EFD_CLOEXEC), "eventfd");
	struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = 30};
	pthread_t thread;
	struct client c;
	int reason;

	client_create(&c, 1, guest_idle);
	expect_io(&c, client_run(&c, 0), false, 1, 0, "APIC enabled");
	must(ioctl(c.vm, KVM_SET_GSI_ROUTING, &routing), "KVM_SET_GSI_ROUTING");
	must(ioctl(c.vm, KVM_IRQFD, &irqfd), "KVM_IRQFD");
	pthread_create(&thread, NULL, signal_after_start, (void *)(intptr_t)fd);
	reason = client_run_for(&c, 0, PATIENCE_MS);
	pthread_join(thread, NULL);
	expect_io(&c, reason, false, 1, 1, "irqfd wakes a sleeping vCPU");
	report(client_counter(&c, 0x40) == 1, "irqfd's vector", "%u", client_counter(&c, 0x40));

	client_msi(&c, 0x42);
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 2, "edge without EOI exit");
	struct kvm_msi level = {.address_lo = 0xfee00000, .data = 0x8043};
	must(ioctl(c.vm, KVM_SIGNAL_MSI, &level), "KVM_SIGNAL_MSI");
	reason = client_run_for(&c, 0, PATIENCE_MS);
	report(reason == KVM_EXIT_IOAPIC_EOI && c.run[0]->eoi.vector == 0x43,
	       "EOI exit of a level line", "exit %d, vector %x", reason, c.run[0]->eoi.vector);
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 3,
		  "goes on after the EOI exit");

	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	must(ioctl(c.vm, KVM_IRQFD, &irqfd), "KVM_IRQFD deassign");
	must(eventfd_write(fd, 1), "eventfd");
	expect_rest(&c, "no interrupt after deassign");

	eventfd_t unseen;

	irqfd.flags = 0;
	must(eventfd_read(fd, &unseen), "eventfd"); /* or assigning would raise the line */
	must(ioctl(c.vm, KVM_IRQFD, &irqfd), "KVM_IRQFD");
	close(fd);
	expect_rest(&c, "eventfd closed before the irqfd");
	client_destroy(&c);
}

void check_ioeventfd(void)
{
	int memory_fd = must(eventfd(0, EFD_NONBLOCK), "eventfd");
	int port_fd = must(eventfd(0, EFD_NONBLOCK), "eventfd");
	struct kvm_ioeventfd bell = {.addr = DEVICE + 0x40,
				     .len = 4,
				     .fd = memory_fd,
				     .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
				     .datamatch = 7};
	struct kvm_ioeventfd port = {
		.addr = 0x70, .len = 1, .fd = port_fd, .flags = KVM_IOEVENTFD_FLAG_PIO};
	eventfd_t count = 0;
	struct client c;

	client_create(&c, 1, guest_doorbells);
	must(ioctl(c.vm, KVM_IOEVENTFD, &bell), "KVM_IOEVENTFD");
	must(ioctl(c.vm, KVM_IOEVENTFD, &port), "KVM_IOEVENTFD");
	report(ioctl(c.vm, KVM_IOEVENTFD, &port) < 0 && errno == EEXIST, "same doorbell twice",
	       "errno %d", errno);
	expect_mmio(&c, client_run(&c, 0), true, DEVICE + 0x40, 4, 8, "other value exits");
	report(!eventfd_read(memory_fd, &count) && count == 1, "memory doorbell", "%d", (int)count);
	expect_io(&c, client_run(&c, 0), false, 1, 1, "runs on to the end");
	report(c.run[0]->io.port == 0x80, "port doorbell does not exit", "%x", c.run[0]->io.port);
	report(!eventfd_read(port_fd, &count) && count == 1, "port doorbell", "%d", (int)count);
	client_destroy(&c);
	close(memory_fd);
	close(port_fd);
}

static void *run_first(void *client)
{
	return (void *)(intptr_t)client_run(client, 0);
}

/* Unbinds a doorbell that the guest rings without end, and once it exits for it compares what was
 * counted with what the guest counted: the last one exited. */
static void unbind_rung(struct client *c, struct kvm_ioeventfd *bell, bool port)
{
	eventfd_t before = 0, after = 0;
	struct kvm_regs regs;
	pthread_t thread;
	void *reason;
	int fd = bell->fd;

	pthread_create(&thread, NULL, run_first, c);
	report(!eventfd_read(fd, &before) && before, "the rings are seen while the guest runs",
	       "%d", (int)before);
	bell->flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	must(ioctl(c->vm, KVM_IOEVENTFD, bell), "KVM_IOEVENTFD");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	eventfd_read(fd, &after); /* nothing perhaps */
	pthread_join(thread, &reason);
	if (port)
		expect_io(c, (int)(intptr_t)reason, false, 1, 0, "unbound port exits");
	else
		expect_mmio(c, (int)(intptr_t)reason, true, DEVICE + 0x80, 4, 0,
			    "unbound memory exits");
	regs = get_regs(c);
	report(before + after + 1 == (uint32_t)(port ? regs.rcx : regs.rdx),
	       "every ring counted once", "%d + %d of %d", (int)before, (int)after,
	       (int)(port ? regs.rcx : regs.rdx) - 1);
	report(eventfd_read(fd, &after) < 0, "none after it was unbound", "%d", (int)after);
}

void check_rings(void)
{
	struct kvm_ioeventfd port = {.addr = 0x70,
				     .len = 1,
				     .fd = must(eventfd(0, 0), "eventfd"),
				     .flags = KVM_IOEVENTFD_FLAG_PIO};
	struct kvm_ioeventfd bell = {.addr = DEVICE + 0x80, .fd = must(eventfd(0, 0), "eventfd")};
	struct client c;

	client_create(&c, 1, guest_rings);
	must(ioctl(c.vm, KVM_IOEVENTFD, &port), "KVM_IOEVENTFD");
	must(ioctl(c.vm, KVM_IOEVENTFD, &bell), "KVM_IOEVENTFD");
	unbind_rung(&c, &bell, false);
	bell.flags = 0;
	must(ioctl(c.vm, KVM_IOEVENTFD, &bell), "KVM_IOEVENTFD");
	unbind_rung(&c, &port, true);
	client_destroy(&c);
	close(port.fd);
	close(bell.fd);
}

void check_deadline(void)
{
	struct client c;
	struct kvm_regs regs;

	client_create(&c, 1, guest_deadline);
	regs = get_regs(&c);
	regs.rdi = 10000000;
	must(ioctl(c.vcpu[0], KVM_SET_REGS, &regs), "KVM_SET_REGS");
	expect_io(&c, client_run_for(&c, 0, PATIENCE_MS), false, 1, 0x41,
		  "deadline timer ends hlt");
	report(client_counter(&c, 0x41) == 1, "timer handled once", "%u", client_counter(&c, 0x41));
	client_destroy(&c);
}

static void *run_other(void *client)
{
	/* kvm.ko returns EAGAIN when INIT or SIPI arrived. */
	while (client_run(client, 1) == -1 && errno == EAGAIN)
		;
	return NULL;
}

void check_smp(void)
{
	struct client c;
	pthread_t thread;
	int reason;

	client_create(&c, 2, guest_starts_another);
	pthread_create(&thread, NULL, run_other, &c);
	reason = client_run_for(&c, 0, PATIENCE_MS);
	expect_io(&c, reason, false, 1, 0x5a, "INIT and SIPI start the other");
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	client_destroy(&c);
}
