// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Result codes of the hypervisor, shared by the hypervisor, the driver, the tools and test guests.
 *
 * They are deliberately not errno values: newlib's ENOSYS is 88, Linux's is 38, and a number that
 * means two things on the two sides of a VMCALL is worse than a new one. A call returns a
 * non-negative result or one of these, negated. The driver translates them at its border.
 */
#pragma once

#define HV_ERR_LIST(X)                                                                             \
	X(PERM, 1, "not permitted for this caller")                                                \
	X(NOCALL, 2, "unknown hypercall number")                                                   \
	X(INVAL, 3, "argument out of range or malformed")                                          \
	X(NOMEM, 4, "not enough memory reserved or free for this")                                 \
	X(NOENT, 5, "no such object")                                                              \
	X(EXIST, 6, "object exists already")                                                       \
	X(BUSY, 7, "object is in use")                                                             \
	X(STATE, 8, "not possible in the object's present state")                                  \
	X(OWNER, 9, "memory has another owner")                                                    \
	X(UNSUPPORTED, 10, "this processor lacks the feature")                                     \
	X(VERSION, 11, "interface versions do not match")                                          \
	X(AGAIN, 12, "not now: other CPUs owe a TLB flush first")                                  \
	X(FAULT, 13, "address is not accessible memory of the caller")                             \
	X(HARDWARE, 14, "the processor refused (see the log)")

enum hv_err {
#define X(name, number, text) HV_ERR_##name = number,
	HV_ERR_LIST(X)
#undef X
};
