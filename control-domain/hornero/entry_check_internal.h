// SPDX-License-Identifier: MIT
/*
 * Between entry_check.c (controls, host state) and entry_check_guest.c (guest state); see
 * entry_check.h.
 *
 * RULE(FIELD, holds, sentence) leaves the function with false, and the failure noted, if @holds is
 * false.
 */
#pragma once

#include <x86/vmx/vmx_bits.h>

#include "entry_check.h"
#include "vmcs_names.h"

#define EPT_CAP_UC		   BIT64(8)
#define PIN_POSTED_INTERRUPTS	   (1u << 7)
#define EXIT_ACK_INTERRUPT	   (1u << 15)
#define EXIT_SAVE_PREEMPTION_TIMER (1u << 22)
#define ACTIVITY_HLT		   1u
#define ACTIVITY_SHUTDOWN	   2u
#define ACCESS_UNUSABLE		   (1u << 16)

/** The controls, read once; `cpu2` is 0 without secondary controls. */
struct check {
	const struct entry_env *env;
	struct entry_failure *failure;
	uint32_t pin, cpu, cpu2, exit, entry;
	uint32_t event; /* VM-entry interruption information, 0 if not valid */
};

#define RULE(name, holds, sentence)                                                                \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			*c->failure = (struct entry_failure){(uint32_t)(name), sentence};          \
			return false;                                                              \
		}                                                                                  \
	} while (0)

#define GET(name) (c->env->read(c->env->ctx, (uint32_t)(name)))

#define CR0_PE	  BIT64(0)
#define CR0_WP	  BIT64(16)
#define CR0_PG	  BIT64(31)
#define CR4_PAE	  BIT64(5)
#define CR4_PCIDE BIT64(17)
#define CR4_CET	  BIT64(23)
#define EFER_LME  BIT64(8)
#define EFER_LMA  BIT64(10)
#define EFER_BITS (BIT64(0) | EFER_LME | EFER_LMA | BIT64(11))

static inline bool entry_canonical(const struct check *c, uint64_t address)
{
	uint64_t high = MASK64(63, c->env->linear_bits - 1);

	return (address & high) == 0 || (address & high) == high;
}

static inline bool entry_physical(const struct check *c, uint64_t address)
{
	return !(address & MASK64(63, c->env->physical_bits));
}

/** A page that a control points to. */
static inline bool entry_page(const struct check *c, uint64_t address)
{
	return is_aligned(address, PAGE_SIZE) && entry_physical(c, address);
}

/** Eight memory types: 0, 1, 4, 5, 6 or 7 each. */
static inline bool entry_pat(uint64_t pat)
{
	for (unsigned int i = 0; i < 64; i += 8)
		if (!(0xf3 >> (pat >> i & 7) & 1) || (pat >> i & 0xf8))
			return false;
	return true;
}

static inline bool entry_fixed(uint64_t value, uint64_t fixed0, uint64_t fixed1)
{
	return (value & fixed0) == fixed0 && !(value & ~fixed1);
}

bool entry_check_guest(struct check *c) __must_use;
