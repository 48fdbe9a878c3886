// SPDX-License-Identifier: GPL-2.0-only
/* Task switches, see task.h. */
#include "task.h"

#define TSS32_BYTES 104
#define TSS16_BYTES 44
/* What is saved of the old task: from the instruction pointer to the last segment register. */
#define SAVED32	      0x20
#define SAVED32_BYTES 0x40
#define SAVED16	      0x0e
#define SAVED16_BYTES 0x1c

#define TYPE_BUSY   0x2u /* of a TSS descriptor */
#define TYPE_32	    0x8u
#define TYPE_LDT    0x2u
#define SYSTEM(d)   (!((d) >> 44 & 1))
#define TYPE(d)	    ((d) >> 40 & 15)
#define DPL(d)	    ((d) >> 45 & 3)
#define PRESENT(d)  ((d) >> 47 & 1)
#define CODE(d)	    ((d) >> 43 & 1)
#define CONFORMS(d) ((d) >> 42 & 1) /* code */
#define ACCESSED(d) ((d) >> 40 & 1)
/* writable data, readable code */
#define SECOND_RIGHT(d) ((d) >> 41 & 1)

#define RIGHTS_UNUSABLE (1u << 16)
#define RIGHTS_BIG	(1u << 14)
#define RIGHTS_VM86	0xf3u
#define RIGHTS_CODE16	0x9bu
#define RIGHTS_DATA16	0x93u
#define FLAGS_FIXED	2u
#define FLAGS_NT	(1u << 14)
#define FLAGS_VM	(1u << 17)
#define CR0_TS_BIT	(1ull << 3)
#define CR0_PG_BIT	(1ull << 31)
#define CR4_PAE_BIT	(1ull << 5)
#define PDPTE_RESERVED	0x1e6ull
#define DR7_LOCAL	0x155ull
#define DR6_TASK	(1ull << 15)
#define LINEAR_PAGE	4096u

struct run {
	struct task_state *state;
	const struct task_switch *how;
	const struct task_ops *ops;
	void *context;
	struct guest_fault *fault;
	enum task_result result;
};

enum access { PROBE_READ, PROBE_WRITE, READ, WRITE };

static bool raise(struct run *run, uint8_t vector, uint32_t error)
{
	*run->fault = (struct guest_fault){.vector = vector, .has_error = true, .error = error};
	run->result = TASK_FAULT;
	return false;
}

static bool raise_selector(struct run *run, uint8_t vector, uint16_t selector)
{
	return raise(run, vector, (selector & 0xfffcu) | run->how->external);
}

static bool access_as(struct run *run, uint64_t linear, void *data, uint32_t bytes,
		      enum access kind, bool implicit)
{
	bool write = kind == PROBE_WRITE || kind == WRITE, done = true;
	uint32_t now;
	uint64_t gpa;

	for (; bytes; bytes -= now, linear += now) {
		linear &= 0xffffffffu;
		now = LINEAR_PAGE - (uint32_t)(linear % LINEAR_PAGE);
		now = now < bytes ? now : bytes;
		run->fault->vector = 0;
		if (!run->ops->translate(run->context, run->state, linear, write, implicit, &gpa,
					 run->fault)) {
			run->result = run->fault->vector ? TASK_FAULT : TASK_NO_MEMORY;
			return false;
		}
		if (kind == READ)
			done = run->ops->read(run->context, gpa, data, now);
		else if (kind == WRITE)
			done = run->ops->write(run->context, gpa, data, now);
		if (!done) {
			run->result = TASK_NO_MEMORY;
			return false;
		}
		if (data)
			data = (uint8_t *)data + now;
	}
	return true;
}

static bool access(struct run *run, uint64_t linear, void *data, uint32_t bytes, enum access kind)
{
	return access_as(run, linear, data, bytes, kind, true);
}

/* ---- descriptors */

static uint64_t descriptor_address(const struct task_state *state, uint16_t selector)
{
	return (selector & 4 ? state->sregs.ldt.base : state->sregs.gdt.base) + (selector & ~7u);
}

/* Raises @vector when there is none. */
static bool fetch(struct run *run, uint16_t selector, uint8_t vector, uint64_t *descriptor)
{
	const struct hv_sregs *sregs = &run->state->sregs;
	uint32_t limit = selector & 4 ? sregs->ldt.limit : sregs->gdt.limit;

	if (!(selector & ~3u) || (selector | 7u) > limit ||
	    (selector & 4 && sregs->ldt.access & RIGHTS_UNUSABLE))
		return raise_selector(run, vector, selector);
	return access(run, descriptor_address(run->state, selector), descriptor,
		      sizeof(*descriptor), READ);
}

static void set_segment(struct hv_segment *segment, uint16_t selector, uint64_t d)
{
	uint32_t limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));

	*segment = (struct hv_segment){
		.selector = selector,
		.base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000),
		.limit = d >> 55 & 1 ? limit << 12 | 0xfff : limit,
		.access = (uint32_t)(d >> 40 & 0xf0ff),
	};
}

static bool mark_accessed(struct run *run, uint16_t selector, uint64_t *descriptor)
{
	uint8_t rights;

	if (ACCESSED(*descriptor))
		return true;
	*descriptor |= 1ull << 40;
	rights = (uint8_t)(*descriptor >> 40);
	return access(run, descriptor_address(run->state, selector) + 5, &rights, 1, WRITE);
}

static bool set_busy(struct run *run, uint16_t selector, bool busy)
{
	uint64_t at = run->state->sregs.gdt.base + (selector & ~7u) + 5;
	uint8_t rights;

	if (!access(run, at, &rights, 1, READ))
		return false;
	rights = (uint8_t)(busy ? rights | TYPE_BUSY : rights & ~TYPE_BUSY);
	return access(run, at, &rights, 1, WRITE);
}

/* ---- the new task's segments */

static bool load_ldt(struct run *run)
{
	struct hv_segment *ldt = &run->state->sregs.ldt;
	uint16_t selector = ldt->selector;
	uint64_t d;

	if (!(selector & ~3u))
		return true;
	if (selector & 4)
		return raise_selector(run, VECTOR_TS, selector);
	if (!fetch(run, selector, VECTOR_TS, &d))
		return false;
	if (!SYSTEM(d) || TYPE(d) != TYPE_LDT || !PRESENT(d))
		return raise_selector(run, VECTOR_TS, selector);
	set_segment(ldt, selector, d);
	return true;
}

static bool load_data(struct run *run, struct hv_segment *segment, unsigned int cpl)
{
	uint16_t selector = segment->selector;
	unsigned int rpl = selector & 3;
	uint64_t d;

	if (!(selector & ~3u)) {
		*segment = (struct hv_segment){.selector = selector, .access = RIGHTS_UNUSABLE};
		return true;
	}
	if (!fetch(run, selector, VECTOR_TS, &d))
		return false;
	if (SYSTEM(d) || (CODE(d) && !SECOND_RIGHT(d)) ||
	    (!(CODE(d) && CONFORMS(d)) && DPL(d) < (rpl > cpl ? rpl : cpl)))
		return raise_selector(run, VECTOR_TS, selector);
	if (!PRESENT(d))
		return raise_selector(run, VECTOR_NP, selector);
	if (!mark_accessed(run, selector, &d))
		return false;
	set_segment(segment, selector, d);
	return true;
}

/* Both or none: their privilege levels belong together, or the processor refuses entry. */
static bool load_code_and_stack(struct run *run, unsigned int cpl)
{
	struct hv_sregs *sregs = &run->state->sregs;
	uint16_t cs = sregs->cs.selector, ss = sregs->ss.selector;
	uint64_t code, stack;

	if (!fetch(run, cs, VECTOR_TS, &code))
		return false;
	if (SYSTEM(code) || !CODE(code) || (CONFORMS(code) ? DPL(code) > cpl : DPL(code) != cpl))
		return raise_selector(run, VECTOR_TS, cs);
	if (!PRESENT(code))
		return raise_selector(run, VECTOR_NP, cs);
	if (!fetch(run, ss, VECTOR_TS, &stack))
		return false;
	if (SYSTEM(stack) || CODE(stack) || !SECOND_RIGHT(stack) || DPL(stack) != cpl ||
	    (ss & 3u) != cpl)
		return raise_selector(run, VECTOR_TS, ss);
	if (!PRESENT(stack))
		return raise_selector(run, VECTOR_SS, ss);
	if (!mark_accessed(run, cs, &code) || !mark_accessed(run, ss, &stack))
		return false;
	set_segment(&sregs->cs, cs, code);
	set_segment(&sregs->ss, ss, stack);
	return true;
}

static void load_vm86(struct hv_sregs *sregs)
{
	struct hv_segment *const all[] = {&sregs->cs, &sregs->ds, &sregs->es,
					  &sregs->fs, &sregs->gs, &sregs->ss};
	unsigned int i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		all[i]->base = (uint64_t)all[i]->selector << 4;
		all[i]->limit = 0xffff;
		all[i]->access = RIGHTS_VM86;
	}
}

static bool load_segments(struct run *run)
{
	struct hv_sregs *sregs = &run->state->sregs;
	unsigned int cpl = sregs->cs.selector & 3;

	if (run->state->rflags & FLAGS_VM) {
		load_vm86(sregs);
		return load_ldt(run);
	}
	return load_ldt(run) && load_code_and_stack(run, cpl) && load_data(run, &sregs->ds, cpl) &&
	       load_data(run, &sregs->es, cpl) && load_data(run, &sregs->fs, cpl) &&
	       load_data(run, &sregs->gs, cpl);
}

/* ---- the two formats of TSS */

/* In the order of a TSS: eAX, eCX, eDX, eBX, eSP, eBP, eSI, eDI. */
static uint64_t *register_of(struct task_state *state, unsigned int i)
{
	return &state->gprs.rax + i; /* struct hv_gprs has the same order */
}

static struct hv_segment *segment_of(struct task_state *state, unsigned int i)
{
	struct hv_sregs *s = &state->sregs;
	struct hv_segment *const order[] = {&s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs};

	return order[i];
}

static bool save_old(struct run *run, bool wide)
{
	struct task_state *state = run->state;
	uint32_t flags = (uint32_t)state->rflags, values[16];
	uint8_t image[SAVED32_BYTES];
	unsigned int i, n = wide ? 16 : 14;
	uint16_t narrow;

	if (run->how->source == TASK_IRET)
		flags &= ~FLAGS_NT;
	values[0] = (uint32_t)run->how->next_rip;
	values[1] = flags;
	for (i = 0; i < 8; i++)
		values[2 + i] = (uint32_t)*register_of(state, i);
	for (i = 0; i < 6; i++)
		values[10 + i] = segment_of(state, i)->selector;
	for (i = 0; i < n; i++) {
		narrow = (uint16_t)values[i];
		if (wide)
			memcpy(image + 4 * i, &values[i], 4);
		else
			memcpy(image + 2 * i, &narrow, 2);
	}
	return access(run, state->sregs.tr.base + (wide ? SAVED32 : SAVED16), image,
		      wide ? SAVED32_BYTES : SAVED16_BYTES, WRITE);
}

static uint32_t word_of(const uint8_t *tss, unsigned int at, unsigned int bytes)
{
	uint32_t value = 0;

	memcpy(&value, tss + at, bytes);
	return value;
}

/* Everything but what can fail. */
static void load_new(struct task_state *state, const uint8_t *tss, bool wide)
{
	unsigned int size = wide ? 4 : 2, at = wide ? SAVED32 : SAVED16, i;

	/* Until they are loaded: what the processor enters with outside of VM86. */
	if (state->rflags & FLAGS_VM) {
		state->sregs.cs.access = RIGHTS_CODE16;
		state->sregs.ss.access = RIGHTS_DATA16;
	}
	state->rip = word_of(tss, at, size);
	state->rflags = word_of(tss, at + size, size) | FLAGS_FIXED;
	for (i = 0; i < 8; i++)
		*register_of(state, i) = word_of(tss, at + (2 + i) * size, size);
	for (i = 0; i < 6; i++)
		segment_of(state, i)->selector =
			i < 4 || wide ? (uint16_t)word_of(tss, at + (10 + i) * size, 2) : 0;
	state->sregs.ldt = (struct hv_segment){
		.selector = (uint16_t)word_of(tss, wide ? 0x60 : 0x2a, 2),
		.access = RIGHTS_UNUSABLE,
	};
	state->sregs.cr0 |= CR0_TS_BIT;
	state->debug.dr7 &= ~DR7_LOCAL;
}

static bool load_cr3(struct run *run, uint32_t cr3)
{
	struct hv_sregs *sregs = &run->state->sregs;
	unsigned int i;

	if (!(sregs->cr0 & CR0_PG_BIT))
		return true;
	sregs->cr3 = cr3;
	if (!(sregs->cr4 & CR4_PAE_BIT))
		return true;
	if (!run->ops->read(run->context, cr3 & ~31u, sregs->pdpte, sizeof(sregs->pdpte))) {
		run->result = TASK_NO_MEMORY;
		return false;
	}
	for (i = 0; i < 4; i++)
		if (sregs->pdpte[i] & 1 && sregs->pdpte[i] & PDPTE_RESERVED)
			return raise(run, VECTOR_GP, 0);
	return true;
}

/* ---- the switch */

static bool check_new(struct run *run, uint64_t d)
{
	uint16_t selector = run->how->selector;
	bool iret = run->how->source == TASK_IRET, wide = TYPE(d) & TYPE_32;
	struct hv_segment tss;

	if (!SYSTEM(d) || (TYPE(d) & ~(TYPE_32 | TYPE_BUSY)) != 1 ||
	    !!(TYPE(d) & TYPE_BUSY) != iret)
		return raise_selector(run, iret ? VECTOR_TS : VECTOR_GP, selector);
	if (!PRESENT(d))
		return raise_selector(run, VECTOR_NP, selector);
	set_segment(&tss, selector, d);
	if (tss.limit < (wide ? TSS32_BYTES : TSS16_BYTES) - 1)
		return raise_selector(run, VECTOR_TS, selector);
	return true;
}

static bool probe(struct run *run, const struct hv_segment *old, const struct hv_segment *next,
		  uint8_t *tss)
{
	bool old_wide = old->access & TYPE_32, wide = next->access & TYPE_32;
	uint64_t gdt = run->state->sregs.gdt.base;

	return access(run, next->base, tss, wide ? TSS32_BYTES : TSS16_BYTES, READ) &&
	       access(run, next->base, NULL, 2, PROBE_WRITE) &&
	       access(run, old->base + (old_wide ? SAVED32 : SAVED16), NULL,
		      old_wide ? SAVED32_BYTES : SAVED16_BYTES, PROBE_WRITE) &&
	       access(run, gdt + (old->selector & ~7u), NULL, 8, PROBE_WRITE) &&
	       access(run, gdt + (next->selector & ~7u), NULL, 8, PROBE_WRITE);
}

static bool push_error(struct run *run, bool wide)
{
	struct task_state *state = run->state;
	uint32_t size = wide ? 4 : 2, mask;

	mask = state->sregs.ss.access & RIGHTS_BIG ? 0xffffffffu : 0xffffu;
	state->gprs.rsp = (state->gprs.rsp & ~(uint64_t)mask) | ((state->gprs.rsp - size) & mask);
	return access_as(run, state->sregs.ss.base + (state->gprs.rsp & mask),
			 (void *)&run->how->error, size, WRITE, false);
}

static bool switch_tasks(struct run *run)
{
	const struct task_switch *how = run->how;
	struct task_state *state = run->state;
	struct hv_segment old = state->sregs.tr, next;
	bool nested = how->source == TASK_CALL || how->source == TASK_GATE, wide;
	uint8_t tss[TSS32_BYTES];
	uint64_t d;

	if (how->selector & 4)
		return raise_selector(run, VECTOR_TS, how->selector);
	if (!fetch(run, how->selector, how->source == TASK_IRET ? VECTOR_TS : VECTOR_GP, &d) ||
	    !check_new(run, d))
		return false;
	set_segment(&next, how->selector, d | (uint64_t)TYPE_BUSY << 40);
	wide = next.access & TYPE_32;
	if (!probe(run, &old, &next, tss))
		return false;

	if (!nested && !set_busy(run, old.selector, false))
		return false;
	if (!save_old(run, old.access & TYPE_32))
		return false;
	if (nested && !access(run, next.base, &old.selector, 2, WRITE))
		return false;
	if (how->source != TASK_IRET && !set_busy(run, how->selector, true))
		return false;
	state->sregs.tr = next;
	load_new(state, tss, wide);
	if (nested)
		state->rflags |= FLAGS_NT;
	if (wide && !load_cr3(run, word_of(tss, 0x1c, 4)))
		return false;
	if (!load_segments(run) || (how->has_error && !push_error(run, wide)))
		return false;
	if (state->rip > state->sregs.cs.limit)
		return raise(run, VECTOR_GP, how->external);
	if (wide && tss[0x64] & 1) {
		state->debug.dr6 |= DR6_TASK;
		*run->fault = (struct guest_fault){.vector = VECTOR_DB};
		run->result = TASK_FAULT;
		return false;
	}
	return true;
}

enum task_result task_switch(struct task_state *state, const struct task_switch *how,
			     const struct task_ops *ops, void *context, struct guest_fault *fault)
{
	struct run run = {.state = state, .how = how, .ops = ops, .context = context};

	run.fault = fault;
	return switch_tasks(&run) ? TASK_DONE : run.result;
}
