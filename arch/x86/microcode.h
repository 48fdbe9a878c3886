// SPDX-License-Identifier: MIT
/*
 * Microcode updates: the boot module `microcode`, Intel's update files one behind the other.
 *
 * Loaded on every CPU in root mode before VMXON; later it is not allowed
 * (SDM 3C "Microcode Update Facility" in "VMX support for system-level functions"), so the control
 * domain's own attempts are dropped. Format: SDM 3A "Microcode Update Facilities".
 */
#pragma once

#include <types.h>

struct microcode_header {
	uint32_t version, revision, date, signature, checksum, loader, platforms;
	uint32_t data_bytes, total_bytes; /* 0: 2000 and 2048 */
	uint32_t reserved[3];
};
static_assert(sizeof(struct microcode_header) == 48, "as the SDM has it");

struct microcode_cpu {
	uint32_t signature; /* CPUID.1:EAX */
	uint32_t platform;  /* IA32_PLATFORM_ID bits 52:50 */
	uint32_t revision;  /* in use */
};

/**
 * The newest update in @file (of @bytes) that is for @cpu and newer than what it has, or NULL.
 * @wrong: offset of an update that is damaged (size, version, checksum), where the search ended;
 * @bytes if all is well. Pure: compiled into host tests.
 */
const struct microcode_header *microcode_find(const void *file, uint64_t bytes,
					      const struct microcode_cpu *cpu, uint64_t *wrong);

/** Load what is for this CPU out of @file; says in the log what came of it. The file must be mapped
 * and its address a multiple of 16.
 * Context: boot, root mode before VMXON; one hardware thread at a time (takes a lock). */
void microcode_load(const void *file, uint64_t bytes);
