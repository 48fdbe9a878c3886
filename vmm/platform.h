// SPDX-License-Identifier: MIT
/*
 * This machine, as found at boot: what is needed for good. Written before the control domain
 * starts, then, but for `tsc_khz`, read-only. What boot alone needs is in found.h.
 */
#pragma once

#include <abi/info.h>
#include <types.h>

#define TSC_KHZ_UNKNOWN 1000000
#define PANIC_HALT	UINT64_MAX

struct platform {
	uint64_t tsc_khz;	/* from CPUID 15h, the PIT or the control domain, never 0 */
	uint64_t panic_seconds; /* `panic=`; PANIC_HALT */
	/* The reset register, in memory (mapped) or a port; NULL and 0: none. */
	volatile uint8_t *reset_memory;
	uint16_t reset_port;
	uint8_t reset_value;
	struct hv_info info; /* what of it never changes */
};

extern struct platform platform;
