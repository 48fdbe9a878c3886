// SPDX-License-Identifier: MIT
/*
 * Dispatch of the control domain's hypercalls (abi/hypercall.h).
 */
#pragma once

#include <types.h>

struct cpu;

#define HYPERCALL_ARGS 5

/** Call VCPU_RUN alone, which counts: the vCPU is entered once this has returned 0
 * (virt_vcpu_run()), else that is the result. */
int64_t hypercall_vcpu_run(struct cpu *cpu, uint64_t handle, uint64_t index);

/**
 * Run call @number with @args for the control domain on @cpu; @second is returned in RDX (the
 * caller presets it to what RDX holds). Returns the result for RAX. Every argument is hostile: each
 * call decodes, checks all, then commits. Context: root mode, this CPU, no lock held.
 */
int64_t hypercall_dispatch(struct cpu *cpu, uint64_t number, const uint64_t args[HYPERCALL_ARGS],
			   uint64_t *second);
