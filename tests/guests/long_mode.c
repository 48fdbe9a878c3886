// SPDX-License-Identifier: MIT
/*
 * What a 64-bit system may expect of its processor: CPUID, MSRs, control and debug registers,
 * exceptions with the right error codes, ports, time. The local APIC has apic.c.
 *
 * Source of the expectations: SDM 2 "Instruction Set Reference", SDM 3A "Control Registers",
 * "Interrupt and Exception Handling", "Debug, Branch Profile ..."
 */
#include "guest.h"

#define CR0_MP	    UINT64_C(0x2)
#define CR0_EM	    UINT64_C(0x4)
#define CR0_TS	    UINT64_C(0x8)
#define CR0_NE	    UINT64_C(0x20)
#define CR0_WP	    UINT64_C(0x10000)
#define CR0_AM	    UINT64_C(0x40000)
#define CR0_NW	    UINT64_C(0x20000000)
#define CR0_CD	    UINT64_C(0x40000000)
#define CR0_PG	    UINT64_C(0x80000000)
#define CR4_TSD	    UINT64_C(0x4)
#define CR4_PAE	    UINT64_C(0x20)
#define CR4_OSFXSR  UINT64_C(0x600)
#define CR4_VMXE    UINT64_C(0x2000)
#define CR4_SMXE    UINT64_C(0x4000)
#define CR4_PCIDE   UINT64_C(0x20000)
#define CR4_OSXSAVE UINT64_C(0x40000)
#define FLAG_TF	    0x100
#define DR6_SET	    UINT64_C(0xffff0ff0)
#define MSRS_PROBED 4096

static uint8_t saved[2][1024] __attribute__((aligned(64)));

static void test_cpuid(void)
{
	struct cpuid zero = cpuid(0, 0), one = cpuid(1, 0), ext = cpuid(0x80000000, 0), hv, top;
	unsigned int unstable = 0;

	report(zero.a >= 0xd, "CPUID: basic leaves to Dh at least, %x", (uint64_t)zero.a);
	report(ext.a >= 0x80000008, "CPUID: extended leaves to 80000008h, %x", (uint64_t)ext.a);
	report((one.d & 0x07808111) == 0x07808111,
	       "CPUID.1: FPU, TSC, CX8, CMOV, MMX, FXSR, SSE, SSE2, %x", (uint64_t)one.d);
	report(cpuid(0x80000001, 0).d >> 29 & 1, "CPUID: long mode");
	top = cpuid(0xb, 0);
	report(top.d == one.b >> 24, "CPUID: x2APIC id of leaf Bh is that of leaf 1");
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXSAVE);
	report(cpuid(1, 0).c >> 27 & 1, "CPUID: OSXSAVE follows CR4, set");
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	report(!(cpuid(1, 0).c >> 27 & 1), "CPUID: OSXSAVE follows CR4, clear");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (uint32_t leaf = 0; leaf <= 0x40; leaf++) {
		struct cpuid a = cpuid(leaf, 0), b = cpuid(leaf, 0);

		unstable += a.a != b.a || a.b != b.b || a.c != b.c || a.d != b.d;
	}
	for (uint32_t leaf = 0; leaf <= 0x100; leaf++) {
		struct cpuid a = cpuid(0x80000000 + leaf, 0), b = cpuid(0x80000000 + leaf, 0);

		unstable += a.a != b.a || a.b != b.b || a.c != b.c || a.d != b.d;
		a = cpuid(0x40000000 + leaf, 0), b = cpuid(0x40000000 + leaf, 0);
		unstable += a.a != b.a || a.b != b.b || a.c != b.c || a.d != b.d;
	}
	report(!unstable, "CPUID: the same answer twice, all leaves");
	if (!under_hypervisor)
		return;
	hv = cpuid(0x40000000, 0);
	report(hv.b == 0x4b4d564b && hv.c == 0x564b4d56 && hv.d == 0x4d, "CPUID: KVM's signature");
	report(!(one.c & 0x28), "CPUID: neither VMX nor MONITOR");
	report(cpuid(0x15, 0).b && cpuid(0x15, 0).c, "CPUID: leaf 15h tells the TSC's frequency");
}

static void test_registers_kept(void)
{
	uint64_t a = 0xffffffff00000000, b = ~UINT64_C(0), c = 0xffffffff00000000, d = ~UINT64_C(0);
	uint64_t r8 = 0x1122334455667788, si = 0x8877665544332211;
	register uint64_t r15 asm("r15") = 0xa5a5a5a55a5a5a5a;

	asm volatile("mov %4, %%r8; cpuid; mov %%r8, %4"
		     : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+r"(si), "+r"(r15)
		     :
		     : "r8");
	report(!(a >> 32 | b >> 32 | c >> 32 | d >> 32), "CPUID clears the upper halves");
	report(si == 0x8877665544332211 && r15 == 0xa5a5a5a55a5a5a5a, "CPUID keeps the others");
	(void)r8;
	a = ~UINT64_C(0);
	asm volatile("inb $0x80, %%al" : "+a"(a));
	report(a >> 8 == UINT64_MAX >> 8, "INB keeps the rest of RAX");
	a = ~UINT64_C(0);
	asm volatile("inw $0x80, %%ax" : "+a"(a));
	report(a >> 16 == UINT64_MAX >> 16, "INW keeps the rest of RAX");
	a = ~UINT64_C(0);
	asm volatile("inl $0x80, %%eax" : "+a"(a));
	report(!(a >> 32), "INL clears the upper half of RAX");
}

/* x87, SSE and, where the processor has it, AVX across one kind of exit. */
#define VECTORS_ACROSS(name, instruction)                                                          \
	do {                                                                                       \
		for (unsigned int i = 0; i < sizeof(saved[0]); i++)                                \
			saved[0][i] = (uint8_t)(i * 7 + 1), saved[1][i] = 0;                       \
		if (avx)                                                                           \
			asm volatile(YMM("vmovdqu ", "*32(%0), %%ymm") instruction YMM_STORE       \
				     :                                                             \
				     : "r"(saved[0]), "r"(saved[1])                                \
				     : "rax", "rbx", "rcx", "rdx", "memory");                      \
		else                                                                               \
			asm volatile(YMM("movdqu ", "*32(%0), %%xmm") instruction XMM_STORE        \
				     :                                                             \
				     : "r"(saved[0]), "r"(saved[1])                                \
				     : "rax", "rbx", "rcx", "rdx", "memory");                      \
		bool same = true;                                                                  \
		for (unsigned int i = 0; i < 512; i++)                                             \
			same &= saved[0][i] == saved[1][i] || (!avx && i % 32 >= 16);              \
		report(same, avx ? "AVX registers kept across " name                               \
				 : "SSE registers kept across " name);                             \
		uint64_t pi[2] = {0}, one[2] = {0};                                                \
		uint32_t mxcsr = 0x1fc0, mxcsr_after = 0;                                          \
		uint16_t word = 0x27f, word_after = 0;                                             \
		asm volatile("fninit; fldcw %4; ldmxcsr %6; fld1; fldpi\n\t" instruction           \
			     "fstpt %0; fstpt %1; fnstcw %2; stmxcsr %3"                           \
			     : "=m"(pi), "=m"(one), "=m"(word_after), "=m"(mxcsr_after)            \
			     : "m"(word), "m"(word_after), "m"(mxcsr), "m"(mxcsr_after)            \
			     : "rax", "rbx", "rcx", "rdx", "memory");                              \
		report(pi[0] == 0xc90fdaa22168c235 && (uint16_t)pi[1] == 0x4000 &&                 \
			       one[0] == UINT64_C(1) << 63 && word_after == word &&                \
			       mxcsr_after == mxcsr,                                               \
		       "x87 stack, FCW and MXCSR kept across " name);                              \
	} while (0)
#define YMM1(op, mid, n) op #n mid #n "\n\t"
/* clang-format off */
#define YMM(op, mid) \
	YMM1(op, mid, 0) YMM1(op, mid, 1) YMM1(op, mid, 2) YMM1(op, mid, 3) \
	YMM1(op, mid, 4) YMM1(op, mid, 5) YMM1(op, mid, 6) YMM1(op, mid, 7) \
	YMM1(op, mid, 8) YMM1(op, mid, 9) YMM1(op, mid, 10) YMM1(op, mid, 11) \
	YMM1(op, mid, 12) YMM1(op, mid, 13) YMM1(op, mid, 14) YMM1(op, mid, 15)
/* clang-format on */
#define STORE1(op, n) op #n ", " #n "*32(%1)\n\t"
/* clang-format off */
#define STORE(op) \
	STORE1(op, 0) STORE1(op, 1) STORE1(op, 2) STORE1(op, 3) \
	STORE1(op, 4) STORE1(op, 5) STORE1(op, 6) STORE1(op, 7) \
	STORE1(op, 8) STORE1(op, 9) STORE1(op, 10) STORE1(op, 11) \
	STORE1(op, 12) STORE1(op, 13) STORE1(op, 14) STORE1(op, 15)
/* clang-format on */
#define YMM_STORE STORE("vmovdqu %%ymm")
#define XMM_STORE STORE("movdqu %%xmm")

static void test_vectors(void)
{
	bool avx = cpuid(1, 0).c >> 28 & 1;

	if (avx)
		asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
	VECTORS_ACROSS("CPUID", "xor %%eax, %%eax; cpuid\n\t");
	VECTORS_ACROSS("a port read", "inb $0x80, %%al\n\t");
	apic_enable(true);
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_TIMER, 0x40);
	/* The deadline's distance is long enough for the HLT to come first. */
	VECTORS_ACROSS("HLT", "mov $0x838, %%ecx; mov $100000, %%eax; xor %%edx, %%edx; wrmsr;"
			      "sti; hlt; cli\n\t");
	if (cpuid(1, 0).c >> 26 & 1) {
		asm volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
		uint32_t low, high;

		asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
		report(low == 3 && !high, "XGETBV gives what XSETBV set");
	}
}

static unsigned int xsetbv(uint32_t index, uint64_t value)
{
	return ATTEMPT("xsetbv", OUT(),
		       IN("c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))));
}

static void test_xsetbv(void)
{
	uint32_t supported = cpuid(0xd, 0).a;

	report(xsetbv(0, 0) == GP, "XSETBV: x87 cannot be switched off");
	report(xsetbv(0, 5) == GP, "XSETBV: AVX without SSE");
	report(xsetbv(0, UINT64_C(1) << 63 | 3) == GP, "XSETBV: bit 63");
	report(xsetbv(0, UINT64_C(1) << 40 | 3) == GP, "XSETBV: a component that is not there");
	report(xsetbv(1, 3) == GP, "XSETBV: register 1");
	report(xsetbv(UINT32_MAX, 3) == GP, "XSETBV: register FFFFFFFFh");
	for (unsigned int i = 0; i < 64; i++)
		xsetbv(0, UINT64_C(1) << i | 1);
	report(xsetbv(0, supported) == NO_FAULT, "XSETBV: all that CPUID offers, %x",
	       (uint64_t)supported);
	report(cpuid(0xd, 0).b == cpuid(0xd, 0).c, "CPUID.D: all enabled needs the largest size");
	xsetbv(0, 3);
	report(cpuid(0xd, 0).b == 576, "CPUID.D: size follows XCR0, %u", (uint64_t)cpuid(0xd, 0).b);
}

/* A trip to the device model, and so of all that a stay in the guest switches. */
static void go_out(void)
{
	asm volatile("inb $0x80, %%al" : : : "rax");
}

/* What a guest cannot see a hypervisor may leave alone; then it can see it again. */
static void test_osxsave(void)
{
	uint64_t cr4 = read_cr4();
	uint32_t low = 0, high = 0;

	xsetbv(0, 3);
	go_out();
	write_cr4(cr4 & ~CR4_OSXSAVE);
	report(!(read_cr4() & CR4_OSXSAVE) && !(cpuid(1, 0).c >> 27 & 1), "OSXSAVE off");
	report(ATTEMPT("xgetbv", OUT(), IN("c"(0)), "rax", "rdx") == UD, "XGETBV without OSXSAVE");
	go_out();
	report(xsetbv(0, 1) == UD, "XSETBV without OSXSAVE");
	write_cr4(cr4);
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	report(low == 3 && !high && cpuid(0xd, 0).b == 576, "XCR0 as before OSXSAVE was off, %x",
	       (uint64_t)low);
	go_out();
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	report(low == 3 && !high, "and after a trip, %x", (uint64_t)low);
}

/* 1 if SYSCALL comes to where LSTAR says, 0 if it faults. */
static uint64_t try_syscall(void)
{
	uint64_t arrived = 0;

	if (ATTEMPT("lea 1f(%%rip), %%rax\n\t"
		    "mov %%rax, %%rdx\n\t"
		    "shr $32, %%rdx\n\t"
		    "mov $0xc0000082, %%ecx\n\t"
		    "wrmsr\n\t"
		    "inb $0x80, %%al\n\t"
		    "syscall\n\t"
		    "jmp 2f\n"
		    "1: incq %0\n\t"
		    "2:",
		    OUT("+m"(arrived)), IN(), "rax", "rcx", "rdx", "r11") != NO_FAULT)
		return 0;
	return arrived;
}

static void test_syscall(void)
{
	uint64_t efer = rdmsr(MSR_EFER);

	wrmsr_try(0xc0000081, (uint64_t)0x08 << 32);
	wrmsr_try(0xc0000084, 0x700);
	wrmsr_try(MSR_EFER, efer & ~UINT64_C(1));
	report(!try_syscall() && fault.vector == UD, "SYSCALL without SCE");
	report(rdmsr(0xc0000081) == (uint64_t)0x08 << 32 && rdmsr(0xc0000084) == 0x700,
	       "its MSRs are kept without SCE");
	for (unsigned int i = 0; i < 3; i++) {
		wrmsr_try(MSR_EFER, efer | 1);
		report(try_syscall() == 1, "SYSCALL goes to LSTAR");
		wrmsr_try(MSR_EFER, efer & ~UINT64_C(1));
		go_out();
	}
	wrmsr_try(MSR_EFER, efer);
}

static void test_cr0(void)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} bits[] = {{CR0_MP, "MP"}, {CR0_EM, "EM"}, {CR0_TS, "TS"}, {CR0_NE, "NE"},
		    {CR0_WP, "WP"}, {CR0_AM, "AM"}, {CR0_CD, "CD"}};
	uint64_t cr0 = read_cr0(), seen;

	for (unsigned int i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		write_cr0(cr0 ^ bits[i].bit);
		seen = read_cr0();
		write_cr0(cr0);
		report(seen == (cr0 ^ bits[i].bit) && read_cr0() == cr0,
		       "CR0.%s changes and is read back", bits[i].name);
	}
	report(write_cr0(cr0 | CR0_NW) == GP, "CR0: NW without CD");
	report(write_cr0(cr0 & ~UINT64_C(1)) == GP, "CR0: paging without protection");
	report(write_cr0(cr0 & ~CR0_PG) == GP, "CR0: no way out of paging in 64-bit code");
	report(write_cr0(cr0 | UINT64_C(1) << 32) == GP, "CR0: bit 32");
	report(write_cr0(cr0 | UINT64_C(1) << 63) == GP, "CR0: bit 63");
	write_cr0(cr0 | CR0_TS);
	report(ATTEMPT("fnop", OUT(), IN()) == NM, "x87 with CR0.TS: #NM");
	asm volatile("clts");
	report(!(read_cr0() & CR0_TS) && ATTEMPT("fnop", OUT(), IN()) == NO_FAULT, "CLTS");
	asm volatile("lmsw %w0" : : "r"(0x0));
	report((read_cr0() & 0xf) == 1, "LMSW cannot clear PE");
	asm volatile("lmsw %w0" : : "r"(0xb));
	report((read_cr0() & 0xf) == 0xb, "LMSW sets MP and TS");
	write_cr0(cr0);
	report(read_cr0() == cr0, "CR0 as before");
}

static void test_cr4(void)
{
	uint64_t cr4 = read_cr4(), cr3 = read_cr3();
	bool vmx = cpuid(1, 0).c >> 5 & 1, pcid = cpuid(1, 0).c >> 17 & 1;

	if (!vmx)
		report(write_cr4(cr4 | CR4_VMXE) == GP, "CR4: VMXE where there is no VMX");
	report(write_cr4(cr4 & ~CR4_PAE) == GP, "CR4: PAE stays in long mode");
	report(write_cr4(cr4 | UINT64_C(1) << 31) == GP, "CR4: bit 31");
	report(write_cr4(cr4 | UINT64_C(1) << 63) == GP, "CR4: bit 63");
	report(read_cr4() == cr4, "CR4 as before");
	for (unsigned int i = 0; i < 64; i++)
		if (i != 13 && i != 20 && i != 21 && !write_cr4(cr4 ^ UINT64_C(1) << i))
			write_cr4(cr4);
	write_cr4(cr4);
	report(read_cr4() == cr4, "CR4: each bit tried, value as before, %x", cr4);
	if (pcid) {
		report(write_cr4(cr4 | CR4_PCIDE) == NO_FAULT, "CR4: PCIDE");
		report(write_cr3(cr3 | 5) == NO_FAULT && read_cr3() == (cr3 | 5),
		       "CR3 with a PCID");
		report(write_cr3(cr3 | UINT64_C(1) << 63) == NO_FAULT && read_cr3() == cr3,
		       "CR3 without flush; bit 63 reads 0");
		write_cr4(cr4);
		write_cr3(cr3 | 0x18);
		report(write_cr4(cr4 | CR4_PCIDE) == NO_FAULT || fault.vector == GP,
		       "CR4: PCIDE while CR3 has low bits");
		write_cr3(cr3);
		write_cr4(cr4);
	}
	report(write_cr3(UINT64_C(1) << 62 | cr3) == GP, "CR3: bit 62");
	report(write_cr3(UINT64_C(1) << 51 | cr3) == GP, "CR3: beyond the physical addresses");
	for (unsigned int i = 0; i < 16; i++)
		write_cr8(i);
	report(read_cr8() == 15, "CR8 is read back");
	report(write_cr8(16) == GP && write_cr8(UINT64_MAX) == GP, "CR8: reserved bits");
	write_cr8(0);
	report(ATTEMPT(".byte 0x0f, 0x22, 0xc8", OUT(), IN("a"(0))) == UD, "CR1 does not exist");
}

#define INSTRUCTION_FAULTS(text, vector)                                                           \
	report(ATTEMPT(text, OUT(), IN("a"(saved), "c"(0), "d"(0))) == (vector), "%s: vector %u",  \
	       text, (uint64_t)(vector))

static void test_instructions(void)
{
	bool monitor = cpuid(1, 0).c & 8;

	INSTRUCTION_FAULTS("ud2", UD);
	INSTRUCTION_FAULTS("vmxon (%%rax)", UD);
	INSTRUCTION_FAULTS("vmxoff", UD);
	INSTRUCTION_FAULTS("vmclear (%%rax)", UD);
	INSTRUCTION_FAULTS("vmptrld (%%rax)", UD);
	INSTRUCTION_FAULTS("vmptrst (%%rax)", UD);
	INSTRUCTION_FAULTS("vmlaunch", UD);
	INSTRUCTION_FAULTS("vmresume", UD);
	INSTRUCTION_FAULTS("vmread %%rcx, %%rdx", UD);
	INSTRUCTION_FAULTS("vmwrite %%rcx, %%rdx", UD);
	INSTRUCTION_FAULTS("invept (%%rax), %%rcx", UD);
	INSTRUCTION_FAULTS("invvpid (%%rax), %%rcx", UD);
	INSTRUCTION_FAULTS("vmfunc", UD);
	INSTRUCTION_FAULTS("getsec", UD);
	INSTRUCTION_FAULTS("encls", UD);
	INSTRUCTION_FAULTS("rsm", UD);
	if (!monitor) {
		INSTRUCTION_FAULTS("monitor", UD);
		INSTRUCTION_FAULTS("mwait", UD);
	}
	INSTRUCTION_FAULTS("invd", NO_FAULT);
	INSTRUCTION_FAULTS("wbinvd", NO_FAULT);
	INSTRUCTION_FAULTS("pause", NO_FAULT);
	if (under_hypervisor) {
		uint64_t answer = 0;

		report(ATTEMPT("vmcall", OUT("+a"(answer)), IN("b"(0), "c"(0), "d"(0), "S"(0))) ==
				       NO_FAULT &&
			       (int64_t)answer < 0,
		       "VMCALL: no such call");
	}
	report(ATTEMPT("mov (%0), %%al", OUT(), IN("r"(UINT64_C(1) << 63))) == GP &&
		       fault.error == 0,
	       "#GP: address that is not canonical");
	report(ATTEMPT("mov %w0, %%fs", OUT(), IN("r"(0x1238))) == GP && fault.error == 0x1238,
	       "#GP: selector beyond the table, error code");
	report(ATTEMPT("mov %w0, %%fs", OUT(), IN("r"(0x48))) == NP && fault.error == 0x48,
	       "#NP: segment not present, error code");
	report(ATTEMPT("xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; div %%ecx", OUT(), IN(),
		       "rax", "rcx", "rdx") == 0,
	       "#DE");
	report(ATTEMPT("int3", OUT(), IN()) == 3, "#BP");
	report(ATTEMPT("ltr %w0", OUT(), IN("r"(0x30))) == GP && fault.error == 0x30,
	       "LTR of a busy TSS: #GP");
}

extern const char user_int80[], user_read[], user_hlt[], user_rdtsc[], user_cli[], user_int32[],
	user_cr0[], user_vmcall[], user_cpuid[], user_in[], user_rdmsr[];
asm(".text\n"
    "user_int80: mov $0x1234, %eax; int $0x80\n"
    "user_read: mov $0x140000000, %rax; mov (%rax), %al; int $0x80\n"
    "user_hlt: hlt; int $0x80\n"
    "user_rdtsc: rdtsc; int $0x80\n"
    "user_cli: cli; int $0x80\n"
    "user_int32: int $0x20; int $0x80\n"
    "user_cr0: mov %cr0, %rax; int $0x80\n"
    "user_vmcall: vmcall; int $0x80\n"
    "user_cpuid: xor %eax, %eax; cpuid; int $0x80\n"
    "user_in: in $0x80, %al; int $0x80\n"
    "user_rdmsr: mov $0x10, %ecx; rdmsr; int $0x80\n");

static bool user_gp(const char *code)
{
	in_user_mode(code);
	return fault.vector == GP && fault.error == 0;
}

static void test_user_mode(void)
{
	report(in_user_mode(user_int80) == 0x1234 && fault.vector == VECTOR_USER_RETURN,
	       "IRETQ to user mode and INT back");
	report(user_gp(user_hlt), "user mode: HLT #GP");
	report(user_gp(user_cli), "user mode: CLI #GP");
	report(user_gp(user_cr0), "user mode: MOV from CR0 #GP");
	report(user_gp(user_in), "user mode: IN #GP");
	report(user_gp(user_rdmsr), "user mode: RDMSR #GP");
	in_user_mode(user_int32);
	report(fault.vector == GP && fault.error == 0x20 * 8 + 2,
	       "user mode: INT 20h #GP, error %x", fault.error);
	in_user_mode(user_cpuid);
	report(fault.vector == VECTOR_USER_RETURN, "user mode: CPUID");
	in_user_mode(user_rdtsc);
	report(fault.vector == VECTOR_USER_RETURN, "user mode: RDTSC");
	write_cr4(read_cr4() | CR4_TSD);
	report(user_gp(user_rdtsc), "user mode: RDTSC with CR4.TSD #GP");
	write_cr4(read_cr4() & ~CR4_TSD);
	in_user_mode(user_vmcall);
	report(fault.vector == (under_hypervisor ? VECTOR_USER_RETURN : UD), "user mode: VMCALL");
	map_probe((uint64_t)probe_page | 3);
	in_user_mode(user_read);
	report(fault.vector == PF && fault.error == 5 && fault.address == PROBE,
	       "#PF: user reads supervisor page, error %x", fault.error);
}

#define PROBE_READ  ATTEMPT("mov (%0), %%al", OUT(), IN("r"(PROBE + 8)), "rax")
#define PROBE_WRITE ATTEMPT("movb $1, (%0)", OUT(), IN("r"(PROBE + 8)))

static void test_page_faults(void)
{
	uint64_t page = (uint64_t)probe_page;

	map_probe(0);
	report(PROBE_READ == PF && fault.error == 0 && fault.address == PROBE + 8,
	       "#PF: read, not present");
	report(PROBE_WRITE == PF && fault.error == 2, "#PF: write, not present");
	map_probe(page | 3);
	report(PROBE_READ == NO_FAULT && PROBE_WRITE == NO_FAULT, "a page that is present");
	map_probe(page | 1);
	report(PROBE_WRITE == PF && fault.error == 3, "#PF: write, read-only, WP");
	write_cr0(read_cr0() & ~CR0_WP);
	report(PROBE_WRITE == NO_FAULT, "write to read-only without WP");
	write_cr0(read_cr0() | CR0_WP);
	map_probe(page | UINT64_C(1) << 51 | 3);
	report(PROBE_READ == PF && fault.error == 9, "#PF: reserved bit, error %x", fault.error);
	map_probe(page | UINT64_C(1) << 63 | 3);
	report(ATTEMPT("jmp *%0", OUT(), IN("r"(PROBE))) == PF && fault.error == 0x11 &&
		       fault.address == PROBE && fault.rip == PROBE,
	       "#PF: execution, error %x", fault.error);
	wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) & ~UINT64_C(0x800));
	flush_tlb();
	report(PROBE_READ == PF && fault.error == 9, "#PF: XD is reserved without EFER.NXE");
	wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) | 0x800);
	map_probe(0);
}

#define BAD_CANONICAL (UINT64_C(1) << 47)

static void test_msrs(void)
{
	uint64_t efer = rdmsr(MSR_EFER), value;
	static const uint32_t addresses[] = {
		0x175, 0x176, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, 0xc0000082, 0xc0000083};
	unsigned int wrong = 0, readable = 0, writable = 0, other = 0;
	uint64_t seed = 3;

	report(wrmsr_try(MSR_EFER, efer ^ 0x100) == GP, "EFER: LME under paging");
	report(wrmsr_try(MSR_EFER, efer | 0x2) == GP, "EFER: reserved bit");
	report(wrmsr_try(MSR_EFER, efer ^ 1) == NO_FAULT && rdmsr(MSR_EFER) == (efer ^ 1),
	       "EFER: SCE changes");
	wrmsr_try(MSR_EFER, efer);
	for (unsigned int i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		value = rdmsr(addresses[i]);
		wrong += wrmsr_try(addresses[i], BAD_CANONICAL) != GP;
		wrong += wrmsr_try(addresses[i], 0xffff8000deadbee0) != NO_FAULT;
		cpuid(0, 0);
		wrong += rdmsr(addresses[i]) != 0xffff8000deadbee0;
		wrmsr_try(addresses[i], value);
	}
	report(!wrong, "MSRs with addresses: canonical ones kept, others #GP");
	wrmsr_try(0xc0000081, 0x0018000800000000);
	report(rdmsr(0xc0000081) == 0x0018000800000000, "STAR is kept");
	report(wrmsr_try(0x277, 0x0007040600070402) == GP, "PAT: type 2");
	report(wrmsr_try(0x277, 0x0007040600070406) == NO_FAULT &&
		       rdmsr(0x277) == 0x0007040600070406,
	       "PAT is kept");
	wrmsr_try(MSR_GS_BASE, 0x1111);
	wrmsr_try(MSR_KERNEL_GS_BASE, 0x2222);
	asm volatile("swapgs");
	report(rdmsr(MSR_GS_BASE) == 0x2222 && rdmsr(MSR_KERNEL_GS_BASE) == 0x1111, "SWAPGS");
	if (cpuid(0x80000001, 0).d >> 27 & 1) {
		uint32_t aux = 0;

		wrmsr_try(0xc0000103, 77);
		cpuid(0, 0);
		asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
		report(aux == 77, "RDTSCP gives TSC_AUX");
	}
	for (unsigned int i = 0; i < MSRS_PROBED; i++) {
		uint32_t msr = (uint32_t)next_random(&seed) | 0x4000;

		readable += rdmsr_try(msr, &value) == NO_FAULT;
		writable += wrmsr_try(msr, next_random(&seed)) == NO_FAULT;
		other += fault.vector != GP && fault.vector != NO_FAULT;
	}
	report(!other, "%u MSRs elsewhere: nothing but #GP", (uint64_t)MSRS_PROBED);
	if (under_hypervisor)
		report(!readable && !writable, "%u MSRs elsewhere: %u readable, %u writable",
		       (uint64_t)MSRS_PROBED, (uint64_t)readable, (uint64_t)writable);
	readable = 0;
	for (uint32_t msr = 0; msr < 0x2000; msr++) {
		readable += rdmsr_try(msr, &value) == NO_FAULT;
		readable += rdmsr_try(0xc0000000 + msr, &value) == NO_FAULT;
	}
	report(readable && !other, "both MSR ranges read, %u answer", (uint64_t)readable);
}

static uint64_t get_dr(unsigned int n)
{
	uint64_t v = 0;

	switch (n) {
	case 0:
		asm volatile("mov %%dr0, %0" : "=r"(v));
		break;
	case 1:
		asm volatile("mov %%dr1, %0" : "=r"(v));
		break;
	case 2:
		asm volatile("mov %%dr2, %0" : "=r"(v));
		break;
	case 3:
		asm volatile("mov %%dr3, %0" : "=r"(v));
		break;
	case 6:
		asm volatile("mov %%dr6, %0" : "=r"(v));
		break;
	case 7:
		asm volatile("mov %%dr7, %0" : "=r"(v));
		break;
	}
	return v;
}

#define SET_DR(n, v) ATTEMPT("mov %0, %%dr" #n, OUT(), IN("r"((uint64_t)(v))))

static void test_debug(void)
{
	uint64_t here;

	report(get_dr(7) == 0x400 && (get_dr(6) & ~UINT64_C(0x10000)) == 0xfffe0ff0,
	       "DR6 and DR7 as after reset, %x %x", get_dr(6), get_dr(7));
	SET_DR(0, 0x1111), SET_DR(1, 0x2222), SET_DR(2, 0x3333), SET_DR(3, 0x4444);
	cpuid(0, 0);
	inb(0x80);
	report(get_dr(0) == 0x1111 && get_dr(1) == 0x2222 && get_dr(2) == 0x3333 &&
		       get_dr(3) == 0x4444,
	       "DR0 to DR3 kept across exits");
	report(SET_DR(7, UINT64_C(1) << 32) == GP, "DR7: bit 32");
	report(SET_DR(6, UINT64_C(1) << 32) == GP, "DR6: bit 32");
	SET_DR(6, 0);
	report((get_dr(6) & DR6_SET & ~UINT64_C(0x10800)) == (DR6_SET & ~UINT64_C(0x10800)),
	       "DR6: fixed bits, %x", get_dr(6));
	SET_DR(0, &saved[0][0]);
	SET_DR(7, 0x00010402 | 0x100); /* DR0 global, write, 1 byte */
	report(ATTEMPT("movb $0, %0; nop", OUT("+m"(saved[0][0])), IN()) == 1 && (fault.dr6 & 1),
	       "data breakpoint, DR6 %x", fault.dr6);
	SET_DR(7, 0x400);
	SET_DR(6, 0);
	report(ATTEMPT("pushf; orl $0x100, (%%rsp); popf; nop; nop", OUT(), IN()) == 1 &&
		       (fault.dr6 & 0x4000),
	       "single step, DR6 %x", fault.dr6);
	SET_DR(6, 0);
	here = 0;
	report(ATTEMPT("pushf; orl $0x100, (%%rsp); lea 7f(%%rip), %0; xor %%eax, %%eax; popf;"
		       "cpuid; 7: nop; nop",
		       OUT("=&S"(here)), IN(), "rax", "rbx", "rcx", "rdx") == 1 &&
		       (fault.dr6 & 0x4000) && fault.rip == here,
	       "single step over CPUID: %x after it", fault.rip - here);
	SET_DR(6, 0);
	report(ATTEMPT("pushf; orl $0x100, (%%rsp); lea 7f(%%rip), %0; popf; inb $0x80, %%al;"
		       "7: nop; nop",
		       OUT("=&S"(here)), IN(), "rax") == 1 &&
		       fault.rip == here,
	       "single step over IN: %x after it", fault.rip - here);
	here = 0;
	report(ATTEMPT("lea 7f(%%rip), %0; .byte 0xf1; 7: nop", OUT("=&S"(here)), IN()) == 1 &&
		       fault.rip == here,
	       "INT1: #DB, %x after it", fault.rip - here);
	report(ATTEMPT("pushf; orl $0x100, (%%rsp); lea 7f(%%rip), %0; popf; sti; 7: nop; cli",
		       OUT("=&S"(here)), IN()) == 1 &&
		       fault.rip == here && (fault.dr6 & 0x4000),
	       "single step over STI: %x after it", fault.rip - here);
	SET_DR(6, 0);
	SET_DR(7, 0x2400); /* GD */
	report(ATTEMPT("mov %%dr0, %0", OUT("=r"(here)), IN()) == 1 && (fault.dr6 & 0x2000),
	       "DR7.GD catches MOV DR, DR6 %x", fault.dr6);
	SET_DR(7, 0x400);
	report(get_dr(7) == 0x400, "DR7 as before");
	SET_DR(6, 0xffff0ff0);
}

static void test_time(void)
{
	uint64_t last = rdtsc(), now;
	unsigned int backwards = 0;

	for (unsigned int i = 0; i < 10000; i++, last = now) {
		if (!(i & 63))
			cpuid(0, 0);
		now = rdtsc();
		backwards += now <= last;
	}
	report(!backwards, "RDTSC: always later");
	if (cpuid(7, 0).b & 2) {
		uint64_t before = rdtsc();

		report(wrmsr_try(0x3b, UINT64_C(1) << 40) == NO_FAULT &&
			       rdtsc() - before >= UINT64_C(1) << 40,
		       "TSC_ADJUST moves the TSC");
		wrmsr_try(0x3b, 0);
		report(rdtsc() - before < UINT64_C(1) << 40, "TSC_ADJUST moves it back");
		wrmsr_try(0x10, UINT64_C(1) << 41);
		before = rdtsc();
		report(before >= UINT64_C(1) << 41 && before < UINT64_C(3) << 40 && rdmsr(0x3b),
		       "a write to the TSC shows in TSC_ADJUST");
		wrmsr_try(0x3b, 0);
	}
}

static void test_ports(void)
{
	uint64_t sum = 0;
	uint8_t line[] = "string output, REP OUTSB\n";
	const uint8_t *from = line;
	uint64_t bytes = sizeof(line) - 1;

	for (uint32_t port = 0; port < 0x10000; port++)
		if (under_hypervisor || port == 0x80 || (port >= 0x200 && port < 0x2f0))
			sum += inb((uint16_t)port);
	report(sum != 0, "all ports read");
	for (uint32_t port = 0x80; port < 0x84; port++)
		sum += inl((uint16_t)port);
	if (under_hypervisor) {
		asm volatile("cld; rep outsb" : "+S"(from), "+c"(bytes) : "d"(0x3f8));
		report(!bytes && from == line + sizeof(line) - 1, "REP OUTSB ends where it should");
		from = line;
		uint8_t *to = saved[0];

		bytes = 5;
		asm volatile("cld; rep insb" : "+D"(to), "+c"(bytes) : "d"(0x80) : "memory");
		report(!bytes && to == saved[0] + 5 && saved[0][4] == 0xff, "REP INSB");
	}
}

void guest_main(void)
{
	test_cpuid();
	test_registers_kept();
	test_cr0();
	test_cr4();
	test_xsetbv();
	test_osxsave();
	test_syscall();
	test_instructions();
	test_user_mode();
	test_page_faults();
	test_msrs();
	test_debug();
	test_time();
	test_vectors();
	test_ports();
}
