// SPDX-License-Identifier: MIT
/*
 * ACPI tables for the guest: RSDP, XSDT, FADT (hardware-reduced), MADT, MCFG and the compiled DSDT.
 *
 * Pure: writes tables into guest memory at LAYOUT_ACPI_BASE, where firmware would keep them.
 *
 * Source: ACPI Specification 6.4, 5.2 "ACPI System Description Tables"; PCI Firmware Specification
 * 3.0, 4.1.2 "MCFG Table Description". Read next: dsdt.asl.
 */
#pragma once

#include <stdint.h>

#include "guest_memory.h"

/*
 * Writes the tables for `cpus` processors with local APIC ids 0 .. cpus - 1. Returns the address of
 * the RSDP, or 0 if the memory lacks that range.
 */
uint64_t acpi_write_tables(const struct guest_memory *memory, unsigned cpus);
