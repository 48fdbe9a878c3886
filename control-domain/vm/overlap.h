// SPDX-License-Identifier: MIT
/*
 * What must not belong to two: disks, MAC addresses, published ports.
 */
#pragma once

#include <stdbool.h>

#include "definition.h"

/**
 * A VM's disks, MAC address and ports against other VMs: all of them, or those that run. 0, or -1
 * with @why.
 */
int overlap_check_others(const char *name, const struct definition *definition, bool running_only,
			 struct reason *why);

/** The same against the control domain: disks in use, ports it listens on. 0, or -1 with @why. */
int overlap_check_here(const struct definition *definition, struct reason *why);

/**
 * Whether two paths lead to one disk: one file by several names, a disk and a partition of it, a
 * file and a loop device over it.
 */
bool overlap_same_disk(const char *a, const char *b);
