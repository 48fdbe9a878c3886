// SPDX-License-Identifier: MIT
/*
 * Dispatch of the control domain's hypercalls (abi/hypercall.h).
 */
#pragma once

#include <types.h>

struct cpu;

#define HYPERCALL_ARGS 5

/**
 * Run call @number with @args for the control domain on @cpu; @second is returned in RDX (the
 * caller presets it to what RDX holds). Returns the result for RAX. Every argument is hostile: each
 * call decodes, checks all, then commits. Context: root mode, this CPU, no lock held.
 */
int64_t hypercall_dispatch(struct cpu *cpu, uint64_t number, const uint64_t args[HYPERCALL_ARGS],
			   uint64_t *second);
