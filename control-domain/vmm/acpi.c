// SPDX-License-Identifier: MIT
/*
 * Tables are built one after another in a buffer; each is closed by its length and checksum. The
 * buffer is guest memory, written once before the guest runs.
 */
#include "acpi.h"

#include <stddef.h>
#include <string.h>

#include "cmos.h"
#include "layout.h"

extern unsigned char dsdt_aml_code[]; /* from dsdt.asl, by iasl */

#define FADT_NO_VGA	     0x0004
#define FADT_WBINVD	     (1u << 0)
#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_HW_REDUCED	     (1u << 20)
#define SPACE_IO	     1
#define ACCESS_BYTE	     1
#define RESET_VALUE	     1

struct table_head {
	char signature[4];
	uint32_t bytes;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct table_head) == 36, "ACPI table header");

struct generic_address {
	uint8_t space, bits, bit_offset, access;
	uint64_t address;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t bytes;
	uint64_t xsdt;
	uint8_t checksum_all, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "RSDP");

struct fadt {
	struct table_head head;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint8_t fixed_hardware[62]; /* SCI to alarm registers: absent here */
	uint8_t century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct generic_address reset;
	uint8_t reset_value;
	uint16_t arm_flags;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct generic_address x_fixed_hardware[8];
	struct generic_address sleep_control, sleep_status;
	uint64_t hypervisor_vendor;
} __attribute__((packed));
_Static_assert(offsetof(struct fadt, century) == 108, "FADT");
_Static_assert(offsetof(struct fadt, flags) == 112, "FADT");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "FADT");
_Static_assert(sizeof(struct fadt) == 276, "FADT");

struct madt {
	struct table_head head;
	uint32_t lapic, flags;
} __attribute__((packed));

struct madt_lapic {
	uint8_t type, bytes, processor, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, bytes, id, reserved;
	uint32_t address, first_gsi;
} __attribute__((packed));

struct mcfg {
	struct table_head head;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved1;
} __attribute__((packed));

/* Where the next table goes. */
struct builder {
	uint8_t *base;
	size_t used;
};

static void *take(struct builder *builder, size_t bytes)
{
	void *at = builder->base + builder->used;

	builder->used += bytes;
	return at;
}

static uint8_t checksum(const void *data, size_t bytes)
{
	const uint8_t *at = data;
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum + *at++);
	return (uint8_t)-sum;
}

/* Everything since `table` belongs to it: fills in the header, aligns; returns its address. */
static uint64_t close_table(struct builder *builder, struct table_head *table,
			    const char *signature, uint8_t revision)
{
	size_t at = (size_t)((uint8_t *)table - builder->base);

	memcpy(table->signature, signature, 4);
	table->bytes = (uint32_t)(builder->used - at);
	table->revision = revision;
	memcpy(table->oem_id, "HORNER", 6);
	memcpy(table->oem_table_id, "HORNERO ", 8);
	table->oem_revision = 1;
	memcpy(table->creator, "HRNR", 4);
	table->creator_revision = 1;
	table->checksum = checksum(table, table->bytes);
	builder->used = (builder->used + 15) & ~(size_t)15;
	return LAYOUT_ACPI_BASE + at;
}

static uint64_t add_dsdt(struct builder *builder)
{
	uint64_t address = LAYOUT_ACPI_BASE + builder->used;
	uint32_t bytes;

	memcpy(&bytes, dsdt_aml_code + offsetof(struct table_head, bytes), sizeof(bytes));
	memcpy(take(builder, bytes), dsdt_aml_code, bytes);
	builder->used = (builder->used + 15) & ~(size_t)15;
	return address;
}

static struct generic_address port(uint16_t number)
{
	return (struct generic_address){
		.space = SPACE_IO, .bits = 8, .access = ACCESS_BYTE, .address = number};
}

static uint64_t add_fadt(struct builder *builder, uint64_t dsdt)
{
	struct fadt *fadt = take(builder, sizeof(*fadt));

	fadt->dsdt = (uint32_t)dsdt;
	fadt->x_dsdt = dsdt;
	fadt->century = CMOS_CENTURY;
	fadt->boot_flags = FADT_NO_VGA; /* no keyboard controller either: its bit is absent */
	fadt->flags = FADT_WBINVD | FADT_RESET_SUPPORTED | FADT_HW_REDUCED;
	fadt->reset = port(PORT_POWER_RESET);
	fadt->reset_value = POWER_RESET_VALUE;
	fadt->minor = 4;
	fadt->sleep_control = port(PORT_POWER_SLEEP);
	fadt->sleep_status = port(PORT_POWER_STATUS);
	return close_table(builder, &fadt->head, "FACP", 6);
}

static uint64_t add_madt(struct builder *builder, unsigned cpus)
{
	struct madt *madt = take(builder, sizeof(*madt));

	madt->lapic = (uint32_t)LAYOUT_LAPIC_BASE;
	for (unsigned i = 0; i < cpus; i++)
		*(struct madt_lapic *)take(builder, sizeof(struct madt_lapic)) =
			(struct madt_lapic){.type = 0,
					    .bytes = sizeof(struct madt_lapic),
					    .processor = (uint8_t)i,
					    .apic_id = (uint8_t)i,
					    .flags = 1};
	*(struct madt_ioapic *)take(builder, sizeof(struct madt_ioapic)) =
		(struct madt_ioapic){.type = 1,
				     .bytes = sizeof(struct madt_ioapic),
				     .address = (uint32_t)LAYOUT_IOAPIC_BASE};
	return close_table(builder, &madt->head, "APIC", 5);
}

static uint64_t add_mcfg(struct builder *builder)
{
	struct mcfg *mcfg = take(builder, sizeof(*mcfg));

	mcfg->base = LAYOUT_ECAM_BASE;
	return close_table(builder, &mcfg->head, "MCFG", 1);
}

uint64_t acpi_write_tables(const struct guest_memory *memory, unsigned cpus)
{
	struct builder builder = {
		.base = guest_memory_at(memory, LAYOUT_ACPI_BASE, LAYOUT_ACPI_BYTES)};

	if (!builder.base)
		return 0;
	memset(builder.base, 0, LAYOUT_ACPI_BYTES);

	struct rsdp *rsdp = take(&builder, sizeof(*rsdp));

	builder.used = (builder.used + 15) & ~(size_t)15;
	const uint64_t tables[] = {
		add_fadt(&builder, add_dsdt(&builder)),
		add_madt(&builder, cpus),
		add_mcfg(&builder),
	};
	struct table_head *xsdt = take(&builder, sizeof(*xsdt));

	memcpy(take(&builder, sizeof(tables)), tables, sizeof(tables));
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "HORNER", 6);
	rsdp->revision = 2;
	rsdp->bytes = sizeof(*rsdp);
	rsdp->xsdt = close_table(&builder, xsdt, "XSDT", 1);
	rsdp->checksum = checksum(rsdp, offsetof(struct rsdp, bytes));
	rsdp->checksum_all = checksum(rsdp, sizeof(*rsdp));
	return LAYOUT_ACPI_BASE;
}
