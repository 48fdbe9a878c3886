// SPDX-License-Identifier: MIT
/* The program that judges the device model's system calls, for sandbox_close() and for its test. */
#pragma once

#include <linux/filter.h>
#include <stdint.h>

#define SANDBOX_FILTER_MAX 192

/* Writes it, SANDBOX_FILTER_MAX instructions at most; its length. */
unsigned sandbox_filter_build(struct sock_filter *insn);

/* Calls that are allowed with any arguments, and requests of ioctl. */
extern const uint32_t sandbox_calls[], sandbox_ioctls[];
extern const unsigned sandbox_calls_count, sandbox_ioctls_count;
