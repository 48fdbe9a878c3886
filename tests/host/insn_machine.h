// SPDX-License-Identifier: MIT
/*
 * A machine for the instruction decoder's tests: RAM of a few pages, a device behind it, and one
 * page that faults, all with linear = guest-physical addresses. The device does nothing: a test
 * sees its requests and plays its part. Instructions are written in assembly, not in hexadecimal.
 */
#pragma once

#include "insn.h"
#include "test.h"

#define RAM_BYTES  0x8000u
#define DEVICE	   0x8000u /* no RAM from here on */
#define ABSENT	   0x4000u /* one page that is not mapped */
#define READ_ONLY  0x5000u /* one page that is mapped read-only */
#define FLAT_DATA  0xc093u /* present, writable, accessed, 32 bits, page granular */
#define FLAT_CODE  0xc09bu
#define SEGMENT_16 0x0093u
#define PAGE_BYTES 0x1000u

struct machine {
	struct insn_cpu cpu;
	struct insn_run run;
	uint8_t ram[RAM_BYTES];
	unsigned int translations, ram_accesses;
};

/* The bytes of one instruction, assembled for 16, 32 or 64 bits: a struct code value. */
#define CODE(bits, text)	   CODE_UNIQUE(__COUNTER__, bits, text)
#define CODE_UNIQUE(n, bits, text) CODE_LABELLED(n, bits, text)
#define CODE_LABELLED(n, bits, text)                                                               \
	({                                                                                         \
		asm(".pushsection .rodata\n.code" #bits "\ncode_" #n ":\n" text "\ncode_end_" #n   \
		    ":\n.code64\n.popsection");                                                    \
		extern const uint8_t code_##n[], code_end_##n[];                                   \
		(struct code){code_##n, code_end_##n - code_##n, bits};                            \
	})

struct code {
	const uint8_t *bytes;
	unsigned int n, mode_bits;
};

static inline bool machine_translate(void *context, uint64_t linear, unsigned int intent,
				     uint64_t *gpa, struct guest_fault *fault)
{
	struct machine *m = context;
	uint64_t page = linear & ~(uint64_t)(PAGE_BYTES - 1);
	bool write = intent & INSN_WRITE;

	m->translations++;
	if (page == ABSENT || (page == READ_ONLY && write)) {
		*fault = (struct guest_fault){
			.vector = VECTOR_PF,
			.has_error = true,
			.error = (page == READ_ONLY) | write << 1,
			.cr2 = linear,
		};
		return false;
	}
	*gpa = linear;
	return true;
}

static inline bool machine_read(void *context, uint64_t gpa, void *data, unsigned int bytes)
{
	struct machine *m = context;

	if (gpa >= RAM_BYTES)
		return false;
	m->ram_accesses++;
	memcpy(data, m->ram + gpa, bytes);
	return true;
}

static inline bool machine_write(void *context, uint64_t gpa, const void *data, unsigned int bytes)
{
	struct machine *m = context;

	if (gpa >= RAM_BYTES)
		return false;
	m->ram_accesses++;
	memcpy(m->ram + gpa, data, bytes);
	return true;
}

static const struct insn_ops machine_ops = {machine_translate, machine_read, machine_write};

/* Flat segments, paging as if on, no flag but the one that is always set. */
static inline void machine_init(struct machine *m, unsigned int mode_bits)
{
	memset(m, 0, sizeof(*m));
	m->cpu.mode_bits = mode_bits;
	m->cpu.address_bits = 48;
	m->cpu.rflags = 2;
	for (int i = 0; i < INSN_SEGS; i++)
		m->cpu.seg[i] = (struct insn_segment){0, 0xffffffff, FLAT_DATA};
	m->cpu.seg[INSN_CS].rights = FLAT_CODE;
}

static inline enum insn_status machine_step(struct machine *m)
{
	return insn_step(&m->run, &m->cpu, &machine_ops, m);
}

/* Decodes code, which must be one whole supported instruction, and takes the first step. */
static inline enum insn_status machine_start(struct machine *m, struct code code)
{
	insn_start(&m->run);
	CHECK_EQ(insn_decode(&m->run.insn, code.bytes, code.n, code.mode_bits), INSN_OK);
	CHECK_EQ(m->run.insn.bytes, code.n);
	CHECK_EQ(code.mode_bits, m->cpu.mode_bits);
	return machine_step(m);
}

/* Answers the read that is under way. */
static inline enum insn_status machine_answer(struct machine *m, uint64_t data)
{
	m->run.request.data = data;
	return machine_step(m);
}
