// SPDX-License-Identifier: MIT
/*
 * The instructions that C does not have.
 *
 * The _safe variants survive the #GP or #UD of an MSR or register this CPU lacks: the
 * faulting address is in the exception table, and the handler (arch/x86/exceptions.c) continues
 * after it.
 */
#pragma once

#include <types.h>

/* One exception-table entry: a fault at label @from continues at label @to. */
#define EX_TABLE(from, to)                                                                         \
	".pushsection .ex_table, \"a\"\n.balign 4\n.long (" from ") - .\n.long (" to               \
	") - .\n.popsection\n"

#define MSR_APIC_BASE	   0x1bU
#define MSR_PAT		   0x277U
#define MSR_X2APIC_ICR	   0x830U
#define MSR_EFER	   0xc0000080U
#define MSR_FS_BASE	   0xc0000100U
#define MSR_GS_BASE	   0xc0000101U
#define MSR_KERNEL_GS_BASE 0xc0000102U

#define EFER_SCE BIT64(0)
#define EFER_LME BIT64(8)
#define EFER_LMA BIT64(10)
#define EFER_NXE BIT64(11)

#define CR0_PE BIT64(0)
#define CR0_MP BIT64(1)
#define CR0_EM BIT64(2)
#define CR0_TS BIT64(3)
#define CR0_ET BIT64(4)
#define CR0_NE BIT64(5)
#define CR0_WP BIT64(16)
#define CR0_AM BIT64(18)
#define CR0_NW BIT64(29)
#define CR0_CD BIT64(30)
#define CR0_PG BIT64(31)

#define CR4_PAE	     BIT64(5)
#define CR4_MCE	     BIT64(6)
#define CR4_PGE	     BIT64(7)
#define CR4_UMIP     BIT64(11)
#define CR4_VMXE     BIT64(13)
#define CR4_FSGSBASE BIT64(16)
#define CR4_OSXSAVE  BIT64(18)
#define CR4_SMEP     BIT64(20)

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

/** Read @msr into *@v; false (and *@v = 0) if the CPU faults. */
static inline bool rdmsr_safe(uint32_t msr, uint64_t *v)
{
	uint32_t lo = 0, hi = 0, ok = 0;

	__asm__ volatile("1: rdmsr\nmovl $1, %2\n2:\n" EX_TABLE("1b", "2b")
			 : "+a"(lo), "+d"(hi), "+r"(ok)
			 : "c"(msr)
			 : "memory");
	*v = ok ? (uint64_t)hi << 32 | lo : 0;
	return ok;
}

/** Write @v to @msr; false if the CPU faults. */
static inline bool wrmsr_safe(uint32_t msr, uint64_t v)
{
	uint32_t ok = 0;

	__asm__ volatile("1: wrmsr\nmovl $1, %0\n2:\n" EX_TABLE("1b", "2b")
			 : "+r"(ok)
			 : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "memory");
	return ok;
}

static inline uint64_t xgetbv(uint32_t reg)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(reg));
	return (uint64_t)hi << 32 | lo;
}

/** Write @v to XCR @reg; false if the CPU faults. */
static inline bool xsetbv_safe(uint32_t reg, uint64_t v)
{
	uint32_t ok = 0;

	__asm__ volatile("1: xsetbv\nmovl $1, %0\n2:\n" EX_TABLE("1b", "2b")
			 : "+r"(ok)
			 : "c"(reg), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "memory");
	return ok;
}

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

/** True if CPUID has the basic or extended @leaf. */
static inline bool cpuid_has_leaf(uint32_t leaf)
{
	return cpuid(leaf & 0x80000000U, 0).eax >= leaf;
}

#define ASM_CR(n)                                                                                  \
	static inline uint64_t read_cr##n(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory");                        \
		return v;                                                                          \
	}                                                                                          \
	static inline void write_cr##n(uint64_t v)                                                 \
	{                                                                                          \
		__asm__ volatile("mov %0, %%cr" #n ::"r"(v) : "memory");                           \
	}
ASM_CR(0)
ASM_CR(2)
ASM_CR(3)
ASM_CR(4)
#undef ASM_CR

#define ASM_DR(n)                                                                                  \
	static inline uint64_t read_dr##n(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(v));                                  \
		return v;                                                                          \
	}                                                                                          \
	static inline void write_dr##n(uint64_t v)                                                 \
	{                                                                                          \
		__asm__ volatile("mov %0, %%dr" #n ::"r"(v));                                      \
	}
ASM_DR(0)
ASM_DR(1)
ASM_DR(2)
ASM_DR(3)
ASM_DR(6)
#undef ASM_DR

#define ASM_PORT(name, type)                                                                       \
	static inline void out##name(uint16_t port, type v)                                        \
	{                                                                                          \
		__asm__ volatile("out" #name " %0, %1" ::"a"(v), "Nd"(port) : "memory");           \
	}                                                                                          \
	static inline type in##name(uint16_t port)                                                 \
	{                                                                                          \
		type v;                                                                            \
		__asm__ volatile("in" #name " %1, %0" : "=a"(v) : "Nd"(port) : "memory");          \
		return v;                                                                          \
	}
ASM_PORT(b, uint8_t)
ASM_PORT(w, uint16_t)
ASM_PORT(l, uint32_t)
#undef ASM_PORT

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static inline void invlpg(const volatile void *va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" ::: "memory");
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/** Stop this CPU for good. NMIs and machine checks may still be handled. */
static inline void __noreturn cpu_halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}
