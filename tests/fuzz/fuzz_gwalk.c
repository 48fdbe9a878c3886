// SPDX-License-Identifier: MIT
// sources: control-domain/driver/gwalk.c
// flags: -Icontrol-domain/driver
/*
 * Hostile page tables, on a vCPU with any control registers and any CPUID. It must hold that a walk
 * is bounded, that entries are aligned, that the result lies within 52 bits on the page asked for,
 * that a fault changes nothing, and that the same walk made again finds nothing more to mark.
 */
#include <stdlib.h>

#include "gwalk.h"

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

enum { MEMORY = 512, READS = 5 * 8 };

/* The input; what it is too short for is 0. */
struct input {
	uint64_t cr0, cr3, cr4, efer, linear;
	uint64_t pdpte[4];
	uint32_t pkru;
	uint8_t physical_bits, cpl, access, choices;
	uint8_t memory[MEMORY];
};

/* Guest-physical memory is MEMORY bytes, again and again up to where the choices end it. */
struct world {
	struct input in;
	unsigned int reads, updates;
};

static bool read_entry(void *context, uint64_t gpa, uint64_t *entry, unsigned int bytes)
{
	struct world *w = context;

	MUST((bytes == 4 || bytes == 8) && gpa % bytes == 0 && gpa >> 52 == 0);
	MUST(++w->reads <= READS);
	memcpy(entry, w->in.memory + gpa % MEMORY, bytes);
	return !(w->in.choices & 4) || gpa >> 32 == 0;
}

static enum gwalk_update update_entry(void *context, uint64_t gpa, uint64_t old_entry,
				      uint64_t new_entry, unsigned int bytes)
{
	struct world *w = context;
	uint64_t changed = old_entry ^ new_entry;

	MUST((bytes == 4 || bytes == 8) && gpa % bytes == 0 && gpa >> 52 == 0);
	MUST(changed && (changed & ~0x60ull) == 0 && (new_entry & changed) == changed);
	w->updates++;
	/* One table may serve two levels: then the second update meets the first one's bits. */
	if (memcmp(w->in.memory + gpa % MEMORY, &old_entry, bytes))
		return GWALK_DIFFERENT;
	memcpy(w->in.memory + gpa % MEMORY, &new_entry, bytes);
	return w->in.choices & 8 && gpa >> 20 & 1 ? GWALK_READ_ONLY : GWALK_UPDATED;
}

static uint32_t pkru(void *context)
{
	struct world *w = context;

	return w->in.pkru;
}

static const struct gwalk_ops ops = {read_entry, update_entry, pkru};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct world w = {.reads = 0};
	struct guest_fault fault = {0};
	enum gwalk_result result;
	uint64_t gpa, again;

	memcpy(&w.in, data, bytes < sizeof(w.in) ? bytes : sizeof(w.in));
	const struct gwalk_cpu cpu = {
		.cr0 = w.in.cr0,
		.cr3 = w.in.cr3,
		.cr4 = w.in.cr4,
		.efer = w.in.efer,
		.pdpte = {w.in.pdpte[0], w.in.pdpte[1], w.in.pdpte[2], w.in.pdpte[3]},
		.physical_bits = w.in.physical_bits,
		.cpl = w.in.cpl & 3,
		.ac = w.in.choices & 1,
		.gigabyte_pages = w.in.choices & 2,
	};

	result = gwalk(&cpu, &ops, &w, w.in.linear, w.in.access & 7, &gpa, &fault);
	switch (result) {
	case GWALK_OK:
		MUST(gpa >> 52 == 0 && (gpa ^ w.in.linear) % 4096 == 0);
		w.reads = w.updates = 0;
		result = gwalk(&cpu, &ops, &w, w.in.linear, w.in.access & 7, &again, &fault);
		MUST(result == GWALK_OK && again == gpa && w.updates == 0);
		break;
	case GWALK_FAULT:
		MUST(fault.vector == VECTOR_PF && fault.has_error && fault.error < 64);
		MUST(fault.cr2 == w.in.linear);
		break;
	default:
		break;
	}
	return 0;
}
