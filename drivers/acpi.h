// SPDX-License-Identifier: MIT
/*
 * The few facts of the ACPI tables that a hypervisor needs: CPUs, sleep and reset registers. Pure.
 */
#pragma once

#include <types.h>

/** How the parser reads physical memory: copy @n bytes from @pa; false if that is not possible. */
struct acpi_reader {
	bool (*read)(void *ctx, hpa_t pa, void *to, size_t n);
	void *ctx;
};

/* A register as ACPI's generic address structure gives it. Spaces: 0 memory, 1 I/O port, 2 PCI
 * configuration. */
struct acpi_register {
	uint8_t space, bits;
	uint64_t address; /* 0: absent */
};

struct acpi_info {
	struct acpi_register pm1a_cnt, pm1b_cnt, reset;
	uint8_t reset_value;
	bool reset_supported, hardware_reduced;
	hpa_t madt, fadt;  /* 0: absent */
	unsigned int cpus; /* usable according to the MADT */
	unsigned int tables;
};

/**
 * Parse the tables that hang off the root pointer at @rsdp. False: no usable root; @why (of
 * @why_bytes) says in a sentence what was found. A broken table further down is skipped and named
 * through @warn. Source: ACPI Specification 6.5, "ACPI Software Programming Model" (5.2).
 */
bool acpi_parse(const struct acpi_reader *r, hpa_t rsdp, struct acpi_info *out, char *why,
		size_t why_bytes, void (*warn)(const char *text)) __must_use;

/** Call @each with the x2APIC id of every usable CPU of the MADT, in its order. */
void acpi_each_cpu(const struct acpi_reader *r, const struct acpi_info *info,
		   void (*each)(void *ctx, uint32_t apic_id), void *ctx);

/** Look for the root pointer where a BIOS leaves it; 0 if it is not there. */
hpa_t acpi_scan_rsdp(const struct acpi_reader *r);
