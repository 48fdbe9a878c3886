// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of a VM's memory regions, and what a KVM_SET_USER_MEMORY_REGION means against it.
 *
 * Pure: no pages, no hypercalls. It decides; memory.c carries out. Ranges are checked once, here:
 * aligned, without wrap-around, not overlapping. Rules and errors are those of the KVM API
 * ("4.35 KVM_SET_USER_MEMORY_REGION").
 */
#pragma once

#include "pure.h"

#define REGION_SLOTS	 128
#define REGION_PAGE	 4096ull
#define REGION_GPA_LIMIT (1ull << 46)

struct region_range {
	uint64_t gpa;
	uint64_t bytes; /* 0: the slot is free */
	uint64_t uaddr; /* address in the device model's process */
	bool readonly;
	bool logged; /* KVM_MEM_LOG_DIRTY_PAGES */
};

struct region_table {
	struct region_range slot[REGION_SLOTS];
	uint32_t used; /* slots from here on have never been in use */
};

enum region_action { REGION_NOTHING, REGION_CREATE, REGION_DELETE, REGION_MOVE, REGION_LOG };

/*
 * What has to happen for `slot` to become `wanted` (bytes 0: to be deleted): an enum region_action
 * (REGION_LOG: logging alone begins or ends; REGION_MOVE may change it too),
 * or -EINVAL (misaligned, wraps, beyond the address limit, no such slot, a change that KVM forbids:
 * of size, user address or READONLY) or -EEXIST (overlaps another slot).
 */
int region_plan(const struct region_table *table, uint32_t slot, const struct region_range *wanted);

/* Puts range into slot, as planned. */
void region_set(struct region_table *table, uint32_t slot, const struct region_range *range);

/* The slot that holds gpa, or -1. */
int region_find(const struct region_table *table, uint64_t gpa);
