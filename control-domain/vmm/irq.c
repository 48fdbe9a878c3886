// SPDX-License-Identifier: MIT
/*
 * Routing table and interrupt sources. The kernel takes only whole tables, so a change rebuilds it
 * from the array; guests change routes while they configure devices, and hardly afterwards.
 */
#include "irq.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "layout.h"
#include "say.h"

void irq_init(struct irq *irq, const struct kvm *kvm)
{
	irq->kvm = kvm;
	irq->count = GSI_PINS;
	pthread_mutex_init(&irq->lock, NULL);
	for (unsigned i = 0; i < IRQ_ROUTES_MAX; i++)
		irq->route[i] = (struct irq_route){.event_fd = -1};
}

int irq_add(struct irq *irq, struct reason *why)
{
	if (irq->count == IRQ_ROUTES_MAX)
		return reason_set(why, "too many devices: %d interrupt vectors at most",
				  IRQ_ROUTES_MAX - GSI_PINS);
	unsigned gsi = irq->count;

	if (irq->kvm->irqfd) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		struct kvm_irqfd request = {.fd = (uint32_t)fd, .gsi = gsi};

		if (fd < 0 || ioctl(irq->kvm->vm_fd, KVM_IRQFD, &request))
			return reason_set(why, "/dev/kvm: KVM_IRQFD for interrupt %u: %s", gsi,
					  strerror(errno));
		irq->route[gsi].event_fd = fd;
	}
	irq->count++;
	return (int)gsi;
}

static void commit_table_locked(struct irq *irq)
{
	static struct say_limit limit;
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[IRQ_ROUTES_MAX];
	} table = {0};

	for (unsigned gsi = 0; gsi < irq->count; gsi++) {
		const struct irq_route *route = &irq->route[gsi];

		if (!route->used)
			continue;
		table.head.entries[table.head.nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = (uint32_t)route->address,
				  .address_hi = (uint32_t)(route->address >> 32),
				  .data = route->data},
		};
	}
	if (ioctl(irq->kvm->vm_fd, KVM_SET_GSI_ROUTING, &table))
		say_limited(&limit, "KVM_SET_GSI_ROUTING: %s", strerror(errno));
}

void irq_set_message(struct irq *irq, unsigned gsi, bool used, uint64_t address, uint32_t data)
{
	struct irq_route *route = &irq->route[gsi];

	pthread_mutex_lock(&irq->lock);
	if (route->used != used || route->address != address || route->data != data) {
		route->used = used;
		route->address = address;
		route->data = data;
		commit_table_locked(irq);
	}
	pthread_mutex_unlock(&irq->lock);
}

void irq_raise(struct irq *irq, unsigned gsi)
{
	const struct irq_route *route = &irq->route[gsi];
	uint64_t one = 1;

	if (route->event_fd >= 0) {
		/* Fails only when 2^64 - 1 raises are pending: then one more says nothing new. */
		if (write(route->event_fd, &one, sizeof(one)) == sizeof(one))
			return;
		return;
	}
	pthread_mutex_lock(&irq->lock);
	bool used = route->used;
	uint64_t address = route->address;
	uint32_t data = route->data;
	pthread_mutex_unlock(&irq->lock);
	if (used)
		irq_send(irq, address, data);
}

void irq_send(struct irq *irq, uint64_t address, uint32_t data)
{
	static struct say_limit limit;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)address,
		.address_hi = (uint32_t)(address >> 32),
		.data = data,
	};

	if (ioctl(irq->kvm->vm_fd, KVM_SIGNAL_MSI, &msi) < 0)
		say_limited(&limit, "interrupt to address 0x%llx, data 0x%x: %s",
			    (unsigned long long)address, data, strerror(errno));
}
