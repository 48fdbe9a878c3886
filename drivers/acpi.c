// SPDX-License-Identifier: MIT
/*
 * A bounded walk through RSDP, XSDT or RSDT, MADT and FADT.
 *
 * Tables come from the firmware and are believed only after their length and checksum have been
 * looked at; every read goes through the reader, which knows what memory may be touched. No AML
 * here: that is the control domain's business.
 */
#include <acpi.h>
#include <stdio.h>
#include <string.h>

#define MAX_TABLE_BYTES (1 * MIB)
#define MAX_TABLES	256
#define EBDA_POINTER	0x40e
#define BIOS_AREA	0xe0000
#define BIOS_AREA_END	0x100000

enum { MADT_LAPIC = 0, MADT_X2APIC = 9 };
enum { MADT_ENABLED = 1, MADT_ONLINE_CAPABLE = 2 };

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
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
};
static_assert(sizeof(struct header) == 36, "ACPI");

/* Offsets in the FADT. */
enum {
	FADT_PM1A_CNT = 64,
	FADT_PM1B_CNT = 68,
	FADT_PM1_CNT_LEN = 89,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_X_PM1A_CNT = 172,
	FADT_X_PM1B_CNT = 184,
	FADT_MAX = 276,
};
enum { FADT_RESET_SUPPORTED = 1 << 10, FADT_HW_REDUCED = 1 << 20 };

static bool sum_is_zero(const struct acpi_reader *r, hpa_t pa, uint64_t bytes)
{
	uint8_t chunk[64], sum = 0;

	while (bytes) {
		size_t n = min_u64(bytes, sizeof(chunk));

		if (!r->read(r->ctx, pa, chunk, n))
			return false;
		for (size_t i = 0; i < n; i++)
			sum = (uint8_t)(sum + chunk[i]);
		pa.v += n;
		bytes -= n;
	}
	return sum == 0;
}

/* Read and check the header of the table at @pa. */
static bool table_ok(const struct acpi_reader *r, hpa_t pa, struct header *h)
{
	return pa.v && r->read(r->ctx, pa, h, sizeof(*h)) && h->length >= sizeof(*h) &&
	       h->length <= MAX_TABLE_BYTES && sum_is_zero(r, pa, h->length);
}

static bool is_table(const struct header *h, const char *signature)
{
	return !memcmp(h->signature, signature, sizeof(h->signature));
}

static uint64_t bytes_at(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

static struct acpi_register gas_at(const uint8_t *p)
{
	return (struct acpi_register){p[0], p[1], bytes_at(p + 4, 8)};
}

/* The extended register if the table has it, else the old I/O port. */
static struct acpi_register pm1(const uint8_t *fadt, uint32_t length, unsigned int old,
				unsigned int ext)
{
	struct acpi_register x = {0};

	if (length >= ext + 12)
		x = gas_at(fadt + ext);
	if (x.address)
		return x;
	return (struct acpi_register){1, (uint8_t)(fadt[FADT_PM1_CNT_LEN] * 8),
				      bytes_at(fadt + old, 4)};
}

static bool take_fadt(const struct acpi_reader *r, hpa_t pa, uint32_t length, struct acpi_info *out)
{
	uint8_t fadt[FADT_MAX] = {0};
	uint32_t flags;

	length = (uint32_t)min_u64(length, sizeof(fadt));
	if (length < FADT_FLAGS + 4 || !r->read(r->ctx, pa, fadt, length))
		return false;
	flags = (uint32_t)bytes_at(fadt + FADT_FLAGS, 4);
	out->fadt = pa;
	out->pm1a_cnt = pm1(fadt, length, FADT_PM1A_CNT, FADT_X_PM1A_CNT);
	out->pm1b_cnt = pm1(fadt, length, FADT_PM1B_CNT, FADT_X_PM1B_CNT);
	out->hardware_reduced = flags & FADT_HW_REDUCED;
	if ((flags & FADT_RESET_SUPPORTED) && length > FADT_RESET_VALUE) {
		out->reset = gas_at(fadt + FADT_RESET_REG);
		out->reset_value = fadt[FADT_RESET_VALUE];
		out->reset_supported = out->reset.address != 0;
	}
	return true;
}

static void count_cpu(void *ctx, uint32_t apic_id)
{
	(void)apic_id;
	++*(unsigned int *)ctx;
}

void acpi_each_cpu(const struct acpi_reader *r, const struct acpi_info *info,
		   void (*each)(void *ctx, uint32_t apic_id), void *ctx)
{
	struct header h;
	uint32_t at = sizeof(h) + 8; /* LAPIC address, flags */

	if (!info->madt.v || !r->read(r->ctx, info->madt, &h, sizeof(h)))
		return;
	while (h.length >= 2 && at <= h.length - 2) {
		uint8_t e[16] = {0};
		uint32_t flags, id;

		if (!r->read(r->ctx, HPA(info->madt.v + at), e, 2) || e[1] < 2 ||
		    e[1] > h.length - at)
			return;
		if (!r->read(r->ctx, HPA(info->madt.v + at), e, min_u64(e[1], sizeof(e))))
			return;
		at += e[1];
		if (e[0] == MADT_LAPIC && e[1] >= 8) {
			id = e[3];
			flags = (uint32_t)bytes_at(e + 4, 4);
			if (id == 0xff)
				continue;
		} else if (e[0] == MADT_X2APIC && e[1] >= 16) {
			id = (uint32_t)bytes_at(e + 4, 4);
			flags = (uint32_t)bytes_at(e + 8, 4);
		} else {
			continue;
		}
		/* online capable without enabled: a socket for a CPU that is not there yet */
		if (flags & MADT_ENABLED)
			each(ctx, id);
	}
}

static void take_table(const struct acpi_reader *r, hpa_t pa, struct acpi_info *out,
		       void (*warn)(const char *))
{
	struct header h;
	char text[96];

	if (!table_ok(r, pa, &h)) {
		snprintf(text, sizeof(text),
			 "the ACPI table at %#lx has a wrong length or checksum",
			 (unsigned long)pa.v);
		warn(text);
		return;
	}
	out->tables++;
	if (is_table(&h, "APIC") && !out->madt.v) {
		out->madt = pa;
		acpi_each_cpu(r, out, count_cpu, &out->cpus);
	} else if (is_table(&h, "FACP") && !out->fadt.v) {
		if (!take_fadt(r, pa, h.length, out))
			warn("the ACPI table FADT is too short");
	}
}

/* Read and check the root pointer. */
static bool read_rsdp(const struct acpi_reader *r, hpa_t pa, struct rsdp *p)
{
	memset(p, 0, sizeof(*p));
	if (!r->read(r->ctx, pa, p, RSDP1_BYTES) || memcmp(p->signature, "RSD PTR ", 8) != 0 ||
	    !sum_is_zero(r, pa, RSDP1_BYTES))
		return false;
	if (p->revision < 2)
		return true;
	return r->read(r->ctx, pa, p, sizeof(*p)) && p->length >= sizeof(*p) && p->length <= 4096 &&
	       sum_is_zero(r, pa, p->length);
}

bool acpi_parse(const struct acpi_reader *r, hpa_t pa, struct acpi_info *out, char *why,
		size_t why_bytes, void (*warn)(const char *text))
{
	struct rsdp rsdp;
	struct header h;
	hpa_t root;
	unsigned int pointer;

	memset(out, 0, sizeof(*out));
	if (!pa.v || !read_rsdp(r, pa, &rsdp)) {
		snprintf(why, why_bytes,
			 pa.v ? "the root pointer at %#lx is broken" : "there is no root pointer",
			 (unsigned long)pa.v);
		return false;
	}
	pointer = rsdp.revision >= 2 && rsdp.xsdt ? 8 : 4;
	root = HPA(pointer == 8 ? rsdp.xsdt : rsdp.rsdt);
	if (!table_ok(r, root, &h) || !is_table(&h, pointer == 8 ? "XSDT" : "RSDT")) {
		snprintf(why, why_bytes, "the %s at %#lx is broken", pointer == 8 ? "XSDT" : "RSDT",
			 (unsigned long)root.v);
		return false;
	}
	for (unsigned int i = 0; i < MAX_TABLES && sizeof(h) + (i + 1) * pointer <= h.length; i++) {
		uint64_t table = 0;

		if (r->read(r->ctx, HPA(root.v + sizeof(h) + i * pointer), &table, pointer) &&
		    table)
			take_table(r, HPA(table), out, warn);
	}
	return true;
}

static hpa_t scan(const struct acpi_reader *r, uint64_t from, uint64_t to)
{
	struct rsdp p;

	for (uint64_t pa = align_up(from, 16); pa < to; pa += 16) {
		if (read_rsdp(r, HPA(pa), &p))
			return HPA(pa);
	}
	return HPA(0);
}

hpa_t acpi_scan_rsdp(const struct acpi_reader *r)
{
	uint16_t segment = 0;
	hpa_t found = HPA(0);

	if (r->read(r->ctx, HPA(EBDA_POINTER), &segment, sizeof(segment)) && segment >= 0x8000)
		found = scan(r, (uint64_t)segment << 4, ((uint64_t)segment << 4) + KIB);
	return found.v ? found : scan(r, BIOS_AREA, BIOS_AREA_END);
}
