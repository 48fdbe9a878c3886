// SPDX-License-Identifier: MIT
/*
 * A bounded walk through RSDP, XSDT or RSDT, MADT and FADT.
 *
 * Tables come from the firmware and are believed only after their length and checksum have been
 * looked at; every read goes through a function that knows what memory may be touched. No AML
 * here: that is the control domain's business.
 */
#include <acpi.h>
#include <string.h>
#include <log.h>

#define LOG_TAG		"acpi"
#define MAX_TABLE_BYTES (1 * MIB)
#define MAX_TABLES	256
#define EBDA_POINTER	0x40e
#define BIOS_AREA	0xe0000
#define BIOS_AREA_END	0x100000
#define MADT_FIRST	44
#define MADT_ENABLED	1

enum { MADT_LAPIC = 0, MADT_X2APIC = 9 };

struct __packed rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length; /* from here on: revision 2 */
	uint64_t xsdt;
	uint8_t checksum2, reserved[3];
};
static_assert(sizeof(struct rsdp) == 36, "ACPI");
#define RSDP1_BYTES 20

struct __packed header {
	char signature[4];
	uint32_t length;
	uint8_t rest[28];
};
static_assert(sizeof(struct header) == 36, "ACPI");

struct __packed gas {
	uint8_t space, bits, offset, access;
	uint64_t address;
};

/* Of the FADT, what is used. */
struct __packed fadt {
	struct header header;
	uint8_t unused1[28];
	uint32_t pm1_cnt[2];
	uint8_t unused2[17], pm1_cnt_bytes, unused3[22];
	uint32_t flags;
	struct gas reset;
	uint8_t reset_value, unused4[43];
	struct gas x_pm1_cnt[2];
};
static_assert(offsetof(struct fadt, pm1_cnt_bytes) == 89, "ACPI");
static_assert(offsetof(struct fadt, flags) == 112, "ACPI");
static_assert(offsetof(struct fadt, x_pm1_cnt) == 172, "ACPI");
#define FADT_RESET_SUPPORTED BIT64(10)

static bool sum_is_zero(acpi_read_fn *read, hpa_t pa, uint64_t bytes)
{
	uint8_t byte, sum = 0;

	for (; bytes; bytes--, pa.v++) {
		if (!read(pa, &byte, 1))
			return false;
		sum = (uint8_t)(sum + byte);
	}
	return sum == 0;
}

/* Read and check the header of the table at @pa. */
static bool table_ok(acpi_read_fn *read, hpa_t pa, struct header *h)
{
	return pa.v && read(pa, h, sizeof(*h)) && h->length >= sizeof(*h) &&
	       h->length <= MAX_TABLE_BYTES && sum_is_zero(read, pa, h->length);
}

static bool is_table(const struct header *h, const char *signature)
{
	return !memcmp(h->signature, signature, sizeof(h->signature));
}

static struct acpi_register from_gas(const struct gas *g)
{
	return (struct acpi_register){g->space, g->bits, g->address};
}

/* The extended register, else the old I/O port. */
static struct acpi_register pm1_cnt(const struct fadt *f, int i)
{
	if (f->x_pm1_cnt[i].address)
		return from_gas(&f->x_pm1_cnt[i]);
	return (struct acpi_register){1, (uint8_t)(f->pm1_cnt_bytes * 8), f->pm1_cnt[i]};
}

static bool take_fadt(acpi_read_fn *read, hpa_t pa, uint32_t length, struct acpi_info *out)
{
	struct fadt f = {0}; /* what a short one lacks is 0, that is, absent */

	if (length < offsetof(struct fadt, reset) || !read(pa, &f, min_u64(length, sizeof(f))))
		return false;
	out->fadt = pa;
	out->pm1a_cnt = pm1_cnt(&f, 0);
	out->pm1b_cnt = pm1_cnt(&f, 1);
	if (f.flags & FADT_RESET_SUPPORTED) {
		out->reset = from_gas(&f.reset);
		out->reset_value = f.reset_value;
	}
	return true;
}

static void take_cpu(struct acpi_info *out, uint32_t apic_id, uint32_t flags)
{
	/* online capable without enabled: a socket for a CPU that is not there yet */
	if (!(flags & MADT_ENABLED))
		return;
	for (unsigned int i = 0; i < out->cpus; i++)
		if (out->apic_ids[i] == apic_id)
			return;
	out->more = out->cpus == ACPI_MAX_CPUS;
	if (out->more)
		log_warn("the CPU with APIC id %u is one too many; it is left out", apic_id);
	else
		out->apic_ids[out->cpus++] = apic_id;
}

static void take_madt(acpi_read_fn *read, hpa_t pa, uint32_t length, struct acpi_info *out)
{
	struct __packed {
		uint8_t type, bytes, lapic_uid, lapic_id;
		uint32_t id_or_flags, flags;
	} e;

	out->madt = pa;
	for (uint32_t at = MADT_FIRST; at + 2 <= length; at += e.bytes) {
		memset(&e, 0, sizeof(e));
		if (!read(HPA(pa.v + at), &e, 2) || e.bytes < 2 || e.bytes > length - at ||
		    !read(HPA(pa.v + at), &e, min_u64(e.bytes, sizeof(e))))
			return;
		if (e.type == MADT_LAPIC && e.bytes >= 8 && e.lapic_id != 0xff)
			take_cpu(out, e.lapic_id, e.id_or_flags);
		else if (e.type == MADT_X2APIC && e.bytes >= 16)
			take_cpu(out, e.id_or_flags, e.flags);
	}
}

static void take_table(acpi_read_fn *read, hpa_t pa, struct acpi_info *out)
{
	struct header h = {0};
	bool there = read(pa, &h, sizeof(h));
	bool madt = is_table(&h, "APIC"), fadt = is_table(&h, "FACP");

	if (!there || ((madt || fadt) && !table_ok(read, pa, &h))) {
		log_warn("the ACPI table at %#lx has a wrong length or checksum", pa.v);
		return;
	}
	out->tables++;
	if (madt && !out->madt.v)
		take_madt(read, pa, h.length, out);
	else if (fadt && !out->fadt.v && !take_fadt(read, pa, h.length, out))
		log_warn("the ACPI table FADT at %#lx is too short", pa.v);
}

/* Read and check the root pointer. */
static bool read_rsdp(acpi_read_fn *read, hpa_t pa, struct rsdp *p)
{
	memset(p, 0, sizeof(*p));
	if (!read(pa, p, RSDP1_BYTES) || memcmp(p->signature, "RSD PTR ", 8) != 0 ||
	    !sum_is_zero(read, pa, RSDP1_BYTES))
		return false;
	if (p->revision < 2)
		return true;
	return read(pa, p, sizeof(*p)) && p->length >= sizeof(*p) && p->length <= 4096 &&
	       sum_is_zero(read, pa, p->length);
}

bool acpi_parse(acpi_read_fn *read, hpa_t pa, struct acpi_info *out)
{
	struct rsdp rsdp;
	struct header h;
	const char *name;
	unsigned int pointer;
	hpa_t root;

	memset(out, 0, sizeof(*out));
	if (!pa.v || !read_rsdp(read, pa, &rsdp)) {
		log_warn(pa.v ? "the root pointer at %#lx is broken" : "there is no root pointer",
			 pa.v);
		return false;
	}
	pointer = rsdp.revision >= 2 && rsdp.xsdt ? 8 : 4;
	root = HPA(pointer == 8 ? rsdp.xsdt : rsdp.rsdt);
	name = pointer == 8 ? "XSDT" : "RSDT";
	if (!table_ok(read, root, &h) || !is_table(&h, name)) {
		log_warn("the %s at %#lx is broken", name, root.v);
		return false;
	}
	for (unsigned int i = 0; i < MAX_TABLES && sizeof(h) + (i + 1) * pointer <= h.length; i++) {
		uint64_t table = 0;

		if (read(HPA(root.v + sizeof(h) + i * pointer), &table, pointer) && table)
			take_table(read, HPA(table), out);
	}
	return true;
}

static hpa_t scan(acpi_read_fn *read, uint64_t from, uint64_t to)
{
	struct rsdp p;

	for (uint64_t pa = align_up(from, 16); pa < to; pa += 16) {
		if (read_rsdp(read, HPA(pa), &p))
			return HPA(pa);
	}
	return HPA(0);
}

hpa_t acpi_scan_rsdp(acpi_read_fn *read)
{
	uint16_t segment = 0;
	hpa_t found = HPA(0);

	if (read(HPA(EBDA_POINTER), &segment, sizeof(segment)) && segment >= 0x8000)
		found = scan(read, (uint64_t)segment << 4, ((uint64_t)segment << 4) + KIB);
	return found.v ? found : scan(read, BIOS_AREA, BIOS_AREA_END);
}
