// SPDX-License-Identifier: GPL-2.0-only
/*
 * The border between the hypervisor's results and Linux's errno, and the rule by which driver and
 * hypervisor decide whether they understand each other. Pure: compiled into the host tests too.
 */
#pragma once

#include "pure.h"

/*
 * The errno, negated, for a hypercall's negative result; results >= 0 are returned as they are.
 * A code that this driver does not know becomes -EIO.
 */
long hv_to_errno(long result);

/* The hypervisor's own words for a negative result, "unknown error" for a code not known here. */
const char *hv_error_text(long result);

/*
 * Whether a driver made for version `driver` may talk to a hypervisor of version `hypervisor`: same
 * major number, and a minor number that is not older.
 */
bool hv_version_fits(uint32_t hypervisor, uint32_t driver);
