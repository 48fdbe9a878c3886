// SPDX-License-Identifier: GPL-2.0-only
/*
 * Carries out a decoded instruction. One iteration (of a REP, or the whole of anything else) is:
 * locate both operands, read the source, read the destination if the operation needs it, compute,
 * write the destination, commit the registers. insn_step() runs through that from the top each time
 * it is called, past what is done already: run->access[] counts the bytes of each access, and what
 * the registers say has not changed. So there is no state to switch on.
 *
 * Faults come out of the first step alone. After it, an iteration can only finish.
 *
 * Source: SDM 1 "Addressing" (3.7), SDM 3A "Limit Checking" (5.3), "Type Checking" (5.5),
 * SDM 2B "REP/REPE/REPZ/REPNE/REPNZ".
 */
#include "insn.h"

#define PAGE_BYTES 4096u
#define RFLAGS_ZF  (1u << 6)
#define RFLAGS_DF  (1u << 10)
#define RFLAGS_RF  (1u << 16)

enum segment_rights {
	RIGHTS_TYPE_RW = 1u << 1, /* data: writable; code: readable */
	RIGHTS_TYPE_EXPAND_DOWN = 1u << 2,
	RIGHTS_TYPE_CODE = 1u << 3,
	RIGHTS_DB = 1u << 14,
	RIGHTS_UNUSABLE = 1u << 16,
};

/* ---- registers */

static uint64_t reg_read(const struct insn_cpu *cpu, unsigned int reg, unsigned int bytes)
{
	if (reg >= INSN_AH)
		return cpu->gpr[reg - INSN_AH] >> 8 & 0xff;
	return cpu->gpr[reg] & insn_mask(bytes);
}

/* Four bytes clear the upper half, as 64-bit mode does and as no other mode can see. */
static void reg_write(struct insn_cpu *cpu, unsigned int reg, unsigned int bytes, uint64_t value)
{
	uint64_t mask = bytes == 4 ? ~0ull : insn_mask(bytes);

	value &= insn_mask(bytes);
	if (reg >= INSN_AH) {
		reg -= INSN_AH;
		mask = 0xff00;
		value <<= 8;
	}
	cpu->gpr[reg] = (cpu->gpr[reg] & ~mask) | value;
}

static unsigned int stack_address_size(const struct insn_cpu *cpu)
{
	if (cpu->mode_bits == 64)
		return 8;
	return cpu->seg[INSN_SS].rights & RIGHTS_DB ? 4 : 2;
}

static void reg_add(struct insn_cpu *cpu, unsigned int reg, unsigned int bytes, int64_t delta)
{
	reg_write(cpu, reg, bytes, cpu->gpr[reg] + delta);
}

/* ---- where operands are */

static bool fault_segment(struct insn_run *run, const struct insn_cpu *cpu, unsigned int seg)
{
	run->fault = (struct guest_fault){
		.vector = seg == INSN_SS ? VECTOR_SS : VECTOR_GP,
		.has_error = !cpu->real,
	};
	return false;
}

static bool canonical(const struct insn_cpu *cpu, uint64_t address)
{
	return (uint64_t)insn_sign_extend(address, cpu->address_bits) == address;
}

/* Protected mode checks rights and limit; real and virtual-8086 mode have the limit alone. */
static bool segment_allows(const struct insn_cpu *cpu, const struct insn_segment *s,
			   uint64_t offset, unsigned int bytes, unsigned int intent)
{
	uint64_t last = offset + bytes - 1;
	bool code = s->rights & RIGHTS_TYPE_CODE;

	if (!cpu->real) {
		if (s->rights & RIGHTS_UNUSABLE)
			return false;
		if (intent & INSN_WRITE && (code || !(s->rights & RIGHTS_TYPE_RW)))
			return false;
		if (intent & INSN_READ && code && !(s->rights & RIGHTS_TYPE_RW))
			return false;
		if (!code && s->rights & RIGHTS_TYPE_EXPAND_DOWN)
			return offset > s->limit &&
			       last <= (s->rights & RIGHTS_DB ? 0xffffffff : 0xffff);
	}
	return last <= s->limit;
}

static bool linear_address(struct insn_run *run, const struct insn_cpu *cpu, unsigned int seg,
			   uint64_t offset, unsigned int bytes, unsigned int intent,
			   uint64_t *linear)
{
	const struct insn_segment *s = &cpu->seg[seg];

	if (cpu->mode_bits == 64) {
		*linear = offset + (seg >= INSN_FS ? s->base : 0);
		if (!canonical(cpu, *linear) || !canonical(cpu, *linear + bytes - 1))
			return fault_segment(run, cpu, seg);
		return true;
	}
	*linear = offset;
	if (cpu->flat)
		return true;
	if (!segment_allows(cpu, s, offset, bytes, intent))
		return fault_segment(run, cpu, seg);
	*linear = (uint32_t)(s->base + offset);
	return true;
}

uint64_t insn_offset(const struct insn *insn, const struct insn_cpu *cpu)
{
	const struct insn_mem *m = &insn->mem;
	uint64_t address = m->disp;

	if (m->base == INSN_RIP)
		address += cpu->rip + insn->bytes;
	else if (m->base != INSN_NO_REG)
		address += cpu->gpr[m->base];
	if (m->index != INSN_NO_REG)
		address += cpu->gpr[m->index] << m->scale;
	/* POP computes its destination with the stack pointer already moved on. */
	if (insn->src.kind == INSN_STACK && m->base == INSN_RSP)
		address += insn->src.size;
	if (insn->bit_string) {
		unsigned int bytes = insn->src.size;
		int64_t bit = insn_sign_extend(cpu->gpr[insn->src.reg], 8 * bytes);

		address += (bit >> 3) & ~(int64_t)(bytes - 1);
	}
	return address & insn_mask(insn->address_size);
}

/* Fills in run->access[name]'s addresses, where the operand is in memory or a port. */
static bool locate(struct insn_run *run, const struct insn_cpu *cpu, const struct insn_ops *ops,
		   void *context, enum insn_access_name name, unsigned int intent)
{
	const struct insn *insn = &run->insn;
	const struct insn_operand *o = name == INSN_ACCESS_SRC ? &insn->src : &insn->dst;
	struct insn_access *a = &run->access[name];
	unsigned int seg = insn->mem.seg, left;
	uint64_t offset, linear;

	a->data = 0;
	a->done = 0;
	switch (o->kind) {
	case INSN_SI:
		offset = reg_read(cpu, INSN_RSI, insn->address_size);
		break;
	case INSN_DI:
		offset = reg_read(cpu, INSN_RDI, insn->address_size);
		seg = INSN_ES;
		break;
	case INSN_STACK:
		offset = cpu->gpr[INSN_RSP] - (name == INSN_ACCESS_DST ? o->size : 0);
		offset &= insn_mask(stack_address_size(cpu));
		seg = INSN_SS;
		break;
	case INSN_DX:
		a->address[0] = reg_read(cpu, INSN_RDX, 2);
		a->first = o->size;
		return true;
	default: /* INSN_MEM */
		offset = insn_offset(insn, cpu);
		break;
	}

	if (!linear_address(run, cpu, seg, offset, o->size, intent, &linear))
		return false;
	left = PAGE_BYTES - linear % PAGE_BYTES;
	a->first = left < o->size ? left : o->size;
	if (!ops->translate(context, linear, intent, &a->address[0], &run->fault))
		return false;
	if (a->first == o->size)
		return true;
	linear += a->first;
	if (cpu->mode_bits != 64)
		linear = (uint32_t)linear;
	return ops->translate(context, linear, intent, &a->address[1], &run->fault);
}

static bool is_access(const struct insn_operand *o)
{
	return o->kind > INSN_IMM;
}

static bool locate_operands(struct insn_run *run, const struct insn_cpu *cpu,
			    const struct insn_ops *ops, void *context)
{
	unsigned int traits = insn_op_info[run->insn.op].traits;
	unsigned int dst_intent = (traits & INSN_READS_DST ? INSN_READ : 0) |
				  (traits & INSN_WRITES_DST ? INSN_WRITE : 0);

	if (is_access(&run->insn.src) &&
	    !locate(run, cpu, ops, context, INSN_ACCESS_SRC, INSN_READ))
		return false;
	if (is_access(&run->insn.dst)) {
		if (!locate(run, cpu, ops, context, INSN_ACCESS_DST, dst_intent))
			return false;
		run->access[INSN_ACCESS_OUT] = run->access[INSN_ACCESS_DST];
	}
	run->located = true;
	return true;
}

/* ---- accesses */

static void take_answer(struct insn_run *run)
{
	struct insn_access *a = &run->access[run->waiting - 1];

	if (run->waiting - 1 != INSN_ACCESS_OUT)
		a->data |= (run->request.data & insn_mask(run->request.bytes)) << (8 * a->done);
	a->done += run->request.bytes;
	run->waiting = 0;
}

static unsigned int power_of_two_within(unsigned int bytes)
{
	return 1u << (31 - __builtin_clz(bytes));
}

/* Moves access a on until it is whole (INSN_DONE) or a device has to be asked. */
static enum insn_status transfer(struct insn_run *run, const struct insn_ops *ops, void *context,
				 enum insn_access_name name, const struct insn_operand *o)
{
	struct insn_access *a = &run->access[name];
	bool out = name == INSN_ACCESS_OUT;

	while (a->done < o->size) {
		bool second = a->done >= a->first;
		unsigned int start = second ? a->first : 0;
		unsigned int end = second ? o->size : a->first;
		unsigned int bytes = power_of_two_within(end - a->done);
		uint64_t address = a->address[second] + a->done - start;
		uint64_t data = out ? a->data >> (8 * a->done) & insn_mask(bytes) : 0;

		if (o->kind != INSN_DX && (out ? ops->write(context, address, &data, bytes)
					       : ops->read(context, address, &data, bytes))) {
			if (!out)
				a->data |= data << (8 * a->done);
			a->done += bytes;
			continue;
		}
		run->request = (struct insn_request){address, data, bytes};
		run->waiting = 1 + name;
		if (o->kind == INSN_DX)
			return out ? INSN_PIO_OUT : INSN_PIO_IN;
		return out ? INSN_MMIO_WRITE : INSN_MMIO_READ;
	}
	return INSN_DONE;
}

/* An operand's value, zero-extended, from wherever it is. */
static enum insn_status fetch(struct insn_run *run, const struct insn_cpu *cpu,
			      const struct insn_ops *ops, void *context, enum insn_access_name name,
			      uint64_t *value)
{
	const struct insn_operand *o = name == INSN_ACCESS_SRC ? &run->insn.src : &run->insn.dst;
	enum insn_status status = INSN_DONE;

	switch (o->kind) {
	case INSN_NONE:
		*value = 0;
		break;
	case INSN_REG:
		*value = reg_read(cpu, o->reg, o->size);
		break;
	case INSN_IMM:
		*value = run->insn.imm;
		break;
	default:
		status = transfer(run, ops, context, name, o);
		*value = run->access[name].data;
		break;
	}
	return status;
}

/* ---- the end of an iteration */

static void move_pointer(struct insn_cpu *cpu, const struct insn *insn,
			 const struct insn_operand *o, bool is_dst)
{
	int64_t step = cpu->rflags & RFLAGS_DF ? -(int64_t)o->size : o->size;

	if (o->kind == INSN_SI)
		reg_add(cpu, INSN_RSI, insn->address_size, step);
	else if (o->kind == INSN_DI)
		reg_add(cpu, INSN_RDI, insn->address_size, step);
	else if (o->kind == INSN_STACK)
		reg_add(cpu, INSN_RSP, stack_address_size(cpu), is_dst ? -o->size : o->size);
}

static enum insn_status finish(const struct insn *insn, struct insn_cpu *cpu)
{
	cpu->rip += insn->bytes;
	if (cpu->mode_bits != 64)
		cpu->rip = (uint32_t)cpu->rip;
	cpu->rflags &= ~(uint64_t)RFLAGS_RF;
	return INSN_DONE;
}

static enum insn_status commit(struct insn_run *run, struct insn_cpu *cpu)
{
	const struct insn *insn = &run->insn;
	const struct insn_values *v = &run->values;
	unsigned int traits = insn_op_info[insn->op].traits;
	bool equal = v->rflags & RFLAGS_ZF;

	move_pointer(cpu, insn, &insn->src, false);
	move_pointer(cpu, insn, &insn->dst, true);
	cpu->rflags = v->rflags;
	if (traits & INSN_WRITES_SRC)
		reg_write(cpu, insn->src.reg, insn->src.size, v->src);
	if (traits & INSN_WRITES_DST && insn->dst.kind == INSN_REG)
		reg_write(cpu, insn->dst.reg, insn->dst.size, v->dst);
	if (insn->op == INSN_OP_CMPXCHG && !equal)
		reg_write(cpu, INSN_RAX, insn->dst.size, v->acc);
	if (!insn->rep)
		return finish(insn, cpu);

	reg_add(cpu, INSN_RCX, insn->address_size, -1);
	if (!reg_read(cpu, INSN_RCX, insn->address_size))
		return finish(insn, cpu);
	if (insn->op == INSN_OP_CMP && equal != (insn->rep == INSN_REPE))
		return finish(insn, cpu);
	run->located = run->computed = false;
	return INSN_AGAIN;
}

/* Reads the operands and computes run->values. */
static enum insn_status compute(struct insn_run *run, const struct insn_cpu *cpu,
				const struct insn_ops *ops, void *context)
{
	const struct insn *insn = &run->insn;
	const struct insn_op_info *op = &insn_op_info[insn->op];
	struct insn_values *v = &run->values;
	enum insn_status status;

	status = fetch(run, cpu, ops, context, INSN_ACCESS_SRC, &v->src);
	if (status != INSN_DONE)
		return status;
	if (insn->sign_extend)
		v->src = insn_sign_extend(v->src, 8 * insn->src.size);
	if (op->traits & INSN_READS_DST) {
		status = fetch(run, cpu, ops, context, INSN_ACCESS_DST, &v->dst);
		if (status != INSN_DONE)
			return status;
	}
	v->acc = cpu->gpr[INSN_RAX];
	v->rflags = cpu->rflags;
	v->bytes = insn->dst.size;
	op->compute(v);
	run->access[INSN_ACCESS_OUT].data = v->dst;
	run->computed = true;
	return INSN_DONE;
}

enum insn_status insn_step(struct insn_run *run, struct insn_cpu *cpu, const struct insn_ops *ops,
			   void *context)
{
	const struct insn *insn = &run->insn;
	enum insn_status status;

	if (run->waiting)
		take_answer(run);
	if (!run->located) {
		if (insn->rep && !reg_read(cpu, INSN_RCX, insn->address_size))
			return finish(insn, cpu);
		if (!locate_operands(run, cpu, ops, context))
			return INSN_FAULT;
	}
	if (!run->computed) {
		status = compute(run, cpu, ops, context);
		if (status != INSN_DONE)
			return status;
	}
	if (insn_op_info[insn->op].traits & INSN_WRITES_DST && is_access(&insn->dst)) {
		status = transfer(run, ops, context, INSN_ACCESS_OUT, &insn->dst);
		if (status != INSN_DONE)
			return status;
	}
	return commit(run, cpu);
}
