// SPDX-License-Identifier: MIT
/*
 * The guest's physical address map, all of it. Fixed, so that the ACPI tables can be compiled ahead
 * (dsdt.asl repeats the numbers that it needs; acpi.c asserts nothing about them, the boot test
 *does).
 *
 *	0		memory; boot structures of the loaders below 640 KiB
 *	E0000		ACPI tables, in the range where firmware keeps them
 *	FFFF0		code that resets the VM, where firmware has its reset vector
 *	1 MiB		memory, up to 3 GiB
 *	C0000000	window for PCI BARs, 512 MiB
 *	E0000000	PCI configuration space of bus 0 (ECAM), 1 MiB
 *	FEC00000	IOAPIC; FEE00000 local APICs (the hypervisor's)
 *	4 GiB		the rest of the memory
 */
#pragma once

#define LAYOUT_LOW_END	    0xc0000000ull
#define LAYOUT_HIGH_BASE    0x100000000ull
#define LAYOUT_PCI_BASE	    0xc0000000ull
#define LAYOUT_PCI_BYTES    0x20000000ull
#define LAYOUT_ECAM_BASE    0xe0000000ull
#define LAYOUT_ECAM_BYTES   0x100000ull
#define LAYOUT_IOAPIC_BASE  0xfec00000ull
#define LAYOUT_IOAPIC_BYTES 0x1000ull
#define LAYOUT_LAPIC_BASE   0xfee00000ull
#define LAYOUT_TSS_BASE	    0xfffbd000ull /* 3 pages that KVM wants on some Intel CPUs */

#define LAYOUT_ACPI_BASE    0xe0000ull
#define LAYOUT_ACPI_BYTES   0x20000ull
#define LAYOUT_RESET_VECTOR 0xffff0ull
#define LAYOUT_EBDA_BASE    0x9fc00ull
#define LAYOUT_KERNEL_MIN   0x100000ull

/* Boot structures below 640 KiB. */
#define LAYOUT_GDT	     0x500ull
#define LAYOUT_START_INFO    0x6000ull /* PVH start info, or Linux's zero page */
#define LAYOUT_PAGE_TABLES   0x9000ull
#define LAYOUT_CMDLINE	     0x20000ull
#define LAYOUT_CMDLINE_BYTES 0x10000ull

/* Ports. The power block is ours: sleep control (as ACPI defines it) and reset. */
#define PORT_COM1	  0x3f8
#define PORT_CMOS	  0x70
#define PORT_PIT	  0x40 /* absent */
#define PIT_PORTS	  4
#define PORT_I8042	  0x60
#define PORT_POWER	  0x600
#define PORT_POWER_SLEEP  (PORT_POWER + 0)
#define PORT_POWER_STATUS (PORT_POWER + 1)
#define POWER_RESET_VALUE 1
#define PORT_POWER_RESET  (PORT_POWER + 2)

/* Global system interrupts: pins of the IOAPIC, then one for each MSI-X vector. */
#define GSI_COM1	 4
#define GSI_POWER_BUTTON 16
#define GSI_PINS	 24
