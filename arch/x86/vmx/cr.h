// SPDX-License-Identifier: MIT
/*
 * Writes to CR0 and CR4 that exit, carried out as the processor would.
 */
#pragma once

#include <types.h>

/** Reads the four page-directory-pointer entries at guest-physical @at; false if there is no
 * memory. */
typedef bool pdpte_reader(void *ctx, gpa_t at, uint64_t out[4]);

/** CR0 and CR4 as the guest of the current VMCS sees them. */
uint64_t cr0_read(void);
uint64_t cr4_read(void);

/**
 * The guest of the current VMCS writes @value to CR0. False: #GP(0) is due, and nothing has
 * changed.
 * @owned: bits that stay as the VMCS has them (and read as written).
 * Source: SDM 3A "Control Registers", "Initializing IA-32e Mode"; SDM 3C "Changes to Instruction
 * Behavior".
 */
bool cr0_write(uint64_t value, uint64_t owned, pdpte_reader *read, void *ctx) __must_use;

/** The same for CR4. @allowed: bits that the guest may set. */
bool cr4_write(uint64_t value, uint64_t allowed, pdpte_reader *read, void *ctx) __must_use;
