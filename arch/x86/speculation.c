// SPDX-License-Identifier: MIT
/*
 * The measures of speculation.h.
 */
#include <x86/asm.h>
#include <x86/speculation.h>

#define MSR_PRED_CMD	   0x49u
#define MSR_FLUSH_CMD	   0x10bu
#define MSR_ARCH_CAP	   0x10au
#define EDX_MD_CLEAR	   BIT64(10)
#define EDX_SPEC_CTRL	   BIT64(26)
#define EDX_L1D_FLUSH	   BIT64(28)
#define EDX_ARCH_CAP	   BIT64(29)
#define ARCH_RDCL_NO	   BIT64(0)
#define ARCH_IBRS_ALL	   BIT64(1)
#define ARCH_SKIP_L1D	   BIT64(3)
#define ARCH_MDS_NO	   BIT64(5)
#define ARCH_PSCHANGE_NO   BIT64(6)
#define ARCH_TAA_NO	   BIT64(8)
#define ARCH_FBSDP_NO	   BIT64(14)
#define ARCH_NO_STALE_DATA (ARCH_MDS_NO | ARCH_TAA_NO | ARCH_FBSDP_NO)
#define RSB_ENTRIES	   32

struct speculation speculation;

void speculation_init(void)
{
	uint32_t edx = cpuid_has_leaf(7) ? cpuid(7, 0).edx : 0;
	uint64_t arch = 0;

	if (edx & EDX_ARCH_CAP)
		rdmsr_safe(MSR_ARCH_CAP, &arch);
	speculation.spec_ctrl |= !!(edx & EDX_SPEC_CTRL);
	speculation.clear_buffers |=
		(edx & EDX_MD_CLEAR) && (arch & ARCH_NO_STALE_DATA) != ARCH_NO_STALE_DATA;
	speculation.flush_l1d |= (edx & EDX_L1D_FLUSH) && !(arch & (ARCH_RDCL_NO | ARCH_SKIP_L1D));
	speculation.fill_rsb |= (edx & EDX_SPEC_CTRL) && !(arch & ARCH_IBRS_ALL);
	speculation.small_code |= !(arch & ARCH_PSCHANGE_NO);
}

void speculation_flush_l1d(void)
{
	wrmsr(MSR_FLUSH_CMD, 1);
}

void speculation_fill_rsb(void)
{
	uint64_t n = RSB_ENTRIES;

	/* Calls whose returns are never taken; what speculates there is caught by LFENCE. */
	__asm__ volatile("1: call 2f\n"
			 "3: pause\nlfence\njmp 3b\n"
			 "2: add $8, %%rsp\n"
			 "dec %0\n"
			 "jnz 1b\n"
			 "lfence\n"
			 : "+r"(n)
			 :
			 : "cc", "memory");
}

void speculation_barrier(void)
{
	if (speculation.spec_ctrl)
		wrmsr(MSR_PRED_CMD, 1);
}

void speculation_forget(void)
{
	wrmsr(MSR_PRED_CMD, 1);
	speculation_fill_rsb();
}
