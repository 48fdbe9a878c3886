// SPDX-License-Identifier: MIT
/*
 * The log as a file that stays small, whatever is written into it: the keeper copies what the
 * device model says, and moves the file to FILE.1 when it has grown. The device model itself can
 * reach neither.
 */
#pragma once

#include "reason.h"

enum { LOG_FILE_MAX_BYTES = 1 << 20 };

/* Makes @path our standard error and output, to be appended to. 0, or -1 with @why. */
int log_file_open(const char *path, struct reason *why);

/* Copies from @fd to it until nobody holds the other end. Context: keeper. */
void log_file_copy(const char *path, int fd);
