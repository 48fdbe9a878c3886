// SPDX-License-Identifier: MIT
// sources: control-domain/driver/task.c
// flags: -Icontrol-domain/driver
/*
 * Hardware task switches where no test guest goes: what each refusal leaves behind, VM86, the trap
 * bit, PAE, memory that is missing, and that nothing is changed before the point of no return.
 */
#include "task.h"
#include "test.h"

enum {
	RAM = 0x8000,
	GDT = 0x1000,
	OLD = 0x2000,
	NEW = 0x2ff0, /* across a page */
	STACK = 0x6000,
	MAIN = 0x08,
	OTHER = 0x10,
	CODE = 0x18,
	DATA = 0x20,
	USER_CODE = 0x28,
	USER_DATA = 0x30,
	LDT = 0x38,
	CODE_ONLY = 0x40,
	ABSENT = 0x48,
	GDT_BYTES = 0x50,
	FLAG_NT = 0x4000,
	FLAG_VM = 0x20000,
};

static struct machine {
	struct task_state state;
	struct task_switch how;
	struct guest_fault fault;
	uint8_t ram[RAM];
	uint64_t no_page; /* translates to a page fault when written */
	uint64_t no_ram;  /* is there, but no RAM */
	unsigned int writes;
} m, before;

static bool translate(void *context, const struct task_state *state, uint64_t linear, bool write,
		      bool implicit, uint64_t *gpa, struct guest_fault *fault)
{
	(void)context;
	(void)state;
	(void)implicit;
	*gpa = linear;
	if (!write || !m.no_page || linear >> 12 != m.no_page >> 12)
		return true;
	*fault = (struct guest_fault){
		.vector = VECTOR_PF, .has_error = true, .error = 2, .cr2 = linear};
	return false;
}

static bool ram_read(void *context, uint64_t gpa, void *data, unsigned int bytes)
{
	(void)context;
	CHECK((gpa & 4095) + bytes <= 4096);
	if (gpa + bytes > RAM || (m.no_ram && gpa >> 12 == m.no_ram >> 12))
		return false;
	memcpy(data, m.ram + gpa, bytes);
	return true;
}

static bool ram_write(void *context, uint64_t gpa, const void *data, unsigned int bytes)
{
	(void)context;
	CHECK((gpa & 4095) + bytes <= 4096);
	if (gpa + bytes > RAM)
		return false;
	memcpy(m.ram + gpa, data, bytes);
	m.writes++;
	return true;
}

static const struct task_ops ops = {translate, ram_read, ram_write};

static void put(uint64_t at, uint64_t value, unsigned int bytes)
{
	memcpy(m.ram + at, &value, bytes);
}

static uint64_t get(uint64_t at, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, m.ram + at, bytes);
	return value;
}

static void describe(unsigned int selector, uint64_t base, uint32_t limit, uint32_t rights)
{
	put(GDT + selector,
	    (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)(rights & 0xff) << 40 |
		    (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)(rights >> 12 & 15) << 52 |
		    (base >> 24) << 56,
	    8);
}

/* A flat ring-0 task at MAIN, another at OTHER, by JMP. */
static void start(enum task_source source)
{
	memset(&m, 0, sizeof(m));
	describe(MAIN, OLD, 103, 0x8b);
	describe(OTHER, NEW, 103, source == TASK_IRET ? 0x8b : 0x89);
	describe(CODE, 0, 0xfffff, 0xc09b);
	describe(DATA, 0, 0xfffff, 0xc093);
	describe(USER_CODE, 0, 0xfffff, 0xc0fa);
	describe(USER_DATA, 0, 0xfffff, 0xc0f2);
	describe(LDT, GDT, GDT_BYTES - 1, 0x82);
	describe(CODE_ONLY, 0, 0xfffff, 0xc099);
	describe(ABSENT, 0, 0xfffff, 0xc013);
	m.state.sregs.gdt.base = GDT;
	m.state.sregs.gdt.limit = GDT_BYTES - 1;
	m.state.sregs.tr =
		(struct hv_segment){.base = OLD, .limit = 103, .access = 0x8b, .selector = MAIN};
	m.state.sregs.cs = (struct hv_segment){.limit = ~0u, .access = 0xc09b, .selector = CODE};
	m.state.sregs.ss = (struct hv_segment){.limit = ~0u, .access = 0xc093, .selector = DATA};
	m.state.sregs.ldt.access = 1 << 16;
	m.state.sregs.cr0 = 0x11;
	m.state.rip = 0x100;
	m.state.rflags = 2 | FLAG_NT;
	m.state.gprs.rdi = 0x77;
	m.state.debug.dr7 = 0x7ff;
	m.how = (struct task_switch){.selector = OTHER, .source = source, .next_rip = 0x107};
	put(NEW + 0x20, 0x500, 4);
	put(NEW + 0x24, 2, 4);
	put(NEW + 0x38, STACK, 4);
	put(NEW + 0x44, 0x88, 4);
	put(NEW + 0x4c, CODE, 4);
	put(NEW + 0x50, DATA, 4);
	put(NEW + 0x54, DATA, 4);
}

static enum task_result go(void)
{
	before = m;
	return task_switch(&m.state, &m.how, &ops, NULL, &m.fault);
}

static void check_nothing_happened(uint8_t vector, uint32_t error)
{
	CHECK_EQ(m.fault.vector, vector);
	CHECK_EQ(m.fault.error, error);
	CHECK_EQ(m.writes, 0);
	CHECK_MEMEQ(&m.state, &before.state, sizeof(m.state));
}

TEST(jump_saves_one_and_loads_the_other)
{
	start(TASK_JMP);
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.rip, 0x500);
	CHECK_EQ(m.state.gprs.rsp, STACK);
	CHECK_EQ(m.state.gprs.rdi, 0x88);
	CHECK_EQ(m.state.rflags, 2);
	CHECK_EQ(m.state.sregs.tr.selector, OTHER);
	CHECK_EQ(m.state.sregs.tr.access, 0x8b);
	CHECK_EQ(m.state.sregs.es.access, 1 << 16);
	CHECK_EQ(m.state.sregs.cr0, 0x19);
	CHECK_EQ(m.state.debug.dr7, 0x7ff & ~0x155);
	CHECK_EQ(get(OLD + 0x20, 4), 0x107);
	CHECK_EQ(get(OLD + 0x24, 4), 2 | FLAG_NT);
	CHECK_EQ(get(OLD + 0x44, 4), 0x77);
	CHECK_EQ(get(OLD + 0x4c, 4), CODE);
	CHECK_EQ(get(NEW, 2), 0);
	CHECK_EQ(get(GDT + MAIN + 5, 1), 0x89);
	CHECK_EQ(get(GDT + OTHER + 5, 1), 0x8b);
}

TEST(call_links_back_and_iret_returns)
{
	start(TASK_CALL);
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.rflags, 2 | FLAG_NT);
	CHECK_EQ(get(NEW, 2), MAIN);
	CHECK_EQ(get(GDT + MAIN + 5, 1), 0x8b);
	m.how = (struct task_switch){.selector = MAIN, .source = TASK_IRET, .next_rip = 0x501};
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.rip, 0x107);
	CHECK_EQ(m.state.rflags, 2 | FLAG_NT); /* as it was when it called */
	CHECK_EQ(get(NEW + 0x24, 4), 2);
	CHECK_EQ(get(NEW + 0x20, 4), 0x501);
	CHECK_EQ(get(GDT + MAIN + 5, 1), 0x8b);
	CHECK_EQ(get(GDT + OTHER + 5, 1), 0x89);
}

TEST(refusals_change_nothing)
{
	static const struct {
		enum task_source source;
		uint32_t limit, rights;
		uint16_t selector;
		uint8_t vector;
	} rows[] = {
		{TASK_JMP, 103, 0x09, OTHER, VECTOR_NP},
		{TASK_JMP, 102, 0x89, OTHER, VECTOR_TS},
		{TASK_JMP, 43, 0x81, OTHER, 0},
		{TASK_JMP, 42, 0x81, OTHER, VECTOR_TS},
		{TASK_JMP, 103, 0x8b, OTHER, VECTOR_GP},
		{TASK_IRET, 103, 0x89, OTHER, VECTOR_TS},
		{TASK_CALL, 103, 0x92, OTHER, VECTOR_GP},
		{TASK_GATE, 103, 0x8c, OTHER, VECTOR_GP},
		{TASK_JMP, 103, 0x89, OTHER | 4, VECTOR_TS},
		{TASK_JMP, 103, 0x89, 0x50, VECTOR_GP},
		{TASK_IRET, 103, 0x8b, 0, VECTOR_TS},
	};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(rows[i].source);
		describe(OTHER, NEW, rows[i].limit, rows[i].rights);
		m.how.selector = rows[i].selector;
		if (!rows[i].vector)
			continue;
		CHECK_EQ(go(), TASK_FAULT);
		check_nothing_happened(rows[i].vector, rows[i].selector & 0xfffc);
	}
}

TEST(page_faults_come_before_anything_is_written)
{
	static const uint64_t pages[] = {OLD, NEW, GDT};

	for (unsigned int i = 0; i < 3; i++) {
		start(TASK_CALL);
		m.no_page = pages[i];
		CHECK_EQ(go(), TASK_FAULT);
		CHECK_EQ(m.fault.cr2 >> 12, pages[i] >> 12);
		check_nothing_happened(VECTOR_PF, 2);
	}
}

TEST(memory_that_is_missing_is_no_fault)
{
	start(TASK_JMP);
	m.no_ram = NEW;
	CHECK_EQ(go(), TASK_NO_MEMORY);
	CHECK_EQ(m.writes, 0);
	start(TASK_JMP);
	m.state.sregs.gdt.base = RAM;
	CHECK_EQ(go(), TASK_NO_MEMORY);
}

TEST(the_new_task_takes_the_fault_of_its_segments)
{
	static const struct {
		uint16_t at; /* in the TSS */
		uint16_t selector;
		uint8_t vector;
	} rows[] = {
		{0x4c, DATA, VECTOR_TS},      {0x4c, ABSENT, VECTOR_TS},
		{0x4c, 0, VECTOR_TS},	      {0x4c, USER_CODE, VECTOR_TS},
		{0x50, CODE, VECTOR_TS},      {0x50, 0, VECTOR_TS},
		{0x50, ABSENT, VECTOR_SS},    {0x50, DATA | 3, VECTOR_TS},
		{0x54, CODE_ONLY, VECTOR_TS}, {0x54, ABSENT, VECTOR_NP},
		{0x48, GDT_BYTES, VECTOR_TS}, {0x5c, OTHER, VECTOR_TS},
		{0x60, DATA, VECTOR_TS},      {0x60, LDT | 4, VECTOR_TS},
		{0x58, CODE | 4, VECTOR_TS},
	};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(TASK_JMP);
		put(NEW + rows[i].at, rows[i].selector, 2);
		CHECK_EQ(go(), TASK_FAULT);
		CHECK_EQ(m.fault.vector, rows[i].vector);
		CHECK_EQ(m.fault.error, rows[i].selector & 0xfffc);
		CHECK_EQ(m.state.sregs.tr.selector, OTHER);
		CHECK_EQ(m.state.rip, 0x500);
		CHECK_EQ(get(OLD + 0x20, 4), 0x107);
		/* What the processor would refuse to enter with is not there. */
		CHECK_EQ(m.state.sregs.cs.access >> 5 & 3, m.state.sregs.ss.access >> 5 & 3);
	}
	start(TASK_JMP);
	put(NEW + 0x60, LDT, 2);
	put(NEW + 0x54, DATA | 4, 2);
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.sregs.ldt.base, GDT);
}

TEST(user_task)
{
	start(TASK_JMP);
	put(NEW + 0x4c, USER_CODE | 3, 2);
	put(NEW + 0x50, USER_DATA | 3, 2);
	put(NEW + 0x54, USER_DATA | 3, 2);
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.sregs.ss.access, 0xc0f3);   /* accessed now, */
	CHECK_EQ(get(GDT + USER_CODE + 5, 1), 0xfb); /* in the table too */
	start(TASK_JMP);
	put(NEW + 0x4c, USER_CODE | 3, 2);
	put(NEW + 0x50, USER_DATA | 3, 2); /* DS stays ring 0's */
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.vector, VECTOR_TS);
}

TEST(vm86_task)
{
	start(TASK_JMP);
	put(NEW + 0x24, 2 | FLAG_VM, 4);
	put(NEW + 0x4c, 0x1234, 2);
	put(NEW + 0x58, 0xffff, 2);
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.sregs.cs.base, 0x12340);
	CHECK_EQ(m.state.sregs.cs.access, 0xf3);
	CHECK_EQ(m.state.sregs.fs.base, 0xffff0);
	CHECK_EQ(m.state.sregs.gs.limit, 0xffff);
}

TEST(faults_on_the_way_into_and_out_of_vm86)
{
	start(TASK_JMP);
	put(NEW + 0x24, 2 | FLAG_VM, 4);
	put(NEW + 0x4c, 0x1234, 2);
	put(NEW + 0x60, DATA, 2); /* no LDT */
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.vector, VECTOR_TS);
	CHECK_EQ(m.state.sregs.cs.base, 0x12340);
	CHECK_EQ(m.state.sregs.cs.access, 0xf3);
	start(TASK_GATE);
	m.state.rflags |= FLAG_VM;
	m.state.sregs.cs.access = m.state.sregs.ss.access = 0xf3;
	put(NEW + 0x4c, DATA, 2); /* no code */
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.vector, VECTOR_TS);
	CHECK_EQ(m.state.sregs.cs.access, 0x9b);
	CHECK_EQ(m.state.sregs.ss.access, 0x93);
}

TEST(gate_pushes_the_error_code)
{
	start(TASK_GATE);
	m.how.has_error = m.how.external = true;
	m.how.error = 0xabcd;
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.gprs.rsp, STACK - 4);
	CHECK_EQ(get(STACK - 4, 4), 0xabcd);
	start(TASK_GATE); /* its error codes say that no instruction did it */
	m.how.external = true;
	put(NEW + 0x54, ABSENT, 2);
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.error, ABSENT | 1);
	start(TASK_GATE);
	m.how.has_error = true;
	m.no_page = STACK - 4;
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.vector, VECTOR_PF);
	CHECK_EQ(m.state.sregs.tr.selector, OTHER);
}

TEST(instruction_beyond_the_segment_and_trap_bit)
{
	start(TASK_JMP);
	describe(CODE, 0, 0xff, 0x409b);
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.vector, VECTOR_GP);
	start(TASK_JMP);
	put(NEW + 0x64, 1, 2);
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.vector, VECTOR_DB);
	CHECK(!m.fault.has_error);
	CHECK_EQ(m.state.debug.dr6, 0x8000);
	CHECK_EQ(m.state.rip, 0x500);
}

TEST(paging_of_the_new_task)
{
	start(TASK_JMP);
	m.state.sregs.cr3 = 0x3000;
	put(NEW + 0x1c, 0x7020, 4);
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.sregs.cr3, 0x3000); /* paging is off */
	start(TASK_JMP);
	m.state.sregs.cr0 |= 1u << 31;
	m.state.sregs.cr4 = 0x20;
	put(NEW + 0x1c, 0x7020, 4);
	put(0x7020, 0x5001, 8);
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.sregs.cr3, 0x7020);
	CHECK_EQ(m.state.sregs.pdpte[0], 0x5001);
	start(TASK_JMP);
	m.state.sregs.cr0 |= 1u << 31;
	m.state.sregs.cr4 = 0x20;
	put(NEW + 0x1c, 0x7020, 4);
	put(0x7028, 0x5003, 8); /* a reserved bit */
	CHECK_EQ(go(), TASK_FAULT);
	CHECK_EQ(m.fault.vector, VECTOR_GP);
}

TEST(sixteen_bit_task)
{
	start(TASK_CALL);
	describe(OTHER, NEW, 43, 0x81);
	memset(m.ram + NEW, 0, 104);
	put(NEW + 0x0e, 0x500, 2);
	put(NEW + 0x10, 2, 2);
	put(NEW + 0x1a, STACK, 2);
	put(NEW + 0x24, CODE, 2);
	put(NEW + 0x26, DATA, 2);
	m.state.gprs.rdi = 0x12345678;
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.rip, 0x500);
	CHECK_EQ(m.state.gprs.rsp, STACK);
	CHECK_EQ(m.state.sregs.tr.access, 0x83);
	CHECK_EQ(m.state.sregs.fs.access, 1 << 16);
	m.how = (struct task_switch){.selector = MAIN, .source = TASK_IRET, .next_rip = 0x501};
	CHECK_EQ(go(), TASK_DONE);
	CHECK_EQ(m.state.gprs.rdi, 0x12345678);
	CHECK_EQ(get(NEW + 0x0e, 2), 0x501);
	CHECK_EQ(get(NEW + 0x2a, 2), 0); /* nothing is written behind it */
}
