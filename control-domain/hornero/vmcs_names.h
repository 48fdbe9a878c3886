// SPDX-License-Identifier: MIT
/*
 * VMCS fields by name: those that the hypervisor uses, and the rest that a dump may hold.
 */
#pragma once

#include <x86/vmx/vmcs_fields.h>

/* X(width, name, encoding) */
#define VMCS_MORE_FIELDS(X)                                                                        \
	X(16, GUEST_CS_SELECTOR, 0x0802)                                                           \
	X(16, HOST_CS_SELECTOR, 0x0c02)                                                            \
	X(16, HOST_SS_SELECTOR, 0x0c04)                                                            \
	X(16, HOST_DS_SELECTOR, 0x0c06)                                                            \
	X(16, HOST_FS_SELECTOR, 0x0c08)                                                            \
	X(16, HOST_GS_SELECTOR, 0x0c0a)                                                            \
	X(16, POSTED_INTERRUPT_VECTOR, 0x0002)                                                     \
	X(16, GUEST_SS_SELECTOR, 0x0804)                                                           \
	X(16, GUEST_DS_SELECTOR, 0x0806)                                                           \
	X(16, GUEST_FS_SELECTOR, 0x0808)                                                           \
	X(16, GUEST_GS_SELECTOR, 0x080a)                                                           \
	X(16, GUEST_LDTR_SELECTOR, 0x080c)                                                         \
	X(16, GUEST_TR_SELECTOR, 0x080e)                                                           \
	X(64, TSC_MULTIPLIER, 0x2032)                                                              \
	X(32, GUEST_CS_LIMIT, 0x4802)                                                              \
	X(32, GUEST_SS_LIMIT, 0x4804)                                                              \
	X(32, GUEST_DS_LIMIT, 0x4806)                                                              \
	X(32, GUEST_FS_LIMIT, 0x4808)                                                              \
	X(32, GUEST_GS_LIMIT, 0x480a)                                                              \
	X(32, GUEST_LDTR_LIMIT, 0x480c)                                                            \
	X(32, GUEST_TR_LIMIT, 0x480e)                                                              \
	X(32, GUEST_DS_ACCESS, 0x481a)                                                             \
	X(32, GUEST_FS_ACCESS, 0x481c)                                                             \
	X(32, GUEST_GS_ACCESS, 0x481e)                                                             \
	X(32, GUEST_LDTR_ACCESS, 0x4820)                                                           \
	X(32, GUEST_TR_ACCESS, 0x4822)                                                             \
	X(32, GUEST_SMBASE, 0x4828)                                                                \
	X(n, IO_RCX, 0x6402)                                                                       \
	X(n, IO_RSI, 0x6404)                                                                       \
	X(n, IO_RDI, 0x6406)                                                                       \
	X(n, IO_RIP, 0x6408)                                                                       \
	X(n, GUEST_SS_BASE, 0x680a)                                                                \
	X(n, GUEST_DS_BASE, 0x680c)                                                                \
	X(n, GUEST_LDTR_BASE, 0x6812)                                                              \
	X(n, GUEST_TR_BASE, 0x6814)

enum field {
#define X(width, name, encoding) FIELD_##name = encoding,
	VMCS_FIELDS(X) VMCS_MORE_FIELDS(X)
#undef X
};
