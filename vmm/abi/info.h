// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What the hypervisor tells about itself: struct hv_info, the per-CPU exit statistics, the exit
 * record that statistics, traces and tests share. Read by the driver, `hornero info`, `hornero
 * stats`. Layouts are fixed; a new field takes reserved space and raises the ABI's minor number.
 */
#pragma once

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define HV_EXIT_REASONS 80 /* basic exit reasons with a counter each (SDM 3D appendix C) */

/* struct hv_info.features: what the processors have and the hypervisor uses. */
#define HV_FEATURE_LIST(X)                                                                         \
	X(0, EPT_1G, "1 GiB EPT pages")                                                            \
	X(1, VPID, "VPID")                                                                         \
	X(2, EPT_AD, "EPT accessed/dirty bits")                                                    \
	X(3, WAIT_FOR_SIPI, "wait-for-SIPI activity state")                                        \
	X(4, PREEMPTION_TIMER, "VMX preemption timer")                                             \
	X(5, APIC_REGISTERS, "APIC-register virtualization")                                       \
	X(6, VIRTUAL_INTERRUPTS, "virtual-interrupt delivery")                                     \
	X(7, X2APIC_MODE, "virtualize x2APIC mode")                                                \
	X(8, XSAVES, "XSAVES")                                                                     \
	X(9, INVEPT_SINGLE, "single-context INVEPT")                                               \
	X(10, INVVPID_SINGLE, "single-context INVVPID")                                            \
	X(11, INVARIANT_TSC, "invariant TSC")                                                      \
	X(12, TSC_OFFSET, "TSC offsetting")                                                        \
	X(13, X2APIC, "local APIC in x2APIC mode")                                                 \
	X(14, EFI, "booted by UEFI")                                                               \
	X(15, TEST_BUILD, "test build (self-tests enabled)")                                       \
	X(16, LARGE_CODE, "executable large pages for guests")

enum hv_feature {
#define X(bit, name, text) HV_FEATURE_##name = bit,
	HV_FEATURE_LIST(X)
#undef X
};

struct hv_info {
	uint32_t abi_version;
	uint32_t cpus;		/* running under the hypervisor */
	uint32_t cpus_present;	/* found in the firmware's tables */
	uint32_t tsc_khz;	/* 0: not known yet */
	uint64_t features;	/* 1 << enum hv_feature */
	uint64_t ram_bytes;	/* all usable RAM found at boot */
	uint64_t control_bytes; /* of it, the control domain's */
	uint64_t pool_bytes;	/* guest pool */
	uint64_t pool_free_bytes;
	uint64_t hypervisor_bytes; /* image, heap, stacks, log: everything ours, boot modules not
				      counted */
	uint64_t image_bytes;	   /* of that, the image */
	uint64_t heap_free_bytes;  /* reserved but never handed out */
	uint64_t uptime_tsc;
	uint64_t boot_root_tsc; /* TSC ticks from our entry to the control domain's first
				   instruction */
	uint32_t vms;
	uint32_t crash_record; /* 1: a crash record of the previous boot is there */
	uint64_t log_head;     /* position after the newest log byte */
	char version[64];      /* of the hypervisor, as the build names it */
	char loader[64];
	char cpu_name[64];
	char cmdline[512];
	uint64_t pool_dirty_bytes; /* of what is free, to be zeroed before it is handed out */
};

struct hv_cpu_stats {
	uint32_t cpu; /* hypervisor's index */
	uint32_t apic_id;
	uint64_t exits[HV_EXIT_REASONS];       /* of the control domain on this CPU */
	uint64_t guest_exits[HV_EXIT_REASONS]; /* of vCPUs run on this CPU */
	uint64_t nmis_reinjected;
	uint64_t root_tsc; /* ticks spent in root mode on the control domain's behalf, CPUID
			      excepted */
};

/* One VM exit as it is kept for the crash record, traces and tests. */
struct hv_exit_record {
	uint64_t tsc;
	uint64_t rip;
	uint64_t qualification;
	uint16_t reason; /* basic exit reason */
	uint16_t vm;	 /* slot, FFFFh = control domain */
	uint16_t vcpu;
	uint16_t action; /* what was done */
};

_Static_assert(sizeof(struct hv_info) <= 4096, "fits the call page");
_Static_assert(sizeof(struct hv_cpu_stats) <= 4096, "fits the call page");
