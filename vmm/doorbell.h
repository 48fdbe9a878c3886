// SPDX-License-Identifier: MIT
/*
 * Doorbells: which slot of the vCPU page's table a guest's write rings. Pure; abi/vcpu.h has the
 * rules.
 */
#pragma once

#include <abi/vcpu.h>

/** The slot that a write of @bytes bytes to @address rings, or -1; @space: HV_BELL_PORT or
 * HV_BELL_MEMORY. Of memory the value is not known. */
int doorbell_find(const struct hv_vcpu_page *page, uint8_t space, uint64_t address, uint32_t bytes,
		  uint32_t value);
