// SPDX-License-Identifier: MIT
/*
 * Where things lie in the hypervisor's address space, and the numbers that assembly shares with C.
 *
 * Three regions are linear in the physical address (VA = BASE + PA): the heap, boot mappings, and
 * the arena. Each spans 128 top-level slots (64 TiB) but only what is in use is mapped.
 */
#pragma once

#define BOOT_SLOT  320
#define HEAP_SLOT  384
#define BOOT_BITS  45 /* of physical addresses, between the two */
#define IMAGE_SLOT 511

#ifdef __ASSEMBLY__
#define U64(x) x
#else
#include <stdint.h>
#define U64(x) UINT64_C(x)
#endif

#define IMAGE_BASE  U64(0xffffffff80000000)
#define ARENA_BASE  U64(0xffff800000000000)
#define BOOT_BASE   U64(0xffffa00000000000)
#define HEAP_BASE   U64(0xffffc00000000000)
#define STACK_BASE  U64(0xffffff0000000000) /* one slot of STACK_STRIDE bytes per CPU */
#define WINDOW_BASE U64(0xffffff1000000000) /* 4 KiB per CPU */
#define SCRUB_BASE  U64(0xffffff2000000000) /* 2 MiB per CPU */
#define DEVICE_BASE U64(0xffffff3000000000) /* LAPIC, framebuffer: mapped for good */

#define STACK_STRIDE U64(0x20000)

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS	 0x18

#define IDT_VECTORS    32
#define ISR_STUB_BYTES 16

/* Interrupt stacks (IST numbers in gates and TSS). */
#define IST_NMI 1
#define IST_DF	2
#define IST_MC	3
