// SPDX-License-Identifier: MIT
/*
 * Loading the update for this CPU. See microcode.h.
 */
#define LOG_TAG "microcode"

#include <lock.h>
#include <log.h>
#include <x86/asm.h>
#include <x86/microcode.h>
#include <x86/percpu.h>

#define MSR_PLATFORM_ID	   0x17u
#define MSR_BIOS_UPDT_TRIG 0x79u
#define MSR_BIOS_SIGN_ID   0x8bu

static uint32_t revision(void)
{
	wrmsr_safe(MSR_BIOS_SIGN_ID, 0);
	cpuid(1, 0); /* fills the MSR */
	return (uint32_t)(rdmsr(MSR_BIOS_SIGN_ID) >> 32);
}

void microcode_load(const void *file, uint64_t bytes)
{
	static struct lock one_at_a_time;
	unsigned int index = this_cpu()->index;
	const struct microcode_header *update;
	struct microcode_cpu cpu;
	uint64_t wrong;

	lock(&one_at_a_time);
	cpu = (struct microcode_cpu){
		cpuid(1, 0).eax, (uint32_t)field_get(rdmsr(MSR_PLATFORM_ID), 52, 50), revision()};
	update = microcode_find(file, bytes, &cpu, &wrong);
	if (wrong < bytes && !index)
		log_warn("the boot module is no microcode update from its byte %lu on", wrong);
	if (!update && !index)
		log_info("nothing newer for CPU signature %#x, revision %#x stays", cpu.signature,
			 cpu.revision);
	if (update) {
		wrmsr_safe(MSR_BIOS_UPDT_TRIG, (uint64_t)(update + 1));
		if (revision() == update->revision)
			log_info("CPU %u: revision %#x, was %#x", index, update->revision,
				 cpu.revision);
		else
			log_warn("CPU %u keeps revision %#x: it did not take %#x", index,
				 cpu.revision, update->revision);
	}
	unlock(&one_at_a_time);
}
