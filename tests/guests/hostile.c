// SPDX-License-Identifier: MIT
/*
 * A guest that tries to do harm, the same way each time: "seed=N" on the command line. It may break
 * itself; nothing outside may notice. It passes if it reaches its summary; modes that end the guest
 * ("mode=triple", "mode=spin", "mode=tables") are told by how it ends.
 */
#include "guest.h"

#define ROUNDS	      4000
#define FLOOD	      3000
#define OTHER_MSRS    4096
#define APIC_LVT_LAST 0x370
#define NO_SUCH_CALL  UINT64_C(0xfffffffffffffc18) /* as KVM's guests know it: -1000 */

static uint64_t seed = 1;
static const uint64_t no_table[2];

static const uint64_t edges[] = {
	0,
	1,
	2,
	0xff,
	0x100,
	0xfff,
	0x7fffffff,
	0x80000000,
	0xffffffff,
	UINT64_C(1) << 32,
	UINT64_C(0x7fffffffffff),
	UINT64_C(0x800000000000),
	UINT64_C(0xffff800000000000),
	UINT64_C(1) << 62,
	UINT64_C(1) << 63,
	UINT64_MAX,
};

static uint64_t random_value(void)
{
	uint64_t r = next_random(&seed);

	switch (r >> 62) {
	case 0:
		return next_random(&seed);
	case 1:
		return UINT64_C(1) << (r & 63);
	default:
		return edges[r % (sizeof(edges) / sizeof(edges[0]))];
	}
}

static const char *option(const char *name)
{
	for (const char *s = guest_cmdline; *s; s++) {
		const char *a = s, *b = name;

		while (*b && *a == *b)
			a++, b++;
		if (!*b)
			return a;
	}
	return "";
}

static bool mode_is(const char *mode)
{
	const char *given = option("mode=");

	while (*mode && *given == *mode)
		given++, mode++;
	return !*mode;
}

/* What this program itself stands on is put back. */
static void write_msrs(void)
{
	static const uint32_t known[] = {
		0x10,	    0x1b,	0x3a,	    0x3b,	0x48,	    0x49,	0x79,
		0x8b,	    0xfe,	0x10a,	    0x122,	0x174,	    0x175,	0x176,
		0x179,	    0x17a,	0x1a0,	    0x1d9,	0x200,	    0x201,	0x20f,
		0x250,	    0x26f,	0x277,	    0x2ff,	0x345,	    0x38f,	0x480,
		0x48b,	    0x6e0,	0x7a0,	    0xda0,	0x1c4,	    0xe1,	0x570,
		0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
		0xc0000103, 0x9b,	0x9e,	    0x35,	0xc0010015,
	};
	uint64_t efer = rdmsr(MSR_EFER), base = rdmsr(MSR_APIC_BASE), value;
	unsigned int strange = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t r = next_random(&seed);
		uint32_t msr = r & 1   ? known[(r >> 8) % (sizeof(known) / sizeof(known[0]))]
			       : r & 2 ? (uint32_t)(r >> 8) & 0x1fff
			       : r & 4 ? 0xc0000000 + ((uint32_t)(r >> 8) & 0x1fff)
				       : (uint32_t)(r >> 8);

		wrmsr_try(msr, random_value());
		strange += fault.vector != GP && fault.vector != NO_FAULT;
		rdmsr_try(msr, &value);
		strange += fault.vector != GP && fault.vector != NO_FAULT;
		wrmsr_try(MSR_EFER, efer);
	}
	wrmsr_try(0x6e0, 0);
	wrmsr_try(MSR_APIC_BASE, base & ~UINT64_C(0xc00)); /* where it was, by way of disabled */
	apic_enable(base & 0x400);
	report(!strange, "%u MSR writes: #GP or nothing", (uint64_t)ROUNDS);
}

static void write_control_registers(void)
{
	uint64_t cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
	unsigned int taken = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		/* Paging stays, write protection too; CR4 keeps PAE, and SMEP and SMAP off: user
		 * pages hold this code. */
		taken += write_cr0((random_value() | 0x80010001) & ~UINT64_C(0xc)) == NO_FAULT;
		write_cr0(cr0);
		taken += write_cr4((random_value() | 0x20) & ~UINT64_C(0x301000)) == NO_FAULT;
		write_cr4(cr4);
		taken += write_cr8(random_value()) == NO_FAULT;
		taken += write_cr3(cr3 | (random_value() & UINT64_C(0xfff0000000000fff))) ==
			 NO_FAULT;
		write_cr3(cr3);
		ATTEMPT("xsetbv", OUT(),
			IN("c"(next_random(&seed) & 1), "a"((uint32_t)random_value()),
			   "d"((uint32_t)random_value())));
	}
	write_cr8(0);
	report(taken && read_cr0() == cr0 && read_cr4() == cr4,
	       "control registers: %u writes taken", (uint64_t)taken);
}

static void write_apic(bool x2)
{
	unsigned int strange = 0;

	apic_enable(x2);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int reg = (unsigned int)next_random(&seed) & 0x3f0;
		uint64_t value = random_value();

		/* Vectors that this program takes for exceptions are left out, so are INIT and NMI
		 * to itself. */
		if (reg == APIC_SPIV || reg == APIC_SELF_IPI ||
		    (reg >= APIC_ICR && reg <= APIC_LVT_LAST))
			value = (value & ~UINT64_C(0x700)) | 0x40;
		if (x2) {
			wrmsr_try(0x800 + reg / 16, value);
			strange += fault.vector != GP && fault.vector != NO_FAULT;
			rdmsr_try(0x800 + reg / 16, &value);
		} else {
			apic_write(reg, (uint32_t)value);
			value = apic_read(reg);
		}
		if (!(i & 63)) {
			/* A period shorter than its handler would be the last thing that happens.
			 */
			apic_write(APIC_TIMER_INITIAL, 0);
			apic_write(APIC_TPR, 0);
			apic_write(APIC_EOI, 0);
			cpu_sti();
			cpu_cli();
		}
	}
	wrmsr_try(0x6e0, 0);
	for (unsigned int reg = APIC_TIMER; reg <= APIC_TIMER + 0x50; reg += 0x10)
		apic_write(reg, TIMER_MASKED);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_TPR, 0);
	report(!strange, "%s: %u register writes", x2 ? "x2APIC" : "xAPIC", (uint64_t)ROUNDS);
}

static void privileged_instructions(void)
{
	static uint64_t memory[1024] __attribute__((aligned(64))); /* XSAVES fits too */

	for (unsigned int i = 0; i < ROUNDS / 10; i++) {
		uint64_t c = random_value(), d = random_value();

		memory[0] = random_value(), memory[1] = random_value();
#define X(text) ATTEMPT(text, OUT(), IN("S"(memory), "c"(c), "d"(d)), "rax", "rbx")
		X("vmxon (%%rsi)");
		X("vmclear (%%rsi)");
		X("vmptrld (%%rsi)");
		X("vmread %%rcx, %%rdx");
		X("vmwrite %%rcx, %%rdx");
		X("vmptrst (%%rsi)");
		X("vmxoff");
		X("vmlaunch");
		X("vmresume");
		X("invept (%%rsi), %%rcx");
		X("invvpid (%%rsi), %%rcx");
		X("invpcid (%%rsi), %%rcx");
		X("xor %%eax, %%eax; vmfunc");
		X("mov %%ecx, %%eax; vmcall");
		X("mov %%ecx, %%eax; cpuid");
		X("rdpmc");
		X("getsec");
		X("encls");
		X("invd");
		X("wbinvd");
		X("monitor");
		X("mwait");
		X("xsaves (%%rsi)");
		X("rsm");
		X("rdpkru");
		X("invlpg (%%rsi)");
#undef X
	}
	report(true, "VMX and privileged instructions");
}

/* Numbers of the control domain's calls among them: a guest has none of these. */
static void hypercalls(void)
{
	unsigned int answered = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t number = i < 256 ? i : random_value(), answer = number;

		asm volatile("vmcall"
			     : "+a"(answer)
			     : "b"(random_value()), "c"(random_value()), "d"(random_value()),
			       "S"(random_value()), "D"(random_value())
			     : "memory");
		answered += answer != NO_SUCH_CALL;
	}
	report(!answered, "%u hypercalls, %u answered", (uint64_t)ROUNDS, (uint64_t)answered);
}

/* What is read differs, but not what the hypervisor must hide; the same twice. */
static void every_cpuid_leaf(void)
{
	unsigned int changed = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint32_t leaf = i < 0x400 ? i >> 4
				: i & 1	  ? 0x40000000 + (i & 0x1ff)
				: i & 2	  ? 0x80000000 + (i & 0x1ff)
					  : (uint32_t)random_value();
		struct cpuid a = cpuid(leaf, i & 15), b = cpuid(leaf, i & 15);

		changed += a.a != b.a || a.c != b.c || a.d != b.d;
	}
	report(!changed && !(cpuid(1, 0).c & 1 << 5), "%u CPUID leaves", (uint64_t)ROUNDS);
}

/* Both ranges of the MSR bitmap: what can be read is written, changed and unchanged. */
static void every_msr(void)
{
	uint64_t value;
	unsigned int readable = 0, strange = 0;

	for (uint32_t i = 0; i < 0x4000; i++) {
		uint32_t msr = i < 0x2000 ? i : 0xc0000000 + (i & 0x1fff);

		strange += rdmsr_try(msr, &value) != GP && fault.vector != NO_FAULT;
		if (fault.vector != NO_FAULT || msr == MSR_EFER || msr == MSR_APIC_BASE ||
		    (msr >> 8) == 8)
			continue;
		readable++;
		wrmsr_try(msr, random_value());
		strange += fault.vector != GP && fault.vector != NO_FAULT;
		wrmsr_try(msr, value);
	}
	report(readable && !strange, "both MSR ranges, %u readable", (uint64_t)readable);
}

/* Numbers that the bitmap does not cover: these exit whatever it says. */
static void other_msrs(void)
{
	unsigned int tried = 0, taken = 0;
	uint64_t value;

	while (tried < OTHER_MSRS) {
		uint32_t msr = (uint32_t)next_random(&seed);

		if ((msr & 0x3fffffff) < 0x2000)
			continue;
		tried++;
		taken += rdmsr_try(msr, &value) != GP || wrmsr_try(msr, random_value()) != GP;
	}
	report(!taken, "%u other MSRs, %u exist", (uint64_t)tried, (uint64_t)taken);
}

static void flood(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < FLOOD; i++) {
		outb((uint16_t)next_random(&seed) | 0x1000, (uint8_t)i);
		asm volatile("outl %0, %1" : : "a"((uint32_t)i), "Nd"((uint16_t)0xcf8));
		/* Where device windows, the IOAPIC and nothing at all are. */
		volatile uint32_t *at =
			(volatile uint32_t *)(0xc0000000 + (next_random(&seed) & 0x3efffffc));
		sum += *at;
		*at = (uint32_t)random_value();
	}
	report(true, "%u port and device writes, %x", (uint64_t)FLOOD, sum & 1);
}

static void corrupt_tables(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} none = {0, UINT64_C(0x5ead00000000)};

	asm volatile("lgdt %0; lidt %0" : : "m"(none));
	for (unsigned int i = 0; i < 2048; i++)
		page_directory[i] = next_random(&seed);
	pml4[0] = random_value();
	flush_tlb();
	asm volatile("int $3");
}

void guest_main(void)
{
	for (const char *s = option("seed="); *s >= '0' && *s <= '9'; s++)
		seed = seed * 10 + (uint64_t)(*s - '0');
	print("hostile, state %x\n", seed);
	if (mode_is("spin")) {
		print("spinning\n");
		for (;;)
			asm volatile("cli; pause");
	}
	if (mode_is("tables"))
		corrupt_tables();
	if (mode_is("triple"))
		asm volatile("lidt %0; ud2" : : "m"(no_table));
	for (unsigned int i = 0; i < 2; i++) {
		write_control_registers();
		privileged_instructions();
		write_apic(false);
		if (cpuid(1, 0).c >> 21 & 1)
			write_apic(true);
		write_msrs();
		every_cpuid_leaf();
		every_msr();
		other_msrs();
		if (under_hypervisor) {
			hypercalls();
			flood();
		}
	}
}
