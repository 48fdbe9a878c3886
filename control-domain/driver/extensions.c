// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CHECK_EXTENSION: what this driver offers of the KVM API, one row each.
 *
 * A capability that is shown works whole; one that works in part is not shown. Not here, for
 * example: dirty rings, SMM, nesting, KVM_CAP_REINJECT_CONTROL (lost PIT ticks stay lost).
 */
#include <linux/kernel.h>
#include <linux/kvm.h>

#include "abi/ioctl.h"

#include "vm.h"

static const struct {
	u32 extension;
	int value;
} extensions[] = {
	{KVM_CAP_USER_MEMORY, 1},
	{KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1},
	{KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1},
	{KVM_CAP_READONLY_MEM, 1},
	{KVM_CAP_NR_MEMSLOTS, REGION_SLOTS},
	{KVM_CAP_SET_TSS_ADDR, 1},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, 1},
	{KVM_CAP_EXT_CPUID, 1},
	{KVM_CAP_MP_STATE, 1},
	{KVM_CAP_IRQ_ROUTING, ROUTING_MAX},
	{KVM_CAP_SPLIT_IRQCHIP, 1},
	{KVM_CAP_IRQCHIP, 1},
	{KVM_CAP_IRQ_INJECT_STATUS, 1},
	{KVM_CAP_IOAPIC_POLARITY_IGNORED, 1},
	{KVM_CAP_PIT2, 1},
	{KVM_CAP_PIT_STATE2, 1},
	{KVM_CAP_ENABLE_CAP_VM, 1},
	{KVM_CAP_CHECK_EXTENSION_VM, 1},
	{KVM_CAP_SIGNAL_MSI, 1},
	{KVM_CAP_IRQFD, 1},
	{KVM_CAP_IOEVENTFD, 1},
	{KVM_CAP_IOEVENTFD_ANY_LENGTH, 1},
	{KVM_CAP_IMMEDIATE_EXIT, 1},
	{KVM_CAP_USER_NMI, 1},
	{KVM_CAP_VCPU_EVENTS, 1},
	{KVM_CAP_DEBUGREGS, 1},
	{KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS},
	{KVM_CAP_SET_BOOT_CPU_ID, 1},
	{KVM_CAP_GET_MSR_FEATURES, 1},
	{KVM_CAP_XSAVE, 1},
	{KVM_CAP_XCRS, 1},
	{KVM_CAP_GET_TSC_KHZ, 1},
	{KVM_CAP_TSC_DEADLINE_TIMER, 1},
	{KVM_CAP_INTERNAL_ERROR_DATA, 1},
	{KVM_CAP_BINARY_STATS_FD, 1},
	{KVM_CAP_NR_VCPUS, VM_MAX_VCPUS},
	{KVM_CAP_MAX_VCPUS, VM_MAX_VCPUS},
	{KVM_CAP_MAX_VCPU_ID, VM_VCPU_IDS},
	{KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, DIRTY_LOG_WAYS},
	{KVM_CAP_HORNERO, HV_ABI_VERSION},
};

int extension_value(long extension)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(extensions); i++)
		if (extensions[i].extension == extension)
			return extensions[i].value;
	return 0;
}
