// SPDX-License-Identifier: MIT
// sources: control-domain/driver/insn_decode.c control-domain/driver/insn_alu.c
// sources: control-domain/driver/insn_step.c
// flags: -Icontrol-domain/driver -lZydis
/*
 * The instruction decoder against Zydis, a disassembler: for the same bytes both must see the same
 * length, operation, operands and prefixes; what Zydis calls illegal we must not carry out, and
 * what we claim to know we must know in every encoding. Bytes come from every opcode with every
 * ModRM byte, and from a seeded random source that prefers our opcodes.
 */
#include <Zydis/Zydis.h>

#include "insn_machine.h"

enum { RANDOM_INSTRUCTIONS = 1500000 };

static uint64_t random_state;

static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* ---- names of the same things */

#define STRING(name)                                                                               \
	[ZYDIS_MNEMONIC_##name##B] = 1, [ZYDIS_MNEMONIC_##name##W] = 1,                            \
	[ZYDIS_MNEMONIC_##name##D] = 1
#define STRINGQ(name) STRING(name), [ZYDIS_MNEMONIC_##name##Q] = 1

static const uint8_t string_mnemonics[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	STRINGQ(MOVS), STRINGQ(CMPS), STRINGQ(STOS), STRINGQ(LODS),
	STRINGQ(SCAS), STRING(INS),   STRING(OUTS),
};

static const uint8_t mnemonics[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	[ZYDIS_MNEMONIC_MOV] = INSN_OP_MOV,    [ZYDIS_MNEMONIC_MOVZX] = INSN_OP_MOV,
	[ZYDIS_MNEMONIC_MOVSX] = INSN_OP_MOV,  [ZYDIS_MNEMONIC_MOVSXD] = INSN_OP_MOV,
	[ZYDIS_MNEMONIC_MOVNTI] = INSN_OP_MOV, [ZYDIS_MNEMONIC_PUSH] = INSN_OP_MOV,
	[ZYDIS_MNEMONIC_POP] = INSN_OP_MOV,    [ZYDIS_MNEMONIC_MOVBE] = INSN_OP_MOVBE,
	[ZYDIS_MNEMONIC_ADD] = INSN_OP_ADD,    [ZYDIS_MNEMONIC_OR] = INSN_OP_OR,
	[ZYDIS_MNEMONIC_ADC] = INSN_OP_ADC,    [ZYDIS_MNEMONIC_SBB] = INSN_OP_SBB,
	[ZYDIS_MNEMONIC_AND] = INSN_OP_AND,    [ZYDIS_MNEMONIC_SUB] = INSN_OP_SUB,
	[ZYDIS_MNEMONIC_XOR] = INSN_OP_XOR,    [ZYDIS_MNEMONIC_CMP] = INSN_OP_CMP,
	[ZYDIS_MNEMONIC_TEST] = INSN_OP_TEST,  [ZYDIS_MNEMONIC_INC] = INSN_OP_INC,
	[ZYDIS_MNEMONIC_DEC] = INSN_OP_DEC,    [ZYDIS_MNEMONIC_NOT] = INSN_OP_NOT,
	[ZYDIS_MNEMONIC_NEG] = INSN_OP_NEG,    [ZYDIS_MNEMONIC_XCHG] = INSN_OP_XCHG,
	[ZYDIS_MNEMONIC_XADD] = INSN_OP_XADD,  [ZYDIS_MNEMONIC_CMPXCHG] = INSN_OP_CMPXCHG,
	[ZYDIS_MNEMONIC_BT] = INSN_OP_BT,      [ZYDIS_MNEMONIC_BTS] = INSN_OP_BTS,
	[ZYDIS_MNEMONIC_BTR] = INSN_OP_BTR,    [ZYDIS_MNEMONIC_BTC] = INSN_OP_BTC,
};

/* What Zydis decoded, and the same instruction in ours; kept together for the error message. */
struct pair {
	const uint8_t *bytes;
	unsigned int mode_bits;
	struct insn ours;
	ZydisDecodedInstruction theirs;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static void differ(const struct pair *p, const char *what)
{
	char hex[3 * INSN_MAX_BYTES + 1] = "";

	for (int i = 0; i < INSN_MAX_BYTES; i++)
		sprintf(hex + 3 * i, "%02x ", p->bytes[i]);
	test_fail(__FILE__, __LINE__, "%s differs: %u bits, %s(Zydis: %s, %u bytes; we: %u bytes)",
		  what, p->mode_bits, hex, ZydisMnemonicGetString(p->theirs.mnemonic),
		  p->theirs.length, p->ours.bytes);
}

static void same(const struct pair *p, bool is_same, const char *what)
{
	if (!is_same)
		differ(p, what);
}

static bool is_string(const struct pair *p)
{
	return p->theirs.meta.category == ZYDIS_CATEGORY_STRINGOP ||
	       p->theirs.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

static unsigned int op_of(const struct pair *p)
{
	if (!is_string(p))
		return mnemonics[p->theirs.mnemonic];
	switch (p->theirs.mnemonic) {
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		return INSN_OP_CMP;
	default:
		return string_mnemonics[p->theirs.mnemonic] ? INSN_OP_MOV : INSN_OP_NONE;
	}
}

static ZydisRegister register_of(unsigned int reg, unsigned int bytes)
{
	switch (reg) {
	case INSN_NO_REG:
		return ZYDIS_REGISTER_NONE;
	case INSN_RIP:
		return bytes == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
	case INSN_AH ... INSN_BH:
		return ZYDIS_REGISTER_AH + reg - INSN_AH;
	}
	switch (bytes) {
	case 1:
		return reg < 4 ? ZYDIS_REGISTER_AL + reg : ZYDIS_REGISTER_SPL + reg - 4;
	case 2:
		return ZYDIS_REGISTER_AX + reg;
	case 4:
		return ZYDIS_REGISTER_EAX + reg;
	default:
		return ZYDIS_REGISTER_RAX + reg;
	}
}

static ZydisRegister segment_register(unsigned int seg)
{
	return ZYDIS_REGISTER_ES + seg;
}

/* The operand's memory among Zydis's operands: the only explicit one, or the one with that base. */
static const ZydisDecodedOperand *memory_of(const struct pair *p, ZydisRegister base)
{
	for (int i = 0; i < p->theirs.operand_count; i++) {
		const ZydisDecodedOperand *o = &p->operands[i];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.type != ZYDIS_MEMOP_TYPE_MEM)
			continue;
		if (base == ZYDIS_REGISTER_NONE ? o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT
						: o->mem.base == base)
			return o;
	}
	return NULL;
}

static void compare_memory(const struct pair *p, const struct insn_operand *o)
{
	const ZydisDecodedOperand *z = memory_of(p, ZYDIS_REGISTER_NONE);
	const struct insn_mem *m = &p->ours.mem;
	unsigned int address_size = p->ours.address_size;
	int64_t disp;

	same(p, z, "memory operand");
	/* MOVSXD with a 16-bit destination reads 16 bits on Intel's CPUs, 32 on AMD's. */
	if (p->theirs.mnemonic != ZYDIS_MNEMONIC_MOVSXD || p->ours.dst.size != 2)
		same(p, z->size == 8 * o->size, "memory size");
	/* Zydis 4.0.0 sees R13D where a SIB byte with 32-bit addresses says "no base"; CPUs do not.
	 */
	if (m->base == INSN_NO_REG && z->mem.base == ZYDIS_REGISTER_R13D)
		return;
	same(p, z->mem.base == register_of(m->base, address_size), "base");
	same(p, z->mem.index == register_of(m->index, address_size), "index");
	if (m->index != INSN_NO_REG)
		same(p, z->mem.scale == 1 << m->scale, "scale");
	same(p, z->mem.segment == segment_register(m->seg), "segment");
	disp = z->mem.disp.has_displacement ? z->mem.disp.value : 0;
	same(p, ((uint64_t)(disp ^ m->disp) & insn_mask(address_size)) == 0, "displacement");
}

static void compare_string(const struct pair *p, const struct insn_operand *o)
{
	bool source = o->kind == INSN_SI;
	const ZydisDecodedOperand *z =
		memory_of(p, register_of(source ? INSN_RSI : INSN_RDI, p->ours.address_size));

	same(p, z, "string operand");
	same(p, z->size == 8 * o->size, "string size");
	same(p, z->mem.segment == segment_register(source ? p->ours.mem.seg : INSN_ES),
	     "string segment");
}

static void compare_operand(const struct pair *p, const struct insn_operand *o, int position)
{
	const ZydisDecodedOperand *z = &p->operands[position];
	unsigned int size;

	switch (o->kind) {
	case INSN_NONE:
		same(p, p->theirs.operand_count_visible == position, "number of operands");
		break;
	case INSN_REG:
		if (is_string(p)) {
			same(p, o->reg == INSN_RAX, "accumulator");
			break;
		}
		same(p, z->type == ZYDIS_OPERAND_TYPE_REGISTER, "register operand");
		same(p, z->reg.value == register_of(o->reg, o->size), "register");
		break;
	case INSN_IMM:
		same(p, z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE, "immediate operand");
		/* Where Zydis does not extend it, as in BT, the upper bits do not matter. */
		size = z->imm.is_signed ? p->ours.dst.size : o->size;
		same(p, ((z->imm.value.u ^ p->ours.imm) & insn_mask(size)) == 0, "immediate");
		break;
	case INSN_MEM:
		compare_memory(p, o);
		break;
	case INSN_SI:
	case INSN_DI:
		compare_string(p, o);
		break;
	case INSN_STACK:
		same(p, p->theirs.operand_width == 8 * o->size, "stack width");
		break;
	case INSN_DX:
		same(p, p->theirs.meta.category == ZYDIS_CATEGORY_IOSTRINGOP, "port");
		break;
	default:
		differ(p, "operand kind");
	}
}

static void compare_prefixes(const struct pair *p)
{
	const ZydisInstructionAttributes repeat = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE;

	same(p, !!(p->theirs.attributes & ZYDIS_ATTRIB_HAS_LOCK) == p->ours.lock, "LOCK");
	if (!is_string(p))
		return;
	/* Zydis follows the manual: F2 before MOVS means nothing. CPUs repeat it all the same. */
	if (p->theirs.attributes & repeat)
		same(p, p->ours.rep == INSN_REPE, "REP");
	else if (p->theirs.attributes & ZYDIS_ATTRIB_HAS_REPNE)
		same(p, p->ours.rep == INSN_REPNE, "REPNE");
	else
		same(p, p->ours.rep == (p->ours.op == INSN_OP_MOV ? p->ours.rep & INSN_REPNE : 0),
		     "no REP");
}

/* Zydis sees one of our operations in a form that touches memory. */
static bool we_claim(const struct pair *p)
{
	if (p->theirs.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !op_of(p))
		return false;
	if (is_string(p))
		return true;
	/* 82 is 80 once more, outside 64-bit mode; no assembler ever wrote it. */
	if (p->theirs.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && p->theirs.opcode == 0x82)
		return false;
	if (!memory_of(p, ZYDIS_REGISTER_NONE))
		return false;
	for (int i = 0; i < p->theirs.operand_count_visible; i++)
		if (p->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(p->operands[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return false;
	return true;
}

static unsigned int compared; /* instructions that both know */

static void compare(const ZydisDecoder *decoder, const uint8_t *bytes, unsigned int mode_bits)
{
	struct pair p = {.bytes = bytes, .mode_bits = mode_bits};
	enum insn_result result = insn_decode(&p.ours, bytes, INSN_MAX_BYTES, mode_bits);
	ZyanStatus status =
		ZydisDecoderDecodeFull(decoder, bytes, INSN_MAX_BYTES, &p.theirs, p.operands);

	switch (result) {
	case INSN_OK:
		same(&p, ZYAN_SUCCESS(status), "legality");
		same(&p, p.ours.bytes == p.theirs.length, "length");
		same(&p, p.ours.op == op_of(&p), "operation");
		same(&p, p.ours.address_size * 8 == p.theirs.address_width, "address width");
		same(&p,
		     p.ours.sign_extend == (p.theirs.mnemonic == ZYDIS_MNEMONIC_MOVSX ||
					    p.theirs.mnemonic == ZYDIS_MNEMONIC_MOVSXD),
		     "sign extension");
		compare_operand(&p, &p.ours.dst, 0);
		compare_operand(&p, &p.ours.src, p.ours.dst.kind == INSN_STACK ? 0 : 1);
		compare_prefixes(&p);
		compared++;
		break;
	case INSN_UNSUPPORTED:
		same(&p, !ZYAN_SUCCESS(status) || !we_claim(&p), "support");
		if (p.ours.bytes && ZYAN_SUCCESS(status))
			same(&p, p.ours.bytes == p.theirs.length, "length");
		break;
	case INSN_UD:
		same(&p, !ZYAN_SUCCESS(status), "illegality");
		break;
	case INSN_TOO_LONG:
		same(&p,
		     status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ||
			     status == ZYDIS_STATUS_NO_MORE_DATA || !ZYAN_SUCCESS(status),
		     "excess");
		break;
	default:
		differ(&p, "need of more bytes");
	}
}

static const struct {
	unsigned int bits;
	ZydisMachineMode mode;
	ZydisStackWidth stack;
} modes[] = {
	{16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
	{32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
	{64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
};

#define FOR_EACH_MODE(i, decoder)                                                                  \
	ZydisDecoder decoder;                                                                      \
	for (unsigned int i = 0;                                                                   \
	     i < 3 && ZYAN_SUCCESS(ZydisDecoderInit(&decoder, modes[i].mode, modes[i].stack));     \
	     i++)

static void fill_random(uint8_t *bytes)
{
	uint64_t r[2] = {random_u64(), random_u64()};

	memcpy(bytes, r, INSN_MAX_BYTES);
}

TEST(every_opcode_with_every_modrm)
{
	static const char *const prefixes[] = {"",	   "\x66", "\x67",     "\xf0",	   "\xf2",
					       "\xf3",	   "\x48", "\x45",     "\x66\x44", "\x2e",
					       "\x65\x4f", "\x26", "\x66\x67", "\xf3\x66"};
	static const char *const maps[] = {"", "\x0f", "\x0f\x38"};
	uint8_t bytes[INSN_MAX_BYTES];

	random_state = 1;
	FOR_EACH_MODE(i, decoder)
	{
		for (unsigned int p = 0; p < sizeof(prefixes) / sizeof(*prefixes); p++) {
			for (unsigned int code = 0; code < 3 * 0x10000; code++) {
				const char *map = maps[code >> 16];
				unsigned int at = strlen(prefixes[p]);

				fill_random(bytes);
				memcpy(bytes, prefixes[p], at);
				memcpy(bytes + at, map, strlen(map));
				at += strlen(map);
				bytes[at] = code >> 8;
				bytes[at + 1] = code;
				compare(&decoder, bytes, modes[i].bits);
			}
		}
	}
	CHECK(compared > 100000);
}

TEST(random_instructions)
{
	static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e,
					   0x26, 0x64, 0x65, 0x40, 0x48, 0x4f, 0xc4, 0xc5};
	uint8_t bytes[INSN_MAX_BYTES];

	random_state = 2;
	FOR_EACH_MODE(i, decoder)
	{
		for (unsigned int n = 0; n < RANDOM_INSTRUCTIONS / 3; n++) {
			unsigned int count = random_u64() % 4, at = 0;

			fill_random(bytes);
			if (random_u64() % 64 == 0)
				count = random_u64() % INSN_MAX_BYTES;
			for (; at < count; at++)
				bytes[at] = prefixes[random_u64() % sizeof(prefixes)];
			if (random_u64() % 2 && at < INSN_MAX_BYTES)
				bytes[at] = 0x0f;
			compare(&decoder, bytes, modes[i].bits);
		}
	}
	CHECK(compared > RANDOM_INSTRUCTIONS / 10);
}
