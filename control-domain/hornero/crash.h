// SPDX-License-Identifier: MIT
/* The last crash record without the hypervisor's help; see crash.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "crash_record.h"

/** Copy physical memory. False if it is not to be had. */
typedef bool crash_read_fn(void *arg, uint64_t address, void *buffer, size_t bytes);

/** The first whole record between two physical addresses, @from at a page; NULL if there is none.
 */
const struct crash_record *crash_find(crash_read_fn *read, void *arg, uint64_t from, uint64_t to);

/** Text of a record in memory that this Linux does not use; NULL if there is none. */
const char *crash_in_memory(void);
