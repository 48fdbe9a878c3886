// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that touch device memory, or that move strings to and from ports: a guest executed
 * one, the CPU exited because only a device model can answer, and now the driver must finish it.
 * insn_decode() turns bytes into operands; insn_step() carries them out, one access at a time.
 *
 * The device model lives in user space, so insn_step() cannot call it. It *returns* with a request
 * and is called again with the answer: a resumable machine whose whole state is struct insn_run.
 * Every access is made exactly once, in the order of the hardware, and registers and memory change
 * only after all faults have been excluded: addresses are translated before the first access, so
 * that no read with side effects is ever repeated because of a page fault that came late.
 *
 * Not here: how bytes are fetched and linear addresses are walked (gwalk.h; the driver connects
 * the two), single-step traps, the interrupt shadow, alignment checks, permission of ports (the CPU
 * checks it before it exits). Locked instructions on device memory are not atomic: nothing is,
 * between two processes and a bus that does not exist.
 *
 * Read next: insn_decode.c (the tables), insn_alu.c (results and flags), insn_step.c (the machine).
 */
#pragma once

#include "pure.h"

#define INSN_MAX_BYTES 15

enum insn_reg {
	INSN_RAX,
	INSN_RCX,
	INSN_RDX,
	INSN_RBX,
	INSN_RSP,
	INSN_RBP,
	INSN_RSI,
	INSN_RDI, /* R8 to R15 follow */
	INSN_AH = 16,
	INSN_CH,
	INSN_DH,
	INSN_BH,
	INSN_RIP,
	INSN_NO_REG = 0xff,
};

enum insn_seg_name { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS, INSN_SEGS };

enum insn_op {
	INSN_OP_NONE,
	INSN_OP_MOV,
	INSN_OP_MOVBE,
	INSN_OP_ADD,
	INSN_OP_OR,
	INSN_OP_ADC,
	INSN_OP_SBB,
	INSN_OP_AND,
	INSN_OP_SUB,
	INSN_OP_XOR,
	INSN_OP_CMP,
	INSN_OP_TEST,
	INSN_OP_INC,
	INSN_OP_DEC,
	INSN_OP_NOT,
	INSN_OP_NEG,
	INSN_OP_XCHG,
	INSN_OP_XADD,
	INSN_OP_CMPXCHG,
	INSN_OP_BT,
	INSN_OP_BTS,
	INSN_OP_BTR,
	INSN_OP_BTC,
	INSN_OP_VECTOR, /* moves of MMX, XMM and YMM registers: length known, not carried out */
	INSN_OPS,
};

enum insn_kind {
	INSN_NONE,
	INSN_REG,
	INSN_IMM,   /* from here on, accesses: */
	INSN_MEM,   /* insn.mem */
	INSN_STACK, /* PUSH as a destination, POP as a source */
	INSN_SI,    /* string source: insn.mem.seg:rSI */
	INSN_DI,    /* string destination: ES:rDI */
	INSN_DX,    /* port */
};

struct insn_operand {
	uint8_t kind;
	uint8_t reg;  /* enum insn_reg */
	uint8_t size; /* bytes: 1, 2, 4, 8 */
};

struct insn_mem {
	int64_t disp;
	uint8_t base, index; /* enum insn_reg, INSN_NO_REG without */
	uint8_t scale;	     /* shift of the index: 0 to 3 */
	uint8_t seg;	     /* enum insn_seg_name */
};

enum insn_rep { INSN_REP_NONE, INSN_REPE, INSN_REPNE };

/* A decoded instruction; a value, without pointers, that depends on its bytes and mode alone. */
struct insn {
	struct insn_mem mem;
	int64_t imm; /* sign-extended */
	struct insn_operand dst, src;
	uint8_t op;	      /* enum insn_op */
	uint8_t bytes;	      /* length */
	uint8_t address_size; /* 2, 4, 8 */
	uint8_t rep;	      /* enum insn_rep; of string instructions alone */
	bool sign_extend;     /* the source, from its size to the destination's */
	bool lock;
	uint8_t mode_bits;	      /* 0 unless insn_decode() said INSN_OK */
	uint8_t code[INSN_MAX_BYTES]; /* what it was decoded from */
	bool bit_string; /* BT and its like with a register offset: it reaches beyond the operand */
};

enum insn_result {
	INSN_OK,
	INSN_MORE,	  /* the instruction is longer than the bytes given: fetch more */
	INSN_UNSUPPORTED, /* not one of ours; insn->bytes is its length, or 0 where unknown */
	INSN_UD,	  /* the guest gets #UD */
	INSN_TOO_LONG,	  /* more than 15 bytes: the guest gets #GP(0) */
};

/*
 * Decodes the instruction at bytes[0..n), n <= 15, for a code segment of mode_bits 16, 32 or 64.
 * *insn is complete only with INSN_OK.
 * Source: SDM 2A "Instruction Format" (2), SDM 2D "Opcode Map" (A).
 */
enum insn_result insn_decode(struct insn *insn, const uint8_t *bytes, unsigned int n,
			     unsigned int mode_bits);

/*
 * True if insn is what insn_decode() would make of these bytes: a driver's loop in the guest
 * touches its device with the same instruction again and again, and decoding costs more than this.
 */
static inline bool insn_matches(const struct insn *insn, const uint8_t *bytes, unsigned int n,
				unsigned int mode_bits)
{
	return insn->mode_bits == mode_bits && insn->bytes <= n &&
	       !memcmp(insn->code, bytes, insn->bytes);
}

/* A segment as the VMCS has it: limit in bytes, rights in the access-rights format. */
struct insn_segment {
	uint64_t base;
	uint32_t limit;
	uint32_t rights;
};

/* The state that instructions read and change. rip points at the instruction until it is done. */
struct insn_cpu {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags;
	struct insn_segment seg[INSN_SEGS];
	uint8_t mode_bits;    /* 16, 32, 64: EFER.LMA with CS.L, else CS.D */
	uint8_t address_bits; /* of canonical addresses: 48, or 57 with CR4.LA57 */
	bool real;	      /* CR0.PE is 0 */
	bool flat;	      /* the one operand's segment is known to begin at 0 and allow it */
};

enum insn_intent { INSN_READ = 1, INSN_WRITE = 2 };

/* What the driver lends. Nothing here may sleep on user space; that is what requests are for. */
struct insn_ops {
	/*
	 * Guest-physical address of one linear address, for an access with the intent (a mask of
	 * enum insn_intent) that stays within its 4 KiB page. False with *fault filled in.
	 */
	bool (*translate)(void *context, uint64_t linear, unsigned int intent, uint64_t *gpa,
			  struct guest_fault *fault);
	/* Copies to or from guest RAM within one page; false where there is no RAM: a device. */
	bool (*read)(void *context, uint64_t gpa, void *data, unsigned int bytes);
	bool (*write)(void *context, uint64_t gpa, const void *data, unsigned int bytes);
};

enum insn_status {
	INSN_DONE,	 /* rip has moved on */
	INSN_AGAIN,	 /* one iteration done, more to come: take interrupts, or call again */
	INSN_MMIO_READ,	 /* wants request.data from request.address */
	INSN_MMIO_WRITE, /* wants request.data brought to request.address */
	INSN_PIO_IN,	 /* the same with ports */
	INSN_PIO_OUT,
	INSN_FAULT, /* inject run->fault; registers as before this iteration */
};

struct insn_request {
	uint64_t address; /* guest-physical, or port */
	uint64_t data;	  /* little endian: the lowest byte belongs to the lowest address */
	uint8_t bytes;	  /* 1, 2, 4 or 8; never across a page */
};

/* One access of an iteration: at most two pages, done piece by piece. */
struct insn_access {
	uint64_t address[2]; /* guest-physical per page, or the port */
	uint64_t data;
	uint8_t first; /* bytes in the first page */
	uint8_t done;
};

enum insn_access_name { INSN_ACCESS_SRC, INSN_ACCESS_DST, INSN_ACCESS_OUT, INSN_ACCESSES };

/* Values of one operation; above the operand size, inputs are ignored and outputs undefined. */
struct insn_values {
	uint64_t dst, src, acc; /* acc: rAX of CMPXCHG */
	uint64_t rflags;
	unsigned int bytes;
};

/* The machine. Fill in insn and call insn_start(); to give up between two calls, just forget it. */
struct insn_run {
	struct insn insn;
	struct insn_request request;
	struct guest_fault fault;
	struct insn_access access[INSN_ACCESSES];
	struct insn_values values;
	uint8_t waiting; /* 1 + enum insn_access_name of the request under way, or 0 */
	bool located;	 /* this iteration's addresses are translated */
	bool computed;	 /* its operands are read and its values final */
};

static inline void insn_start(struct insn_run *run)
{
	run->waiting = 0;
	run->located = run->computed = false;
}

/*
 * Goes on until something is needed, done or wrong. After a request, call again with
 * run->request.data answered (reads) and cpu unchanged. After INSN_AGAIN, cpu is that of a CPU
 * interrupted between two iterations; a later run may start from there anew.
 */
enum insn_status insn_step(struct insn_run *run, struct insn_cpu *cpu, const struct insn_ops *ops,
			   void *context);

/*
 * The offset of insn's operand in its segment. Only when insn_is_plain(): it touches memory once,
 * at the operand that its bytes name.
 */
uint64_t insn_offset(const struct insn *insn, const struct insn_cpu *cpu);

static inline bool insn_is_plain(const struct insn *insn)
{
	return (insn->dst.kind == INSN_MEM && insn->src.kind <= INSN_IMM) ||
	       (insn->src.kind == INSN_MEM && insn->dst.kind <= INSN_IMM);
}

/* ---- between the insn_*.c files */

/* bits: 1 to 64 */
static inline int64_t insn_sign_extend(uint64_t value, unsigned int bits)
{
	return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

/* bytes: 1 to 8 */
static inline uint64_t insn_mask(unsigned int bytes)
{
	return ~0ull >> (64 - 8 * bytes);
}

enum insn_traits {
	INSN_READS_DST = 1,
	INSN_WRITES_DST = 2,
	INSN_WRITES_SRC = 4, /* XCHG, XADD */
	INSN_LOCKABLE = 8,
};

struct insn_op_info {
	void (*compute)(struct insn_values *v);
	uint8_t traits;
};

extern const struct insn_op_info insn_op_info[INSN_OPS];
