// SPDX-License-Identifier: MIT
/*
 * The processor's older modes: 32-bit without paging, PAE paging, 16-bit real mode, and the way
 * back. The code is in modes_asm.h, for no C compiler writes it in one file with 64-bit code; it
 * leaves what it saw in modes_seen.
 *
 * Source of the expectations: SDM 3A "Paging", "Processor Management and Initialization",
 * "8086 Emulation".
 */
#include "guest.h"
#include "modes_asm.h"

#define REAL_PAGE 0x9000 /* modes_asm.h knows it */

extern char real_code[], real_code_end[];
extern void run_modes(void);
extern volatile uint32_t modes_seen[16];

void guest_main(void)
{
	volatile char *to = (volatile char *)(uint64_t)REAL_PAGE;

	for (ptrdiff_t i = 0; i < real_code_end - real_code; i++)
		to[i] = real_code[i];
	*(volatile uint16_t *)(uint64_t)(REAL_PAGE + 0xe40) = sizeof(gdt) - 1;
	*(volatile uint32_t *)(uint64_t)(REAL_PAGE + 0xe42) = (uint32_t)(uint64_t)gdt;
	for (unsigned int i = 0; i < 10; i++) {
		for (unsigned int n = 0; n < 16; n++)
			modes_seen[n] = 0;
		run_modes();
	}
	report(!(modes_seen[0] & 0x500), "32-bit, no paging: neither LME nor LMA, EFER %x",
	       (uint64_t)modes_seen[0]);
	report(modes_seen[1] == cpuid(0, 0).b, "32-bit, no paging: CPUID");
	report(modes_seen[2] == 0x11223344, "PAE: memory through identical addresses, %x",
	       (uint64_t)modes_seen[2]);
	report(modes_seen[3] == 0x11223344, "PAE: MOV to CR3 loads a changed PDPTE, %x",
	       (uint64_t)modes_seen[3]);
	report(modes_seen[13] == GP, "PAE: MOV to CR0, PDPTE above MAXPHYADDR, vector %u",
	       (uint64_t)modes_seen[13]);
	report(modes_seen[4] == GP, "PAE: reserved bit in a PDPTE, vector %u",
	       (uint64_t)modes_seen[4]);
	report(modes_seen[5] == PF && modes_seen[6] == 0x40001000,
	       "PAE: PDPTE not present, vector %u address %x", (uint64_t)modes_seen[5],
	       (uint64_t)modes_seen[6]);
	report(modes_seen[7] == 0x1234, "real mode: INT through the vector table, %x",
	       (uint64_t)modes_seen[7]);
	report(modes_seen[8] == cpuid(0, 0).b, "real mode: CPUID");
	report(modes_seen[9] == 1, "real mode: #DE through the vector table, %u",
	       (uint64_t)modes_seen[9]);
	report(!(modes_seen[10] & 1), "real mode: CR0.PE is clear, %x", (uint64_t)modes_seen[10]);
	report(modes_seen[11] == 0x99, "real mode: segment times 16, %x", (uint64_t)modes_seen[11]);
	report(modes_seen[12] == 0xcafe, "real mode: 32-bit registers keep their upper halves, %x",
	       (uint64_t)modes_seen[12]);
	report(rdmsr(MSR_EFER) & 0x400, "64-bit again");
}
