// SPDX-License-Identifier: MIT
/*
 * A small frame for bare-metal test guests: start in 64-bit mode, console, exceptions that a test
 * can expect, local APIC, page tables, power-off.
 *
 * The same program runs as a guest (PVH) and on the bare machine (Multiboot2). The latter shows
 * that its expectations are the architecture's and not the hypervisor's.
 *
 * A program defines guest_main(). One report() line a check; the last line is the summary.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UD		   6
#define NM		   7
#define DF		   8
#define TS_FAULT	   10
#define NP		   11
#define SS		   12
#define GP		   13
#define PF		   14
#define NO_FAULT	   256
#define VECTOR_NMI	   2
#define VECTOR_USER_RETURN 0x80
#define VECTOR_SPURIOUS	   0xff

#define MSR_APIC_BASE	   0x1bu
#define MSR_TSC_DEADLINE   0x6e0u
#define MSR_EFER	   0xc0000080u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_GS_BASE	   0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define APIC_ID		   0x20
#define APIC_VERSION	   0x30
#define APIC_TPR	   0x80
#define APIC_PPR	   0xa0
#define APIC_EOI	   0xb0
#define APIC_SPIV	   0xf0
#define APIC_ISR	   0x100
#define APIC_IRR	   0x200
#define APIC_ESR	   0x280
#define APIC_ICR	   0x300
#define APIC_ICR_HIGH	   0x310
#define APIC_TIMER	   0x320
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE  0x3e0
#define APIC_SELF_IPI	   0x3f0
#define TIMER_PERIODIC	   (1u << 17)
#define TIMER_DEADLINE	   (2u << 17)
#define TIMER_MASKED	   (1u << 16)

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* The last exception that a test expected. */
struct fault {
	uint64_t vector, error, address, rip, dr6;
};
extern volatile struct fault fault;
extern volatile uint64_t fault_resume;

/* Interrupts and NMIs taken, by vector; interrupts are EOIed unless no_eoi is set. */
extern volatile uint32_t irq_count[256];
extern volatile uint32_t irq_before_hlt; /* came between STI and HLT: a wake-up lost */
extern volatile bool no_eoi;

extern uint64_t pml4[512], pdpt[512], page_directory[2048], gdt[16];
extern const char *guest_cmdline;
extern bool under_hypervisor;
extern uint64_t ram_end; /* of the memory that starts at 1 MiB */

void guest_main(void);

/* Prints with %s %u %x (64 bit each; the last two take a uint64_t). */
void print(const char *format, ...);
void report_result(bool ok, const char *format, ...);
/* The condition first: what it does shows in the values to print. */
#define report(condition, ...)                                                                     \
	do {                                                                                       \
		bool report_ok = (condition);                                                      \
		report_result(report_ok, __VA_ARGS__);                                             \
	} while (0)
_Noreturn void finish(void);
_Noreturn void power_off(void);

/* Runs at CPL 3 until INT 80h or a fault, which is then in `fault`. Returns RAX. */
uint64_t in_user_mode(const void *code);

/* A page of its own at PROBE, with these page-table bits; flushes. */
#define PROBE UINT64_C(0x140000000)
void map_probe(uint64_t entry);
extern uint8_t probe_page[4096];

/* The local APIC, in whichever mode it is. */
void apic_enable(bool x2apic);
void apic_disable(void);
uint32_t apic_read(unsigned int reg);
void apic_write(unsigned int reg, uint32_t value);
void apic_send(uint32_t destination, uint32_t low);
bool wait_irq(unsigned int vector, uint32_t count);
extern bool apic_x2;

/* Starts the others; each calls ap_main() with a number from 1. Returns how many came up of
 * @expected. */
unsigned int start_others(unsigned int expected);
extern void (*ap_main)(unsigned int number);
extern volatile uint32_t aps_up;

/* xorshift: the same seed gives the same run. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

#define OUT(...) __VA_ARGS__
#define IN(...)	 __VA_ARGS__
/* Executes @code; the value is the vector of the fault that it raised, or NO_FAULT. */
#define ATTEMPT(code, out, in, ...)                                                                \
	({                                                                                         \
		fault.vector = NO_FAULT;                                                           \
		asm volatile("movq $9f, fault_resume(%%rip)\n\t" code                              \
			     "\n9: movq $0, fault_resume(%%rip)"                                   \
			     : out:in                                                              \
			     : "memory", "cc", ##__VA_ARGS__);                                     \
		(unsigned int)fault.vector;                                                        \
	})

static inline unsigned int rdmsr_try(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	unsigned int vector = ATTEMPT("rdmsr", OUT("+a"(low), "+d"(high)), IN("c"(msr)));

	*value = (uint64_t)high << 32 | low;
	return vector;
}

static inline unsigned int wrmsr_try(uint32_t msr, uint64_t value)
{
	return ATTEMPT("wrmsr", OUT(),
		       IN("c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))));
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint64_t value;

	rdmsr_try(msr, &value);
	return value;
}

#define CR_ACCESSORS(n)                                                                            \
	static inline uint64_t read_cr##n(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v));                                      \
		return v;                                                                          \
	}                                                                                          \
	static inline unsigned int write_cr##n(uint64_t v)                                         \
	{                                                                                          \
		return ATTEMPT("mov %0, %%cr" #n, OUT(), IN("r"(v)));                              \
	}
CR_ACCESSORS(0)
CR_ACCESSORS(3)
CR_ACCESSORS(4)
CR_ACCESSORS(8)
#undef CR_ACCESSORS

struct cpuid {
	uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t index)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(index));
	return r;
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void cpu_sti(void)
{
	asm volatile("sti; nop" : : : "memory");
}

static inline void cpu_cli(void)
{
	asm volatile("cli" : : : "memory");
}

static inline void flush_tlb(void)
{
	asm volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" : : : "rax", "memory");
}
