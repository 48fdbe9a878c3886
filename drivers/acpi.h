// SPDX-License-Identifier: MIT
/*
 * The few facts of the ACPI tables that a hypervisor needs: CPUs, sleep and reset registers. Pure.
 */
#pragma once

#include <types.h>

#define ACPI_MAX_CPUS 1024

/** How the parser reads physical memory: copy @n bytes from @pa; false if that is not possible. */
typedef bool acpi_read_fn(hpa_t pa, void *to, size_t n);

/* A register as ACPI's generic address structure gives it. Spaces: 0 memory, 1 I/O port, 2 PCI
 * configuration. */
struct acpi_register {
	uint8_t space, bits;
	uint64_t address; /* 0: absent */
};

struct acpi_info {
	struct acpi_register pm1a_cnt, pm1b_cnt, reset;
	uint8_t reset_value;
	hpa_t madt, fadt; /* 0: absent */
	unsigned int tables;
	unsigned int cpus; /* usable according to the MADT, each once */
	bool more;	   /* than apic_ids has room for */
	uint32_t apic_ids[ACPI_MAX_CPUS];
};

/**
 * Parse the tables that hang off the root pointer at @rsdp. False: no usable root. What is broken
 * is named in the log; a table further down is skipped then. Source: ACPI Specification 6.5, "ACPI
 * Software Programming Model" (5.2).
 */
bool acpi_parse(acpi_read_fn *read, hpa_t rsdp, struct acpi_info *out) __must_use;

/** Look for the root pointer where a BIOS leaves it; 0 if it is not there. */
hpa_t acpi_scan_rsdp(acpi_read_fn *read);
