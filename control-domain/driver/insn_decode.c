// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes to operands. The opcode maps below hold the instructions that insn_step() carries out, in
 * the notation of the SDM's opcode maps: E is the register or memory of a ModRM byte, G its
 * register, I an immediate, O an offset without ModRM, X and Y the strings; b, w, v, y, z say how
 * many bytes. Where a ModRM byte's middle field picks the instruction, a group's table follows.
 *
 * What is not in the maps is refused, for good: an instruction that is decoded here but not
 * understood would be carried out wrongly. Moves of vector registers are in them for their length
 * alone. That a CPU exited proves that it took the bytes for an instruction, but another CPU of
 * the guest may have changed them since; hence the #UD results.
 *
 * Read next: insn_step.c.
 */
#include "insn.h"

/* ---- the opcode maps */

enum kind { K_NONE, K_E, K_M, K_G, K_I, K_ACC, K_O, K_X, K_Y, K_DX, K_STACK };
enum size { S_B = 0x00, S_W = 0x10, S_V = 0x20, S_Z = 0x30, S_Y = 0x40 };

enum operand_code {
	Eb = K_E | S_B,
	Ew = K_E | S_W,
	Ev = K_E | S_V,
	Ez = K_E | S_Z,
	Mv = K_M | S_V,
	My = K_M | S_Y,
	Gb = K_G | S_B,
	Gv = K_G | S_V,
	Gy = K_G | S_Y,
	Ib = K_I | S_B,
	Iz = K_I | S_Z,
	ALb = K_ACC | S_B,
	rAXv = K_ACC | S_V,
	Ob = K_O | S_B,
	Ov = K_O | S_V,
	Xb = K_X | S_B,
	Xv = K_X | S_V,
	Xz = K_X | S_Z,
	Yb = K_Y | S_B,
	Yv = K_Y | S_V,
	Yz = K_Y | S_Z,
	DXb = K_DX | S_B,
	DXz = K_DX | S_Z,
	Sv = K_STACK | S_V,
};

enum opcode_flags {
	F_64 = 0x01,	 /* something else outside 64-bit mode */
	F_NP = 0x02,	 /* #UD after 66, F2, F3 */
	F_NO_REP = 0x04, /* something else after F2, F3 */
	F_STRING = 0x08, /* F2 and F3 repeat it */
	F_SIGNED = 0x10, /* the source is sign-extended */
	F_STACK = 0x20,	 /* 64-bit operands by default in 64-bit mode */
	F_BITS = 0x40,	 /* a register source is an offset into a string of bits */
	F_GROUP = 0x80,	 /* op is an index into groups[] */
};

struct opcode {
	uint8_t op, dst, src, flags;
};

enum group {
	GROUP_80,
	GROUP_81,
	GROUP_83,
	GROUP_8F,
	GROUP_C6,
	GROUP_C7,
	GROUP_F6,
	GROUP_F7,
	GROUP_FE,
	GROUP_FF,
	GROUP_BA
};

/* clang-format off */
#define OP(name, ...) {INSN_OP_##name, __VA_ARGS__}
#define GROUP(code)   {GROUP_##code, 0, 0, F_GROUP}
#define BYTE_AND_V(base, name, dst, src) \
	[base] = OP(name, dst##b, src##b), [(base) + 1] = OP(name, dst##v, src##v)
#define ARITHMETIC(base, name) BYTE_AND_V(base, name, E, G), BYTE_AND_V((base) + 2, name, G, E)
#define ARITHMETIC_GROUP(dst, src) { \
	OP(ADD, dst, src), OP(OR, dst, src), OP(ADC, dst, src), OP(SBB, dst, src), \
	OP(AND, dst, src), OP(SUB, dst, src), OP(XOR, dst, src), OP(CMP, dst, src)}
#define VECTOR OP(VECTOR, Ev)

static const struct opcode one_byte[256] = {
	ARITHMETIC(0x00, ADD), ARITHMETIC(0x08, OR), ARITHMETIC(0x10, ADC), ARITHMETIC(0x18, SBB),
	ARITHMETIC(0x20, AND), ARITHMETIC(0x28, SUB), ARITHMETIC(0x30, XOR), ARITHMETIC(0x38, CMP),
	[0x63] = OP(MOV, Gv, Ez, F_SIGNED | F_64),
	[0x6c] = OP(MOV, Yb, DXb, F_STRING), [0x6d] = OP(MOV, Yz, DXz, F_STRING),
	[0x6e] = OP(MOV, DXb, Xb, F_STRING), [0x6f] = OP(MOV, DXz, Xz, F_STRING),
	[0x80] = GROUP(80), [0x81] = GROUP(81), [0x83] = GROUP(83),
	BYTE_AND_V(0x84, TEST, E, G), BYTE_AND_V(0x86, XCHG, E, G),
	BYTE_AND_V(0x88, MOV, E, G), BYTE_AND_V(0x8a, MOV, G, E),
	[0x8f] = GROUP(8F),
	[0xa0] = OP(MOV, ALb, Ob), OP(MOV, rAXv, Ov), OP(MOV, Ob, ALb), OP(MOV, Ov, rAXv),
	[0xa4] = OP(MOV, Yb, Xb, F_STRING), [0xa5] = OP(MOV, Yv, Xv, F_STRING),
	[0xa6] = OP(CMP, Xb, Yb, F_STRING), [0xa7] = OP(CMP, Xv, Yv, F_STRING),
	[0xaa] = OP(MOV, Yb, ALb, F_STRING), [0xab] = OP(MOV, Yv, rAXv, F_STRING),
	[0xac] = OP(MOV, ALb, Xb, F_STRING), [0xad] = OP(MOV, rAXv, Xv, F_STRING),
	[0xae] = OP(CMP, ALb, Yb, F_STRING), [0xaf] = OP(CMP, rAXv, Yv, F_STRING),
	[0xc6] = GROUP(C6), [0xc7] = GROUP(C7),
	[0xf6] = GROUP(F6), [0xf7] = GROUP(F7), [0xfe] = GROUP(FE), [0xff] = GROUP(FF),
};

static const struct opcode two_byte[256] = {
	[0x10] = VECTOR, VECTOR, VECTOR, VECTOR, [0x16] = VECTOR, VECTOR,
	[0x28] = VECTOR, VECTOR, [0x2b] = VECTOR,
	[0x6e] = VECTOR, VECTOR, [0x7e] = VECTOR, VECTOR,
	[0xa3] = OP(BT, Ev, Gv, F_BITS), [0xab] = OP(BTS, Ev, Gv, F_BITS),
	BYTE_AND_V(0xb0, CMPXCHG, E, G),
	[0xb3] = OP(BTR, Ev, Gv, F_BITS), [0xbb] = OP(BTC, Ev, Gv, F_BITS),
	[0xb6] = OP(MOV, Gv, Eb), [0xb7] = OP(MOV, Gv, Ew), [0xba] = GROUP(BA),
	[0xbe] = OP(MOV, Gv, Eb, F_SIGNED), [0xbf] = OP(MOV, Gv, Ew, F_SIGNED),
	BYTE_AND_V(0xc0, XADD, E, G), [0xc3] = OP(MOV, My, Gy, F_NP),
	[0xd6] = VECTOR, [0xe7] = VECTOR,
};

static const struct opcode three_byte_38[256] = {
	[0xf0] = OP(MOVBE, Gv, Mv, F_NO_REP), [0xf1] = OP(MOVBE, Mv, Gv, F_NO_REP),
};

static const struct opcode groups[][8] = {
	[GROUP_80] = ARITHMETIC_GROUP(Eb, Ib),
	[GROUP_81] = ARITHMETIC_GROUP(Ev, Iz),
	[GROUP_83] = ARITHMETIC_GROUP(Ev, Ib),
	[GROUP_8F] = {OP(MOV, Ev, Sv, F_STACK)},
	[GROUP_C6] = {OP(MOV, Eb, Ib)},
	[GROUP_C7] = {OP(MOV, Ev, Iz)},
	[GROUP_F6] = {OP(TEST, Eb, Ib), OP(TEST, Eb, Ib), OP(NOT, Eb), OP(NEG, Eb)},
	[GROUP_F7] = {OP(TEST, Ev, Iz), OP(TEST, Ev, Iz), OP(NOT, Ev), OP(NEG, Ev)},
	[GROUP_FE] = {OP(INC, Eb), OP(DEC, Eb)},
	[GROUP_FF] = {OP(INC, Ev), OP(DEC, Ev), [6] = OP(MOV, Sv, Ev, F_STACK)},
	[GROUP_BA] = {[4] = OP(BT, Ev, Ib), OP(BTS, Ev, Ib), OP(BTR, Ev, Ib), OP(BTC, Ev, Ib)},
};
/* clang-format on */

/* ---- reading the bytes */

/* Where decoding stands. Bytes that are not there read as 0; `missing` remembers. */
struct cursor {
	const uint8_t *bytes;
	unsigned int n, at;
	unsigned int mode_bits;
	bool missing;
	bool operand_prefix; /* 66 */
	uint8_t rep_prefix;  /* the last of F2, F3 */
	uint8_t rex;	     /* 4x, or the same four bits from a VEX prefix */
	uint8_t modrm;
	uint8_t operand_size;
	struct insn_operand e; /* what ModRM's r/m names; size still open */
};

enum rex_bits { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

static uint8_t next_byte(struct cursor *c)
{
	if (c->at >= c->n) {
		c->missing = true;
		return 0;
	}
	return c->bytes[c->at++];
}

static int64_t next_signed(struct cursor *c, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint64_t)next_byte(c) << (8 * i);
	return bytes ? insn_sign_extend(value, 8 * bytes) : 0;
}

static int segment_of_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26:
		return INSN_ES;
	case 0x2e:
		return INSN_CS;
	case 0x36:
		return INSN_SS;
	case 0x3e:
		return INSN_DS;
	case 0x64:
		return INSN_FS;
	case 0x65:
		return INSN_GS;
	default:
		return -1;
	}
}

/* Prefixes up to the first opcode byte, which is returned. A REX counts only right before it. */
static uint8_t next_opcode_after_prefixes(struct cursor *c, struct insn *insn)
{
	bool address_prefix = false;
	uint8_t byte;

	insn->mem.seg = INSN_SEGS; /* none yet */
	for (;;) {
		byte = next_byte(c);
		int seg = segment_of_prefix(byte);

		if (c->mode_bits == 64 && (byte & 0xf0) == 0x40) {
			c->rex = byte;
			continue;
		}
		if (seg >= 0) {
			if (c->mode_bits != 64 || seg >= INSN_FS)
				insn->mem.seg = seg;
		} else if (byte == 0x66) {
			c->operand_prefix = true;
		} else if (byte == 0x67) {
			address_prefix = true;
		} else if (byte == 0xf0) {
			insn->lock = true;
		} else if (byte == 0xf2 || byte == 0xf3) {
			c->rep_prefix = byte;
		} else {
			break;
		}
		c->rex = 0;
	}
	if (c->mode_bits == 64)
		insn->address_size = address_prefix ? 4 : 8;
	else
		insn->address_size = (c->mode_bits == 32) ^ address_prefix ? 4 : 2;
	return byte;
}

static uint8_t operand_size(const struct cursor *c, bool stack)
{
	if (c->rex & REX_W)
		return 8;
	if (c->mode_bits == 64 && stack)
		return c->operand_prefix ? 2 : 8;
	return (c->mode_bits == 16) ^ c->operand_prefix ? 2 : 4;
}

/* ---- ModRM */

static void decode_memory_16(struct cursor *c, struct insn_mem *mem)
{
	static const uint8_t base[8] = {INSN_RBX, INSN_RBX, INSN_RBP, INSN_RBP,
					INSN_RSI, INSN_RDI, INSN_RBP, INSN_RBX};
	static const uint8_t index[4] = {INSN_RSI, INSN_RDI, INSN_RSI, INSN_RDI};
	unsigned int mod = c->modrm >> 6, rm = c->modrm & 7;

	if (mod == 0 && rm == 6) {
		mem->disp = next_signed(c, 2);
		return;
	}
	mem->base = base[rm];
	if (rm < 4)
		mem->index = index[rm];
	mem->disp = next_signed(c, mod);
}

static void decode_memory_32(struct cursor *c, struct insn_mem *mem)
{
	unsigned int mod = c->modrm >> 6, rm = c->modrm & 7;
	unsigned int disp_bytes = mod == 2 ? 4 : mod;

	if (rm == 4) {
		uint8_t sib = next_byte(c);
		uint8_t index = (sib >> 3 & 7) | (c->rex & REX_X ? 8 : 0);

		if (index != INSN_RSP) {
			mem->index = index;
			mem->scale = sib >> 6;
		}
		if ((sib & 7) == 5 && mod == 0)
			disp_bytes = 4;
		else
			mem->base = (sib & 7) | (c->rex & REX_B ? 8 : 0);
	} else if (rm == 5 && mod == 0) {
		disp_bytes = 4;
		if (c->mode_bits == 64)
			mem->base = INSN_RIP;
	} else {
		mem->base = rm | (c->rex & REX_B ? 8 : 0);
	}
	mem->disp = next_signed(c, disp_bytes);
}

static void decode_modrm(struct cursor *c, struct insn *insn)
{
	c->modrm = next_byte(c);
	if (c->modrm >= 0xc0) {
		c->e.kind = INSN_REG;
		c->e.reg = (c->modrm & 7) | (c->rex & REX_B ? 8 : 0);
		return;
	}
	c->e.kind = INSN_MEM;
	if (insn->address_size == 2)
		decode_memory_16(c, &insn->mem);
	else
		decode_memory_32(c, &insn->mem);
}

/* ---- operands */

static void decode_operand(struct cursor *c, struct insn *insn, struct insn_operand *o,
			   uint8_t code)
{
	switch (code & 0xf0) {
	case S_B:
		o->size = 1;
		break;
	case S_W:
		o->size = 2;
		break;
	case S_V:
		o->size = c->operand_size;
		break;
	case S_Y:
		o->size = c->operand_size > 4 ? c->operand_size : 4;
		break;
	default:
		o->size = c->operand_size < 4 ? c->operand_size : 4;
		break;
	}

	switch (code & 0x0f) {
	case K_E:
	case K_M:
		o->kind = c->e.kind;
		o->reg = c->e.reg;
		break;
	case K_G:
		o->kind = INSN_REG;
		o->reg = (c->modrm >> 3 & 7) | (c->rex & REX_R ? 8 : 0);
		break;
	case K_ACC:
		o->kind = INSN_REG;
		o->reg = INSN_RAX;
		return;
	case K_I:
		o->kind = INSN_IMM;
		insn->imm = next_signed(c, o->size);
		return;
	case K_O:
		o->kind = INSN_MEM;
		insn->mem.disp = next_signed(c, insn->address_size);
		return;
	case K_X:
		o->kind = INSN_SI;
		return;
	case K_Y:
		o->kind = INSN_DI;
		return;
	case K_DX:
		o->kind = INSN_DX;
		return;
	case K_STACK:
		o->kind = INSN_STACK;
		return;
	default:
		o->size = 0;
		return;
	}
	if (o->kind == INSN_REG && o->size == 1 && !c->rex && o->reg >= 4)
		o->reg += INSN_AH - 4;
}

static bool needs_modrm(const struct opcode *o)
{
	unsigned int dst = o->dst & 0x0f, src = o->src & 0x0f;

	return o->flags & F_GROUP || dst == K_E || dst == K_M || src == K_E || src == K_M;
}

static void default_segment(struct insn_mem *mem)
{
	if (mem->seg == INSN_SEGS)
		mem->seg = mem->base == INSN_RSP || mem->base == INSN_RBP ? INSN_SS : INSN_DS;
}

static enum insn_result check_prefixes(const struct cursor *c, const struct insn *insn,
				       const struct opcode *o)
{
	bool memory_only = (o->dst & 0x0f) == K_M || (o->src & 0x0f) == K_M;

	if (o->flags & F_64 && c->mode_bits != 64)
		return INSN_UNSUPPORTED;
	if (o->flags & F_NO_REP && c->rep_prefix)
		return INSN_UNSUPPORTED;
	if (o->flags & F_NP && (c->rep_prefix || c->operand_prefix))
		return INSN_UD;
	if (memory_only && c->e.kind != INSN_MEM)
		return INSN_UD;
	if (insn->lock &&
	    (insn->dst.kind != INSN_MEM || !(insn_op_info[o->op].traits & INSN_LOCKABLE)))
		return INSN_UD;
	return INSN_OK;
}

/* Everything after the prefixes, from the opcode's entry in one of the maps. */
static enum insn_result decode_opcode(struct cursor *c, struct insn *insn, const struct opcode *o)
{
	enum insn_result result;

	if (!o->op && !(o->flags & F_GROUP))
		return INSN_UNSUPPORTED;
	if (needs_modrm(o))
		decode_modrm(c, insn);
	if (o->flags & F_GROUP)
		o = &groups[o->op][c->modrm >> 3 & 7];
	if (!o->op)
		return INSN_UNSUPPORTED;

	c->operand_size = operand_size(c, o->flags & F_STACK);
	decode_operand(c, insn, &insn->dst, o->dst);
	decode_operand(c, insn, &insn->src, o->src);
	default_segment(&insn->mem);
	result = check_prefixes(c, insn, o);
	if (result)
		return result;

	insn->op = o->op;
	insn->sign_extend = o->flags & F_SIGNED;
	insn->bit_string = o->flags & F_BITS && insn->dst.kind == INSN_MEM;
	if (o->flags & F_STRING && c->rep_prefix)
		insn->rep = c->rep_prefix == 0xf3 ? INSN_REPE : INSN_REPNE;
	insn->bytes = c->at;
	if (insn->op == INSN_OP_VECTOR)
		return INSN_UNSUPPORTED;
	insn->mode_bits = c->mode_bits;
	memcpy(insn->code, c->bytes, c->at);
	return INSN_OK;
}

/*
 * VEX prefixes: only vector moves have one, so their register and length fields do not matter
 * here. Outside 64-bit mode, C4 and C5 are LES and LDS unless the next byte looks like a register.
 */
static enum insn_result decode_vex(struct cursor *c, struct insn *insn, uint8_t first)
{
	uint8_t byte = next_byte(c);
	unsigned int map = 1;

	if (c->mode_bits != 64 && byte < 0xc0)
		return INSN_UNSUPPORTED;
	if (c->rex || c->operand_prefix || c->rep_prefix || insn->lock)
		return INSN_UD;
	if (first == 0xc4) {
		c->rex = ~byte >> 5 & (REX_B | REX_X | REX_R);
		map = byte & 0x1f;
		next_byte(c);
	}
	const struct opcode *o = &two_byte[next_byte(c)];

	if (map != 1 || o->op != INSN_OP_VECTOR)
		return INSN_UNSUPPORTED;
	return decode_opcode(c, insn, o);
}

enum insn_result insn_decode(struct insn *insn, const uint8_t *bytes, unsigned int n,
			     unsigned int mode_bits)
{
	struct cursor c = {.bytes = bytes, .n = n, .mode_bits = mode_bits};
	enum insn_result result;
	uint8_t byte;

	*insn = (struct insn){.mem = {.base = INSN_NO_REG, .index = INSN_NO_REG}};
	byte = next_opcode_after_prefixes(&c, insn);
	if (byte == 0xc4 || byte == 0xc5) {
		result = decode_vex(&c, insn, byte);
	} else if (byte != 0x0f) {
		result = decode_opcode(&c, insn, &one_byte[byte]);
	} else {
		byte = next_byte(&c);
		result = byte == 0x38 ? decode_opcode(&c, insn, &three_byte_38[next_byte(&c)])
				      : decode_opcode(&c, insn, &two_byte[byte]);
	}
	if (!c.missing)
		return result;
	insn->mode_bits = 0; /* the zeros read for what is missing made it whole */
	return n < INSN_MAX_BYTES ? INSN_MORE : INSN_TOO_LONG;
}
