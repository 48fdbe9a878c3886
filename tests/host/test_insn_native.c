// SPDX-License-Identifier: MIT
// sources: control-domain/driver/insn_decode.c control-domain/driver/insn_alu.c
// sources: control-domain/driver/insn_step.c
// flags: -Icontrol-domain/driver -D_GNU_SOURCE
/*
 * insn_step() against this very CPU. Random instructions on random registers and memory are carried
 * out twice, by the machine on a copy and by the CPU itself on the original, in 64-bit and in
 * 32-bit code; registers, flags and memory must come out alike, and our #UD must be the CPU's. Some
 * pieces of each access go through requests as if they met a device, to see that nothing is done
 * twice.
 *
 * The CPU's part: native_enter loads all registers and jumps to the instruction, which lies in an
 * executable page below 2 GiB, followed by a jump back to where all registers are saved again. A
 * signal handler turns an exception into the same way out.
 */
#include <asm/prctl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "insn_machine.h"

enum {
	INSTRUCTIONS = 250000, /* per mode, carried out; about as many again are thrown away */
	ARENA = 1024,	       /* bytes of memory that instructions may touch */
	GS_BASE = 0x1230,
	USER_CS_32 = 0x23,
	USER_CS_64 = 0x33,
	STATUS_FLAGS = 0x8d5, /* OF SF ZF AF PF CF */
	RFLAGS_DF = 0x400,
};

/* ---- the CPU's part */

struct native {
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t host_rsp;
	uint64_t entry;
	int signal;
};

__attribute__((visibility("hidden"))) struct native native;
void native_enter(void);
extern const uint8_t native_back[];

/* Numbers: offsets in struct native. User data selectors are needed in 32-bit code alone. */
asm(".text\n"
    "native_enter:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushfq\n"
    "	mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n"
    "	mov %rsp, 136+native(%rip)\n"
    "	push 128+native(%rip); popfq\n"
    "	mov 0+native(%rip), %rax; mov 8+native(%rip), %rcx; mov 16+native(%rip), %rdx\n"
    "	mov 24+native(%rip), %rbx; mov 32+native(%rip), %rsp; mov 40+native(%rip), %rbp\n"
    "	mov 48+native(%rip), %rsi; mov 56+native(%rip), %rdi; mov 64+native(%rip), %r8\n"
    "	mov 72+native(%rip), %r9; mov 80+native(%rip), %r10; mov 88+native(%rip), %r11\n"
    "	mov 96+native(%rip), %r12; mov 104+native(%rip), %r13; mov 112+native(%rip), %r14\n"
    "	mov 120+native(%rip), %r15\n"
    "	jmp *144+native(%rip)\n"
    "native_back:\n"
    "	mov %rax, 0+native(%rip); mov %rcx, 8+native(%rip); mov %rdx, 16+native(%rip)\n"
    "	mov %rbx, 24+native(%rip); mov %rsp, 32+native(%rip); mov %rbp, 40+native(%rip)\n"
    "	mov %rsi, 48+native(%rip); mov %rdi, 56+native(%rip); mov %r8, 64+native(%rip)\n"
    "	mov %r9, 72+native(%rip); mov %r10, 80+native(%rip); mov %r11, 88+native(%rip)\n"
    "	mov %r12, 96+native(%rip); mov %r13, 104+native(%rip); mov %r14, 112+native(%rip)\n"
    "	mov %r15, 120+native(%rip)\n"
    "	mov 136+native(%rip), %rsp\n"
    "	pushfq; pop 128+native(%rip)\n"
    "	popfq; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");

_Static_assert(offsetof(struct native, rflags) == 128, "in the assembly above");
_Static_assert(offsetof(struct native, host_rsp) == 136, "in the assembly above");
_Static_assert(offsetof(struct native, entry) == 144, "in the assembly above");

static void leave_on_exception(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)info;
	native.signal = signal;
	regs[REG_RIP] = (greg_t)native_back;
	regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~(greg_t)0xffff) | USER_CS_64;
}

static uint8_t *code;  /* an executable page */
static uint8_t *arena; /* inside a page of data, so that nothing near it is touched unseen */

static void setup(void)
{
	static uint8_t stack[64 * 1024];
	const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = leave_on_exception,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK};

	code = mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	CHECK(code != MAP_FAILED);
	arena = code + PAGE_BYTES + (PAGE_BYTES - ARENA) / 2;
	CHECK_EQ(sigaltstack(&alternative, NULL), 0);
	CHECK_EQ(sigaction(SIGILL, &action, NULL), 0);
	CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
	CHECK_EQ(sigaction(SIGBUS, &action, NULL), 0);
	CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE), 0);
}

/*
 * The code page: an entry for 32-bit code (a far jump), the instruction at INSTRUCTION, and after
 * it the way back, for 32-bit code by way of RETURN, which is 64-bit code again.
 */
enum { INSTRUCTION = 0x100, RETURN = 0x200 };

static void put_jump_back(uint8_t *at)
{
	const uint64_t target = (uint64_t)native_back;

	memcpy(at, "\xff\x25\0\0\0\0", 6); /* jmp *0(%rip) */
	memcpy(at + 6, &target, 8);
}

static void put_instruction(const uint8_t *bytes, unsigned int n, unsigned int mode_bits)
{
	struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) far = {(uint32_t)(uintptr_t)(code + INSTRUCTION), USER_CS_32};

	memcpy(code + INSTRUCTION, bytes, n);
	if (mode_bits == 64) {
		put_jump_back(code + INSTRUCTION + n);
		native.entry = (uint64_t)(code + INSTRUCTION);
		return;
	}
	memcpy(code, "\xff\x2d\0\0\0\0", 6); /* ljmp *0(%rip) */
	memcpy(code + 6, &far, sizeof(far));
	native.entry = (uint64_t)code;
	far.offset = (uint32_t)(uintptr_t)(code + RETURN);
	far.selector = USER_CS_64;
	code[INSTRUCTION + n] = 0xea; /* ljmp $selector, $offset */
	memcpy(code + INSTRUCTION + n + 1, &far, sizeof(far));
	put_jump_back(code + RETURN);
}

/* ---- our part, on a copy of the arena */

static uint64_t random_state;

static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint8_t copy[ARENA];

static uint8_t *copy_at(uint64_t gpa, unsigned int bytes)
{
	uint64_t offset = gpa - (uint64_t)arena;

	return offset < ARENA && offset + bytes <= ARENA ? copy + offset : NULL;
}

/* Refuses what is not wholly within the arena; linear addresses need 8 bytes of room at most. */
static bool arena_translate(void *context, uint64_t linear, unsigned int intent, uint64_t *gpa,
			    struct guest_fault *fault)
{
	(void)context;
	(void)intent;
	*fault = (struct guest_fault){.vector = VECTOR_PF, .cr2 = linear};
	*gpa = linear;
	return copy_at(linear, 8);
}

static bool arena_read(void *context, uint64_t gpa, void *data, unsigned int bytes)
{
	(void)context;
	if (random_u64() % 4 == 0)
		return false;
	memcpy(data, copy_at(gpa, bytes), bytes);
	return true;
}

static bool arena_write(void *context, uint64_t gpa, const void *data, unsigned int bytes)
{
	(void)context;
	if (random_u64() % 4 == 0)
		return false;
	memcpy(copy_at(gpa, bytes), data, bytes);
	return true;
}

static const struct insn_ops arena_ops = {arena_translate, arena_read, arena_write};

static enum insn_status run_ours(struct insn_run *run, struct insn_cpu *cpu)
{
	for (;;) {
		enum insn_status status = insn_step(run, cpu, &arena_ops, NULL);
		struct insn_request *r = &run->request;

		if (status == INSN_MMIO_READ) {
			r->data = random_u64(); /* what lies above is ours to ignore */
			memcpy(&r->data, copy_at(r->address, r->bytes), r->bytes);
		} else if (status == INSN_MMIO_WRITE) {
			memcpy(copy_at(r->address, r->bytes), &r->data, r->bytes);
		} else if (status != INSN_AGAIN) {
			return status;
		}
	}
}

/* ---- making cases */

static void set_address(struct insn_cpu *cpu, const struct insn *insn, unsigned int reg,
			uint64_t value)
{
	uint64_t mask = insn_mask(insn->address_size);

	cpu->gpr[reg] = (cpu->gpr[reg] & ~mask) | (value & mask);
}

/* Aims the memory operand into the arena by its displacement, where it has no register. */
static void aim_displacement(uint8_t *bytes, const struct insn *insn, uint64_t target)
{
	unsigned int immediate = insn->src.kind == INSN_IMM ? insn->src.size : 0;
	unsigned int width = 4;
	uint64_t disp = target;

	if (insn->bytes > insn->address_size &&
	    (bytes[insn->bytes - insn->address_size - 1] & 0xfc) == 0xa0 &&
	    insn->dst.kind + insn->src.kind == INSN_MEM + INSN_REG &&
	    (insn->dst.kind == INSN_REG ? insn->dst.reg : insn->src.reg) == INSN_RAX)
		width = insn->address_size; /* MOV with an offset and no ModRM, most likely */
	if (insn->mem.base == INSN_RIP)
		disp -= (uint64_t)(code + INSTRUCTION) + insn->bytes;
	memcpy(bytes + insn->bytes - immediate - width, &disp, width);
}

/* Registers that let the operands fall into the arena, mostly; the rest is thrown away later. */
static void aim(uint8_t *bytes, const struct insn *insn, struct insn_cpu *cpu)
{
	uint64_t target = (uint64_t)arena + ARENA / 4 + random_u64() % (ARENA / 2);
	const struct insn_mem *m = &insn->mem;

	cpu->gpr[INSN_RSP] = (uint64_t)arena + ARENA / 2 + random_u64() % 64;
	if (insn->dst.kind == INSN_SI || insn->src.kind == INSN_SI)
		set_address(cpu, insn, INSN_RSI, target - random_u64() % 16);
	if (insn->dst.kind == INSN_DI || insn->src.kind == INSN_DI)
		set_address(cpu, insn, INSN_RDI, target);
	if (insn->rep)
		cpu->gpr[INSN_RCX] =
			(insn->address_size == 4 ? random_u64() << 32 | 1 : 0) + random_u64() % 5;
	if (insn->dst.kind != INSN_MEM && insn->src.kind != INSN_MEM)
		return;
	if (m->seg == INSN_GS)
		target -= GS_BASE;
	if (insn->bit_string)
		cpu->gpr[insn->src.reg] = random_u64() % (ARENA * 2) - ARENA;
	target -= m->disp;
	if (m->base == INSN_NO_REG && m->index == INSN_NO_REG)
		aim_displacement(bytes, insn, target + m->disp);
	else if (m->base == INSN_RIP)
		aim_displacement(bytes, insn, target + m->disp);
	else if (m->base == INSN_NO_REG)
		set_address(cpu, insn, m->index, (int64_t)target >> m->scale);
	else if (m->index == INSN_NO_REG)
		set_address(cpu, insn, m->base, target);
	else
		set_address(cpu, insn, m->base, target - (cpu->gpr[m->index] << m->scale));
}

static void make_bytes(uint8_t *bytes, unsigned int mode_bits)
{
	static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x3e, 0x48, 0x4f};
	unsigned int prefix_kinds = mode_bits == 64 ? sizeof(prefixes) : sizeof(prefixes) - 2;
	uint64_t r[2] = {random_u64(), random_u64()};
	unsigned int at = 0;

	memcpy(bytes, r, INSN_MAX_BYTES);
	for (unsigned int n = random_u64() % 3; n; n--)
		bytes[at++] = prefixes[random_u64() % prefix_kinds];
	if (mode_bits == 64 && random_u64() % 4 == 0)
		bytes[at++] = 0x65;
	if (mode_bits == 64 && random_u64() % 2)
		bytes[at++] = 0x40 | random_u64() % 16;
	if (random_u64() % 3 == 0)
		bytes[at++] = 0x0f;
	if (random_u64() % 16 == 0) {
		memcpy(bytes + at, "\x0f\x38\xf0", 3);
		bytes[at + 2] |= random_u64() & 1;
	}
}

static bool usable(const struct insn *insn, unsigned int mode_bits)
{
	unsigned int seg = insn->mem.seg;

	if (insn->dst.kind == INSN_DX || insn->src.kind == INSN_DX)
		return false; /* ports are not for user space */
	if (insn->op == INSN_OP_CMPXCHG && insn->dst.kind == INSN_REG)
		return false; /* the upper half, when it writes nothing new: Intel and AMD differ */
	if (insn->address_size == 2)
		return false; /* the arena is out of reach */
	return mode_bits == 64 ? seg != INSN_FS /* the thread's own */ : seg < INSN_FS;
}

/* Interesting numbers are more often at the ends. */
static uint64_t random_value(void)
{
	uint64_t r = random_u64();

	switch (r % 4) {
	case 0:
		return (r >> 8 & 3) - 2;
	case 1:
		return (1ull << (r >> 8 & 63)) - (r >> 16 & 1);
	default:
		return random_u64();
	}
}

static void differ(const uint8_t *bytes, const struct insn *insn, const char *what, uint64_t ours,
		   uint64_t cpus)
{
	char hex[3 * INSN_MAX_BYTES + 1] = "";

	for (int i = 0; i < insn->bytes; i++)
		sprintf(hex + 3 * i, "%02x ", bytes[i]);
	test_fail(__FILE__, __LINE__, "%s: %s is %" PRIx64 ", the CPU says %" PRIx64, hex, what,
		  ours, cpus);
}

static void compare(const uint8_t *bytes, const struct insn *insn, const struct insn_cpu *cpu)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
	unsigned int flags = STATUS_FLAGS | RFLAGS_DF;
	uint64_t mask = insn_mask(cpu->mode_bits / 8);

	if (native.signal)
		differ(bytes, insn, "signal", 0, native.signal);
	for (int i = 0; i < (cpu->mode_bits == 64 ? 16 : 8); i++)
		if ((cpu->gpr[i] ^ native.gpr[i]) & mask)
			differ(bytes, insn, names[i], cpu->gpr[i], native.gpr[i]);
	if ((cpu->rflags ^ native.rflags) & flags)
		differ(bytes, insn, "rflags", cpu->rflags & flags, native.rflags & flags);
	for (int i = 0; i < ARENA; i++)
		if (copy[i] != arena[i])
			differ(bytes, insn, "memory", copy[i], arena[i]);
}

/* One random case; false if it was none. */
static bool try_one(unsigned int mode_bits, unsigned int *ops_seen)
{
	struct insn_cpu cpu = {.mode_bits = mode_bits, .address_bits = 48};
	uint8_t bytes[INSN_MAX_BYTES + 1];
	struct insn_run run = {0};
	enum insn_result result;

	make_bytes(bytes, mode_bits);
	result = insn_decode(&run.insn, bytes, INSN_MAX_BYTES, mode_bits);
	if ((result != INSN_OK && result != INSN_UD) || !usable(&run.insn, mode_bits))
		return false;

	for (int i = 0; i < INSN_SEGS; i++)
		cpu.seg[i] = (struct insn_segment){i == INSN_GS ? GS_BASE : 0, ~0u, FLAT_DATA};
	cpu.seg[INSN_CS].rights = FLAT_CODE;
	for (int i = 0; i < 16; i++)
		cpu.gpr[i] = mode_bits == 64 ? random_value() : (uint32_t)random_value();
	cpu.rip = (uint64_t)(code + INSTRUCTION);
	cpu.rflags = 2 | (random_u64() & (STATUS_FLAGS | RFLAGS_DF));
	for (int i = 0; i < ARENA; i += 8) {
		uint64_t r = random_value();

		memcpy(arena + i, &r, 8);
	}
	memcpy(copy, arena, ARENA);

	if (result == INSN_OK) {
		aim(bytes, &run.insn, &cpu);
		if (insn_decode(&run.insn, bytes, INSN_MAX_BYTES, mode_bits) != INSN_OK)
			return false; /* that was no MOV with an offset */
	}
	memcpy(native.gpr, cpu.gpr, sizeof(native.gpr));
	native.rflags = cpu.rflags;
	native.signal = 0;
	if (result == INSN_OK && run_ours(&run, &cpu) != INSN_DONE)
		return false;

	put_instruction(bytes, result == INSN_OK ? run.insn.bytes : INSN_MAX_BYTES, mode_bits);
	native_enter();
	if (result == INSN_UD) {
		if (native.signal != SIGILL)
			differ(bytes, &run.insn, "#UD", SIGILL, native.signal);
		return true;
	}
	compare(bytes, &run.insn, &cpu);
	*ops_seen |= 1u << run.insn.op;
	return true;
}

static void try_many(unsigned int mode_bits)
{
	unsigned int all_ops =
		((1u << INSN_OPS) - 1) & ~(1u << INSN_OP_NONE | 1u << INSN_OP_VECTOR);
	unsigned int ops_seen = 0, done = 0;

	setup();
	random_state = mode_bits;
	while (done < INSTRUCTIONS)
		done += try_one(mode_bits, &ops_seen);
	CHECK_EQ(ops_seen, all_ops);
}

TEST(as_this_cpu_in_64_bit_code)
{
	try_many(64);
}

TEST(as_this_cpu_in_32_bit_code)
{
	try_many(32);
}
