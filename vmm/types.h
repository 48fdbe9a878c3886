// SPDX-License-Identifier: MIT
/*
 * The types everything else is written in.
 *
 * Addresses of the two kinds that a hypervisor confuses (host-physical, guest-physical) are
 * structures of one member: the machine code is that of an integer, but one kind passed for another
 * does not compile. A host-virtual address is a plain pointer.
 *
 * Bits are named with BIT64() and MASK64() and taken apart with field_get(); there are no naked
 * masks and no hardware bitfields. Pure: compiles in the hypervisor and in host tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <abi/err.h>

typedef struct {
	uint64_t v;
} hpa_t;

typedef struct {
	uint64_t v;
} gpa_t;

#define HPA(x) ((hpa_t){(x)})
#define GPA(x) ((gpa_t){(x)})

#define BIT64(n)       (UINT64_C(1) << (n))
#define MASK64(hi, lo) ((~UINT64_C(0) >> (63 - (hi))) & (~UINT64_C(0) << (lo)))
#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
/* newlib has some of these names too, with the same meaning */
#undef __packed
#undef __aligned
#undef __unused
#undef static_assert
#define static_assert _Static_assert
#define __must_use     __attribute__((warn_unused_result))
#define __packed       __attribute__((packed))
#define __aligned(n)   __attribute__((aligned(n)))
#define __noreturn     __attribute__((noreturn))
#define __printf(f, a) __attribute__((format(printf, f, a)))
#define __unused       __attribute__((unused))
#define likely(x)      __builtin_expect(!!(x), 1)
#define unlikely(x)    __builtin_expect(!!(x), 0)

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

#define PAGE_SHIFT  12
#define PAGE_SIZE   (UINT64_C(1) << PAGE_SHIFT)
#define FRAME_SHIFT 21 /* a pool frame: the unit of ownership, one large page */
#define FRAME_SIZE  (UINT64_C(1) << FRAME_SHIFT)

/** Bits @hi..@lo of @v, moved down to bit 0. */
static inline uint64_t field_get(uint64_t v, unsigned int hi, unsigned int lo)
{
	return (v & MASK64(hi, lo)) >> lo;
}

/** @x rounded up to a multiple of @a, a power of two. */
static inline uint64_t align_up(uint64_t x, uint64_t a)
{
	return (x + a - 1) & ~(a - 1);
}

/** @x rounded down to a multiple of @a, a power of two. */
static inline uint64_t align_down(uint64_t x, uint64_t a)
{
	return x & ~(a - 1);
}

static inline bool is_aligned(uint64_t x, uint64_t a)
{
	return (x & (a - 1)) == 0;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}
