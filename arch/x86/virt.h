// SPDX-License-Identifier: MIT
/*
 * What the vendor-neutral hypervisor (vmm/) may ask of the virtualization hardware.
 *
 * This is the whole border: vmm/ includes this header and nothing below arch/x86/vmx/.
 */
#pragma once

#include <abi/info.h>
#include <types.h>

struct cpu;

/** Flush every translation of this CPU that EPT, VPIDs or our own tables made. */
void virt_flush_all(void);

/** The page that the control domain shares with us on @cpu; its address for the control domain. */
void *virt_call_page(const struct cpu *cpu);

/** Exit statistics of CPU @index. */
const struct hv_cpu_stats *virt_cpu_stats(unsigned int index);

/** Bits of enum hv_feature that this machine has. */
uint64_t virt_features(void);

/** TSC when the control domain was entered first. */
uint64_t virt_control_started(void);
