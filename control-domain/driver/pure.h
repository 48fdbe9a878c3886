// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver's pure code needs from its world: fixed-width types, error numbers and the memory
 * functions, from the kernel's headers or from the C library's. Beyond it, pure code includes only
 * headers of interfaces (linux/kvm.h, abi/), so it compiles into hornero.ko and, unchanged, into
 * the host tests and fuzzers.
 */
#pragma once

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#endif

/* An exception that an instruction raised, as VM-entry interruption information wants it. */
struct guest_fault {
	uint64_t cr2; /* the linear address, for #PF alone */
	uint32_t error;
	uint8_t vector;
	bool has_error; /* false in real mode, where no exception pushes an error code */
};

enum guest_vector { VECTOR_UD = 6, VECTOR_SS = 12, VECTOR_GP = 13, VECTOR_PF = 14 };
