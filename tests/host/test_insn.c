// SPDX-License-Identifier: MIT
// sources: control-domain/driver/insn_decode.c control-domain/driver/insn_alu.c
// sources: control-domain/driver/insn_step.c
// flags: -Icontrol-domain/driver
/*
 * What the instruction decoder asks of a device model, and in which order; how faults come before
 * side effects; how strings are interrupted. Encodings are compared with a disassembler's view in
 * test_insn_zydis.c, results and flags with this CPU's in test_insn_native.c.
 */
#include "insn_machine.h"

#define CHECK_REQUEST(m, a, n)                                                                     \
	do {                                                                                       \
		CHECK_EQ((m)->run.request.address, a);                                             \
		CHECK_EQ((m)->run.request.bytes, n);                                               \
	} while (0)

static void put(struct machine *m, unsigned int address, uint64_t value, unsigned int bytes)
{
	memcpy(m->ram + address, &value, bytes);
}

static uint64_t get(const struct machine *m, unsigned int address, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, m->ram + address, bytes);
	return value;
}

static void check_fault(const struct machine *m, unsigned int vector, bool has_error,
			uint32_t error)
{
	CHECK_EQ(m->run.fault.vector, vector);
	CHECK_EQ(m->run.fault.has_error, has_error);
	CHECK_EQ(m->run.fault.error, error);
}

TEST(mov_to_device)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RAX] = 0x1122334455667788;
	m.cpu.gpr[INSN_RBX] = DEVICE;
	CHECK_EQ(machine_start(&m, CODE(64, "movl %eax, 4(%rbx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE + 4, 4);
	CHECK_EQ(m.run.request.data, 0x55667788);
	CHECK_EQ(m.cpu.rip, 0);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(m.cpu.rip, m.run.insn.bytes);

	CHECK_EQ(machine_start(&m, CODE(64, "movb %ah, (%rbx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE, 1);
	CHECK_EQ(m.run.request.data, 0x77);

	CHECK_EQ(machine_start(&m, CODE(64, "movq $-2, (%rbx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE, 8);
	CHECK_EQ(m.run.request.data, -2);
}

TEST(mov_from_device)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RBX] = DEVICE;
	m.cpu.gpr[INSN_RCX] = -1;
	CHECK_EQ(machine_start(&m, CODE(64, "movl (%rbx), %ecx")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE, 4);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], -1);
	CHECK_EQ(machine_answer(&m, 0xffffffff80000001), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 0x80000001);

	CHECK_EQ(machine_start(&m, CODE(64, "movsbq (%rbx), %rcx")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE, 1);
	CHECK_EQ(machine_answer(&m, 0x80), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], -128);

	CHECK_EQ(machine_start(&m, CODE(64, "movzwl (%rbx), %ecx")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE, 2);
	CHECK_EQ(machine_answer(&m, 0x8000), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 0x8000);

	CHECK_EQ(machine_start(&m, CODE(64, "movabs 0x8010, %al")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE + 0x10, 1);
	CHECK_EQ(machine_answer(&m, 0xff), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RAX], 0xff);
}

TEST(read_modify_write_asks_twice_and_sets_flags_at_the_end)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RBX] = DEVICE;
	CHECK_EQ(machine_start(&m, CODE(64, "lock addl $1, (%rbx)")), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 0xffffffff), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE, 4);
	CHECK_EQ(m.run.request.data, 0);
	CHECK_EQ(m.cpu.rflags, 2);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(m.cpu.rflags, 2 | 1 | 4 | 0x10 | 0x40); /* CF PF AF ZF */
}

TEST(unaligned_access_is_cut_at_the_page)
{
	struct machine m;

	/* Three bytes of RAM, five of the device: as one and four. */
	machine_init(&m, 64);
	m.cpu.gpr[INSN_RBX] = DEVICE - 3;
	put(&m, DEVICE - 3, 0x030201, 3);
	CHECK_EQ(machine_start(&m, CODE(64, "movq (%rbx), %rax")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE, 4);
	CHECK_EQ(machine_answer(&m, 0x07060504), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE + 4, 1);
	CHECK_EQ(machine_answer(&m, 0x08), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RAX], 0x0807060504030201);
	CHECK_EQ(m.ram_accesses, 2);

	CHECK_EQ(machine_start(&m, CODE(64, "movq %rax, 1(%rbx)")), INSN_MMIO_WRITE);
	CHECK_EQ(get(&m, DEVICE - 2, 2), 0x0201);
	CHECK_REQUEST(&m, DEVICE, 4);
	CHECK_EQ(m.run.request.data, 0x06050403);
	CHECK_EQ(machine_step(&m), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE + 4, 2);
	CHECK_EQ(m.run.request.data, 0x0807);
	CHECK_EQ(machine_step(&m), INSN_DONE);
}

TEST(destination_faults_before_the_source_is_read)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RSI] = DEVICE;
	m.cpu.gpr[INSN_RDI] = ABSENT;
	CHECK_EQ(machine_start(&m, CODE(64, "movsl")), INSN_FAULT);
	check_fault(&m, VECTOR_PF, true, 2);
	CHECK_EQ(m.run.fault.cr2, ABSENT);
	CHECK_EQ(m.cpu.gpr[INSN_RSI], DEVICE);
	CHECK_EQ(m.cpu.rip, 0);

	/* The second page of an access faults with its own address. */
	m.cpu.gpr[INSN_RDI] = ABSENT - 2;
	CHECK_EQ(machine_start(&m, CODE(64, "movsl")), INSN_FAULT);
	CHECK_EQ(m.run.fault.cr2, ABSENT);
	CHECK_EQ(m.ram_accesses, 0);

	/* Read-modify-write faults as a write; CMP does not write. */
	m.cpu.gpr[INSN_RBX] = READ_ONLY;
	CHECK_EQ(machine_start(&m, CODE(64, "xorl $1, (%rbx)")), INSN_FAULT);
	check_fault(&m, VECTOR_PF, true, 3);
	CHECK_EQ(machine_start(&m, CODE(64, "cmpl $1, (%rbx)")), INSN_DONE);
}

TEST(rep_movs_stops_after_each_iteration)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RSI] = DEVICE;
	m.cpu.gpr[INSN_RDI] = 0x100;
	m.cpu.gpr[INSN_RCX] = 2;
	CHECK_EQ(machine_start(&m, CODE(64, "rep movsw")), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 0x1111), INSN_AGAIN);
	CHECK_EQ(m.cpu.rip, 0);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 1);
	CHECK_EQ(m.cpu.gpr[INSN_RSI], DEVICE + 2);
	CHECK_EQ(m.cpu.gpr[INSN_RDI], 0x102);
	CHECK_EQ(machine_step(&m), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE + 2, 2);
	CHECK_EQ(machine_answer(&m, 0x2222), INSN_DONE);
	CHECK_EQ(get(&m, 0x100, 4), 0x22221111);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 0);
	CHECK_EQ(m.cpu.rip, m.run.insn.bytes);

	/* Nothing left: nothing happens. */
	CHECK_EQ(machine_start(&m, CODE(64, "rep movsw")), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RDI], 0x104);
}

TEST(rep_with_short_addresses_and_direction)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.rflags |= 1 << 10;
	m.cpu.gpr[INSN_RAX] = 0xab;
	m.cpu.gpr[INSN_RDI] = 0xffffffff00000000 | DEVICE;
	m.cpu.gpr[INSN_RCX] = 0xffffffff00000002;
	CHECK_EQ(machine_start(&m, CODE(64, "addr32 rep stosb")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE, 1);
	CHECK_EQ(machine_step(&m), INSN_AGAIN);
	CHECK_EQ(m.cpu.gpr[INSN_RDI], DEVICE - 1);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 1);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(get(&m, DEVICE - 1, 1), 0xab);

	machine_init(&m, 32);
	m.cpu.gpr[INSN_RDI] = 0x12340000;
	m.cpu.gpr[INSN_RCX] = 0x00010001;
	CHECK_EQ(machine_start(&m, CODE(32, "addr16 rep stosb")), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RDI], 0x12340001);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 0x00010000);
}

TEST(repe_cmps_and_repne_scas_stop_on_the_flag)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RSI] = 0x100;
	m.cpu.gpr[INSN_RDI] = DEVICE;
	m.cpu.gpr[INSN_RCX] = 5;
	put(&m, 0x100, 0x0201, 2);
	CHECK_EQ(machine_start(&m, CODE(64, "repe cmpsb")), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 1), INSN_AGAIN);
	CHECK_EQ(machine_step(&m), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 3), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 3);
	CHECK_EQ(m.cpu.rflags & 0x41, 1); /* 2 is below 3 */

	m.cpu.gpr[INSN_RAX] = 7;
	CHECK_EQ(machine_start(&m, CODE(64, "repne scasb")), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 6), INSN_AGAIN);
	CHECK_EQ(machine_step(&m), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 7), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RCX], 1);
	CHECK_EQ(m.cpu.rflags & 0x40, 0x40);
}

TEST(string_ports)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RDX] = 0xffff01f0;
	m.cpu.gpr[INSN_RDI] = 0x200;
	m.cpu.gpr[INSN_RCX] = 1;
	CHECK_EQ(machine_start(&m, CODE(64, "rep insw")), INSN_PIO_IN);
	CHECK_REQUEST(&m, 0x1f0, 2);
	CHECK_EQ(machine_answer(&m, 0xbeef), INSN_DONE);
	CHECK_EQ(get(&m, 0x200, 4), 0xbeef);

	m.cpu.gpr[INSN_RSI] = 0x200;
	CHECK_EQ(machine_start(&m, CODE(64, "outsb")), INSN_PIO_OUT);
	CHECK_REQUEST(&m, 0x1f0, 1);
	CHECK_EQ(m.run.request.data, 0xef);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RSI], 0x201);
}

TEST(push_and_pop)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RSP] = 0x1000;
	CHECK_EQ(machine_start(&m, CODE(64, "pushq 0x7000(%rsp)")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, 0x8000, 8);
	CHECK_EQ(machine_answer(&m, 0x1234), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RSP], 0xff8);
	CHECK_EQ(get(&m, 0xff8, 8), 0x1234);

	/* The destination's address uses the stack pointer after the pop. */
	CHECK_EQ(machine_start(&m, CODE(64, "popq 0x7000(%rsp)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0x8000, 8);
	CHECK_EQ(m.run.request.data, 0x1234);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RSP], 0x1000);

	/* A 16-bit stack wraps at 64 KiB. */
	machine_init(&m, 32);
	m.cpu.seg[INSN_SS].rights = SEGMENT_16;
	m.cpu.gpr[INSN_RSP] = 0x70000;
	m.cpu.gpr[INSN_RBX] = 0x100;
	CHECK_EQ(machine_start(&m, CODE(32, "pushl (%ebx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0xfffc, 4);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RSP], 0x7fffc);
}

TEST(cmpxchg_both_ways)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RBX] = DEVICE;
	m.cpu.gpr[INSN_RAX] = 0xffffffff00000005;
	m.cpu.gpr[INSN_RCX] = 9;
	CHECK_EQ(machine_start(&m, CODE(64, "lock cmpxchgl %ecx, (%rbx)")), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 5), INSN_MMIO_WRITE);
	CHECK_EQ(m.run.request.data, 9);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RAX], 0xffffffff00000005);

	CHECK_EQ(machine_start(&m, CODE(64, "lock cmpxchgl %ecx, (%rbx)")), INSN_MMIO_READ);
	CHECK_EQ(machine_answer(&m, 6), INSN_MMIO_WRITE);
	CHECK_EQ(m.run.request.data, 6);
	CHECK_EQ(machine_step(&m), INSN_DONE);
	CHECK_EQ(m.cpu.gpr[INSN_RAX], 6);
}

TEST(bit_offsets_reach_beyond_the_operand)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.gpr[INSN_RBX] = DEVICE;
	m.cpu.gpr[INSN_RCX] = 67;
	CHECK_EQ(machine_start(&m, CODE(64, "btsl %ecx, (%rbx)")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE + 8, 4);
	CHECK_EQ(machine_answer(&m, 0), INSN_MMIO_WRITE);
	CHECK_EQ(m.run.request.data, 1 << 3);

	m.cpu.gpr[INSN_RCX] = -1;
	m.cpu.gpr[INSN_RBX] = DEVICE + 8;
	CHECK_EQ(machine_start(&m, CODE(64, "btq %rcx, (%rbx)")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE, 8);
	CHECK_EQ(machine_answer(&m, 1ull << 63), INSN_DONE);
	CHECK_EQ(m.cpu.rflags & 1, 1);
}

TEST(addresses_of_64_bit_mode)
{
	struct machine m;

	machine_init(&m, 64);
	m.cpu.rip = 0x1000;
	CHECK_EQ(machine_start(&m, CODE(64, "movb $1, 0x7000(%rip)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0x8000 + m.run.insn.bytes, 1);

	m.cpu.seg[INSN_GS].base = DEVICE;
	m.cpu.seg[INSN_DS].base = 0x12345678; /* ignored, as its limit is */
	m.cpu.seg[INSN_DS].limit = 0;
	m.cpu.gpr[INSN_RBX] = 0x10;
	m.cpu.gpr[12] = 2;
	CHECK_EQ(machine_start(&m, CODE(64, "movb $1, %gs:3(%rbx,%r12,8)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE + 0x10 + 16 + 3, 1);
	CHECK_EQ(machine_start(&m, CODE(64, "movb $1, 0x8000(%rbx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE + 0x10, 1);

	/* Addresses of 32 bits wrap. */
	m.cpu.gpr[INSN_RBX] = 0xfffffffffffffff0;
	CHECK_EQ(machine_start(&m, CODE(64, "movb $1, 0x8010(%ebx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, DEVICE, 1);

	/* Not canonical: #GP, on the stack #SS; with five levels of paging, fine. */
	m.cpu.gpr[INSN_RBX] = m.cpu.gpr[INSN_RBP] = 0x0000800000000000;
	CHECK_EQ(machine_start(&m, CODE(64, "movb $1, (%rbx)")), INSN_FAULT);
	check_fault(&m, VECTOR_GP, true, 0);
	CHECK_EQ(machine_start(&m, CODE(64, "movb $1, (%rbp)")), INSN_FAULT);
	check_fault(&m, VECTOR_SS, true, 0);
	CHECK_EQ(machine_start(&m, CODE(64, "movw $1, -1(%rbx)")), INSN_FAULT);
	m.cpu.address_bits = 57;
	CHECK_EQ(machine_start(&m, CODE(64, "movb $1, (%rbx)")), INSN_MMIO_WRITE);
}

TEST(addresses_of_16_bit_mode)
{
	struct machine m;

	machine_init(&m, 16);
	m.cpu.real = true;
	for (int i = 0; i < INSN_SEGS; i++)
		m.cpu.seg[i] = (struct insn_segment){0, 0xffff, SEGMENT_16};
	m.cpu.seg[INSN_ES].base = 0xb8000;
	m.cpu.seg[INSN_SS].base = 0x20000;
	m.cpu.gpr[INSN_RBX] = 0x9000;
	m.cpu.gpr[INSN_RSI] = 0x8000;
	m.cpu.gpr[INSN_RDI] = 0x12340002;
	m.cpu.gpr[INSN_RBP] = 0x40;
	m.cpu.gpr[INSN_RAX] = 0x0741;
	CHECK_EQ(machine_start(&m, CODE(16, "movw %ax, %es:(%di)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0xb8002, 2);
	CHECK_EQ(machine_start(&m, CODE(16, "movw %ax, %es:-2(%bx,%si)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0xb8000 + 0x0ffe, 2); /* the sum wraps at 64 KiB */
	CHECK_EQ(machine_start(&m, CODE(16, "movl %eax, 4(%bp)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0x20044, 4);
	CHECK_EQ(machine_start(&m, CODE(16, "movw %ax, %es:0x10")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0xb8010, 2);
	/* The last byte lies beyond the limit; real mode pushes no error codes. */
	CHECK_EQ(machine_start(&m, CODE(16, "movw %ax, %es:0xffff")), INSN_FAULT);
	check_fault(&m, VECTOR_GP, false, 0);
}

TEST(segments_of_protected_mode)
{
	struct machine m;

	machine_init(&m, 32);
	m.cpu.seg[INSN_DS] = (struct insn_segment){0x1000, 0x7fff, FLAT_DATA};
	m.cpu.gpr[INSN_RBX] = 0x7ffc;
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, (%ebx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0x8ffc, 4);
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, 1(%ebx)")), INSN_FAULT);
	check_fault(&m, VECTOR_GP, true, 0);
	m.cpu.flat = true; /* the processor has told the address, and checked it */
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, 4(%ebx)")), INSN_MMIO_WRITE);
	CHECK_REQUEST(&m, 0x8000, 4);
	CHECK_EQ(insn_offset(&m.run.insn, &m.cpu), 0x8000);
	CHECK(insn_is_plain(&m.run.insn));
	CHECK_EQ(machine_start(&m, CODE(32, "pushl 4(%ebx)")), INSN_MMIO_READ);
	CHECK(!insn_is_plain(&m.run.insn)); /* the stack's segment is another matter */
	m.cpu.flat = false;
	m.cpu.gpr[INSN_RBP] = 0x9000;
	m.cpu.seg[INSN_SS] = m.cpu.seg[INSN_DS];
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, (%ebp)")), INSN_FAULT);
	check_fault(&m, VECTOR_SS, true, 0);

	/* Expand-down: the limit is the last byte that is *not* in it. */
	m.cpu.seg[INSN_DS].rights = FLAT_DATA | 4;
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, 3(%ebx)")), INSN_FAULT);
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, 4(%ebx)")), INSN_MMIO_WRITE);
	m.cpu.seg[INSN_DS].rights = SEGMENT_16 | 4;
	m.cpu.gpr[INSN_RBX] = 0xfffc;
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, (%ebx)")), INSN_MMIO_WRITE);
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, 1(%ebx)")), INSN_FAULT);

	/* Rights: read-only data, readable and execute-only code, null. */
	m.cpu.seg[INSN_DS] = (struct insn_segment){0, 0xffffffff, FLAT_DATA & ~2u};
	m.cpu.gpr[INSN_RBX] = DEVICE;
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, (%ebx)")), INSN_FAULT);
	CHECK_EQ(machine_start(&m, CODE(32, "movl (%ebx), %eax")), INSN_MMIO_READ);
	CHECK_EQ(machine_start(&m, CODE(32, "movl %eax, %cs:(%ebx)")), INSN_FAULT);
	CHECK_EQ(machine_start(&m, CODE(32, "movl %cs:(%ebx), %eax")), INSN_MMIO_READ);
	m.cpu.seg[INSN_CS].rights &= ~2u;
	CHECK_EQ(machine_start(&m, CODE(32, "movl %cs:(%ebx), %eax")), INSN_FAULT);
	m.cpu.seg[INSN_ES].rights = 1 << 16;
	CHECK_EQ(machine_start(&m, CODE(32, "movl %es:(%ebx), %eax")), INSN_FAULT);
	check_fault(&m, VECTOR_GP, true, 0);

	/* Linear addresses wrap at 4 GiB. */
	m.cpu.seg[INSN_FS].base = 0xfffffff0;
	CHECK_EQ(machine_start(&m, CODE(32, "movl %fs:0x10(%ebx), %eax")), INSN_MMIO_READ);
	CHECK_REQUEST(&m, DEVICE, 4);
}

TEST(same_instruction_again)
{
	struct code store = CODE(64, "movl %eax, 8(%rbx)"), other = CODE(64, "movl %eax, 9(%rbx)");
	struct code vector = CODE(64, "movups %xmm0, 8(%rbx)");
	struct insn insn = {0};

	CHECK(!insn_matches(&insn, store.bytes, store.n, 64));
	CHECK_EQ(insn_decode(&insn, store.bytes, store.n, 64), INSN_OK);
	CHECK(insn_matches(&insn, store.bytes, store.n, 64));
	CHECK(!insn_matches(&insn, store.bytes, store.n - 1, 64));
	CHECK(!insn_matches(&insn, store.bytes, store.n, 32));
	CHECK(!insn_matches(&insn, other.bytes, other.n, 64));
	CHECK_EQ(insn_decode(&insn, vector.bytes, vector.n, 64), INSN_UNSUPPORTED);
	CHECK(!insn_matches(&insn, vector.bytes, vector.n, 64));
}

/* The first part of one, before a page's end, is none that could come again. */
TEST(half_an_instruction_matches_nothing)
{
	struct code store = CODE(64, "movw $0x1234, 0x12345678(%r15)");
	struct insn insn;

	for (unsigned int n = 0; n < store.n; n++) {
		CHECK_EQ(insn_decode(&insn, store.bytes, n, 64), INSN_MORE);
		CHECK(!insn_matches(&insn, store.bytes, store.n, 64));
	}
}

TEST(results_other_than_ok)
{
	static const uint8_t long_one[INSN_MAX_BYTES] = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
							 0x66, 0x66, 0x66, 0x67, 0x89, 0x80};
	struct code store = CODE(64, "movq %rax, %gs:0x12345678(%rbx,%rcx,4)");
	struct insn insn;

	for (unsigned int n = 0; n < store.n; n++)
		CHECK_EQ(insn_decode(&insn, store.bytes, n, 64), INSN_MORE);
	CHECK_EQ(insn_decode(&insn, store.bytes, store.n, 64), INSN_OK);
	CHECK_EQ(insn_decode(&insn, long_one, sizeof(long_one), 64), INSN_TOO_LONG);

	struct code locked = CODE(64, ".byte 0xf0; movl %eax, (%rbx)");
	CHECK_EQ(insn_decode(&insn, locked.bytes, locked.n, 64), INSN_UD);
	struct code locked_register = CODE(64, ".byte 0xf0; addl %eax, %ebx");
	CHECK_EQ(insn_decode(&insn, locked_register.bytes, locked_register.n, 64), INSN_UD);
	struct code vector = CODE(64, "movdqu %xmm9, 8(%rbx)");
	CHECK_EQ(insn_decode(&insn, vector.bytes, vector.n, 64), INSN_UNSUPPORTED);
	CHECK_EQ(insn.bytes, vector.n);
	struct code vex = CODE(64, "vmovaps %ymm1, 8(%r9,%r10)");
	CHECK_EQ(insn_decode(&insn, vex.bytes, vex.n, 64), INSN_UNSUPPORTED);
	CHECK_EQ(insn.bytes, vex.n);
	struct code call = CODE(64, "call *(%rbx)");
	CHECK_EQ(insn_decode(&insn, call.bytes, call.n, 64), INSN_UNSUPPORTED);
	CHECK_EQ(insn.bytes, 0);
}
