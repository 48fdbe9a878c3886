// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/routing.c
/* Which message a line stands for, and whose EOI the IOAPIC wants. */
#include <errno.h>

#include "../../control-domain/driver/routing.h"
#include "test.h"

static struct kvm_irq_routing_entry msi(uint32_t gsi, uint32_t data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {.address_lo = 0xfee01000, .address_hi = 1, .data = data},
	};
}

static struct route table[ROUTING_MAX];

TEST(fill)
{
	struct kvm_irq_routing_entry entries[] = {msi(5, 0x4031), msi(ROUTING_MAX - 1, 7)};

	table[6].valid = true;
	CHECK_EQ(routing_fill(table, entries, 2, false), 0);
	CHECK(table[5].valid && table[ROUTING_MAX - 1].valid && !table[6].valid && !table[0].valid);
	CHECK_EQ(table[5].address, 0x1fee01000);
	CHECK_EQ(table[5].data, 0x4031);
}

TEST(refused)
{
	struct kvm_irq_routing_entry entries[2] = {msi(5, 1), msi(5, 2)};

	CHECK_EQ(routing_fill(table, entries, 2, false), -EINVAL);
	entries[1] = msi(ROUTING_MAX, 2);
	CHECK_EQ(routing_fill(table, entries, 2, false), -EINVAL);
	entries[1] = msi(6, 2);
	entries[1].type = KVM_IRQ_ROUTING_IRQCHIP;
	CHECK_EQ(routing_fill(table, entries, 2, false), -EINVAL);
	entries[1] = msi(6, 2);
	entries[1].flags = KVM_MSI_VALID_DEVID;
	CHECK_EQ(routing_fill(table, entries, 2, false), -EINVAL);
	entries[1].flags = 0;
	CHECK_EQ(routing_fill(table, entries, 2, false), 0);
}

TEST(eoi_vectors)
{
	struct kvm_irq_routing_entry entries[] = {
		msi(0, 0x8020),	 /* level, fixed */
		msi(1, 0x0021),	 /* edge */
		msi(2, 0x81ff),	 /* level, lowest priority */
		msi(3, 0x8423),	 /* level, NMI */
		msi(4, 0x8040),	 /* level */
		msi(24, 0x8041), /* beyond the pins */
	};
	uint64_t vectors[4];

	CHECK_EQ(routing_fill(table, entries, 6, false), 0);
	routing_eoi_vectors(table, 24, vectors);
	CHECK_EQ(vectors[0], 1ull << 0x20);
	CHECK_EQ(vectors[1], 1);
	CHECK_EQ(vectors[2], 0);
	CHECK_EQ(vectors[3], 1ull << 63);
	routing_eoi_vectors(table, 0, vectors);
	CHECK_EQ(vectors[0] | vectors[1] | vectors[2] | vectors[3], 0);
}

static struct kvm_irq_routing_entry pin(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = {.irqchip = chip, .pin = pin},
	};
}

TEST(chips)
{
	struct kvm_irq_routing_entry entries[] = {
		pin(4, KVM_IRQCHIP_PIC_MASTER, 4),
		pin(4, KVM_IRQCHIP_IOAPIC, 4),
		pin(9, KVM_IRQCHIP_PIC_SLAVE, 1),
		pin(0, KVM_IRQCHIP_IOAPIC, 2),
		msi(30, 0x31),
	};

	CHECK_EQ(routing_fill(table, entries, 5, false), -EINVAL);
	CHECK_EQ(routing_fill(table, entries, 5, true), 0);
	CHECK_EQ(table[4].pic, 5);
	CHECK_EQ(table[4].ioapic, 5);
	CHECK_EQ(table[9].pic, 10);
	CHECK_EQ(table[0].ioapic, 3);
	CHECK(!table[4].valid && table[30].valid && !table[30].pic && !route_connected(&table[1]));
}

TEST(chips_refused)
{
	struct kvm_irq_routing_entry entries[] = {pin(4, KVM_IRQCHIP_PIC_MASTER, 4),
						  pin(4, KVM_IRQCHIP_PIC_SLAVE, 4)};

	CHECK_EQ(routing_fill(table, entries, 2, true), -EINVAL);
	entries[1] = pin(5, KVM_IRQCHIP_PIC_SLAVE, 8);
	CHECK_EQ(routing_fill(table, entries, 2, true), -EINVAL);
	entries[1] = pin(5, KVM_IRQCHIP_IOAPIC, 24);
	CHECK_EQ(routing_fill(table, entries, 2, true), -EINVAL);
	entries[1] = pin(5, 3, 0);
	CHECK_EQ(routing_fill(table, entries, 2, true), -EINVAL);
	entries[1] = msi(4, 0x31);
	CHECK_EQ(routing_fill(table, entries, 2, true), -EINVAL);
}

TEST(wired_as_in_a_pc)
{
	routing_default(table);
	CHECK_EQ(table[0].pic, 1);
	CHECK_EQ(table[15].pic, 16);
	CHECK_EQ(table[15].ioapic, 16);
	CHECK_EQ(table[16].pic, 0);
	CHECK_EQ(table[23].ioapic, 24);
	CHECK(!route_connected(&table[24]));
}
