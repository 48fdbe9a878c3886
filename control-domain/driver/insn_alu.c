// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results and flags of the two-operand instructions, for any operand size. Values arrive in 64-bit
 * variables; carries and borrows are computed for all 64 positions at once, and the flags picked
 * from the operand's top bit (CF, OF) and from bit 3 (AF). Flags that the manual calls undefined
 * are what Intel's and AMD's CPUs do: AND and its like clear AF, BT and its like change CF alone.
 *
 * Source: SDM 2A and 2B, each instruction's "Operation" and "Flags Affected".
 */
#include "insn.h"

enum rflags_bits {
	FLAG_CF = 1u << 0,
	FLAG_PF = 1u << 2,
	FLAG_AF = 1u << 4,
	FLAG_ZF = 1u << 6,
	FLAG_SF = 1u << 7,
	FLAG_OF = 1u << 11,
	FLAGS_ALL = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
};

static bool top_bit(const struct insn_values *v, uint64_t value)
{
	return value >> (8 * v->bytes - 1) & 1;
}

/* carries: bit n set if position n carried (or borrowed) into position n + 1. */
static void set_flags(struct insn_values *v, uint64_t result, uint64_t carries, bool overflow)
{
	uint8_t low = result;
	uint64_t flags = 0;

	low ^= low >> 4;
	low ^= low >> 2;
	low ^= low >> 1;
	flags |= low & 1 ? 0 : FLAG_PF;
	flags |= result & insn_mask(v->bytes) ? 0 : FLAG_ZF;
	flags |= top_bit(v, result) ? FLAG_SF : 0;
	flags |= top_bit(v, carries) ? FLAG_CF : 0;
	flags |= carries & 8 ? FLAG_AF : 0;
	flags |= overflow ? FLAG_OF : 0;
	v->rflags = (v->rflags & ~(uint64_t)FLAGS_ALL) | flags;
}

static uint64_t add(struct insn_values *v, uint64_t a, uint64_t b, bool carry)
{
	uint64_t sum = a + b + carry;

	set_flags(v, sum, (a & b) | ((a | b) & ~sum), top_bit(v, (a ^ sum) & (b ^ sum)));
	return sum;
}

static uint64_t subtract(struct insn_values *v, uint64_t a, uint64_t b, bool borrow)
{
	uint64_t difference = a - b - borrow;

	set_flags(v, difference, (~a & b) | ((~a | b) & difference),
		  top_bit(v, (a ^ b) & (a ^ difference)));
	return difference;
}

static void compute_mov(struct insn_values *v)
{
	v->dst = v->src;
}

static void compute_movbe(struct insn_values *v)
{
	v->dst = __builtin_bswap64(v->src) >> (64 - 8 * v->bytes);
}

static void compute_add(struct insn_values *v)
{
	v->dst = add(v, v->dst, v->src, false);
}

static void compute_adc(struct insn_values *v)
{
	v->dst = add(v, v->dst, v->src, v->rflags & FLAG_CF);
}

static void compute_sub(struct insn_values *v)
{
	v->dst = subtract(v, v->dst, v->src, false);
}

static void compute_sbb(struct insn_values *v)
{
	v->dst = subtract(v, v->dst, v->src, v->rflags & FLAG_CF);
}

static void compute_or(struct insn_values *v)
{
	v->dst |= v->src;
	set_flags(v, v->dst, 0, false);
}

/* TEST is AND whose result is not written. */
static void compute_and(struct insn_values *v)
{
	v->dst &= v->src;
	set_flags(v, v->dst, 0, false);
}

static void compute_xor(struct insn_values *v)
{
	v->dst ^= v->src;
	set_flags(v, v->dst, 0, false);
}

static void keep_carry(struct insn_values *v, uint64_t old_rflags)
{
	v->rflags = (v->rflags & ~(uint64_t)FLAG_CF) | (old_rflags & FLAG_CF);
}

static void compute_inc(struct insn_values *v)
{
	uint64_t old_rflags = v->rflags;

	v->dst = add(v, v->dst, 1, false);
	keep_carry(v, old_rflags);
}

static void compute_dec(struct insn_values *v)
{
	uint64_t old_rflags = v->rflags;

	v->dst = subtract(v, v->dst, 1, false);
	keep_carry(v, old_rflags);
}

static void compute_not(struct insn_values *v)
{
	v->dst = ~v->dst;
}

static void compute_neg(struct insn_values *v)
{
	v->dst = subtract(v, 0, v->dst, false);
}

static void compute_xchg(struct insn_values *v)
{
	uint64_t old = v->dst;

	v->dst = v->src;
	v->src = old;
}

static void compute_xadd(struct insn_values *v)
{
	uint64_t old = v->dst;

	v->dst = add(v, v->dst, v->src, false);
	v->src = old;
}

/* A mismatch writes the destination too, with its own value. */
static void compute_cmpxchg(struct insn_values *v)
{
	subtract(v, v->acc, v->dst, false);
	if (v->rflags & FLAG_ZF)
		v->dst = v->src;
	else
		v->acc = v->dst;
}

static uint64_t take_bit(struct insn_values *v)
{
	uint64_t bit = 1ull << (v->src & (8 * v->bytes - 1));

	v->rflags = (v->rflags & ~(uint64_t)FLAG_CF) | (v->dst & bit ? FLAG_CF : 0);
	return bit;
}

static void compute_bt(struct insn_values *v)
{
	take_bit(v);
}

static void compute_bts(struct insn_values *v)
{
	v->dst |= take_bit(v);
}

static void compute_btr(struct insn_values *v)
{
	v->dst &= ~take_bit(v);
}

static void compute_btc(struct insn_values *v)
{
	v->dst ^= take_bit(v);
}

#define CHANGES (INSN_READS_DST | INSN_WRITES_DST | INSN_LOCKABLE)

const struct insn_op_info insn_op_info[INSN_OPS] = {
	[INSN_OP_MOV] = {compute_mov, INSN_WRITES_DST},
	[INSN_OP_MOVBE] = {compute_movbe, INSN_WRITES_DST},
	[INSN_OP_ADD] = {compute_add, CHANGES},
	[INSN_OP_OR] = {compute_or, CHANGES},
	[INSN_OP_ADC] = {compute_adc, CHANGES},
	[INSN_OP_SBB] = {compute_sbb, CHANGES},
	[INSN_OP_AND] = {compute_and, CHANGES},
	[INSN_OP_SUB] = {compute_sub, CHANGES},
	[INSN_OP_XOR] = {compute_xor, CHANGES},
	[INSN_OP_CMP] = {compute_sub, INSN_READS_DST},
	[INSN_OP_TEST] = {compute_and, INSN_READS_DST},
	[INSN_OP_INC] = {compute_inc, CHANGES},
	[INSN_OP_DEC] = {compute_dec, CHANGES},
	[INSN_OP_NOT] = {compute_not, CHANGES},
	[INSN_OP_NEG] = {compute_neg, CHANGES},
	[INSN_OP_XCHG] = {compute_xchg, CHANGES | INSN_WRITES_SRC},
	[INSN_OP_XADD] = {compute_xadd, CHANGES | INSN_WRITES_SRC},
	[INSN_OP_CMPXCHG] = {compute_cmpxchg, CHANGES},
	[INSN_OP_BT] = {compute_bt, INSN_READS_DST},
	[INSN_OP_BTS] = {compute_bts, CHANGES},
	[INSN_OP_BTR] = {compute_btr, CHANGES},
	[INSN_OP_BTC] = {compute_btc, CHANGES},
};
