// SPDX-License-Identifier: MIT
/*
 * Copies of large files: cloned where the file system can, else data only, so that holes stay
 * holes. What takes over a second shows its progress.
 */
#pragma once

#include <stdint.h>

#include "../vmm/reason.h"

/** Copy @from to a new file @to. 0, or -1 with @why and nothing left behind. */
int copy_sparse(const char *from, const char *to, struct reason *why);

/** Size of a file or block device in bytes; 0 if it cannot be told. */
uint64_t file_bytes(const char *path);

/** Bytes that a file takes on its disk. */
uint64_t file_used_bytes(const char *path);
