// SPDX-License-Identifier: MIT
// sources: control-domain/driver/insn_decode.c control-domain/driver/insn_alu.c
// sources: control-domain/driver/insn_step.c
// flags: -Icontrol-domain/driver
/*
 * Hostile instruction bytes on hostile registers and segments. Beyond what the sanitizers see, it
 * must hold that requests are of a device's sizes and stay within a page, that an iteration takes a
 * bounded number of them, that a fault leaves the registers alone, and that memory which answers as
 * RAM and memory which answers as a device lead to the same end.
 */
#include <stdlib.h>

#include "insn.h"

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

enum { MEMORY = 4096, ITERATIONS = 64, REQUESTS_PER_ITERATION = 2 * 4 };

/* The input; what it is too short for is 0. */
struct input {
	uint8_t bytes[INSN_MAX_BYTES];
	uint8_t choices; /* mode, real mode, 57-bit addresses */
	uint8_t absent;	 /* pages whose number has these low bits are not mapped; 255: none */
	uint8_t unused[7];
	uint64_t rip, rflags;
	uint64_t gpr[16];
	struct {
		uint32_t base, limit, rights;
	} seg[INSN_SEGS];
	uint8_t memory[64];
};

/* All of guest-physical memory is one page, again and again. */
struct world {
	uint8_t memory[MEMORY];
	uint8_t absent;
	bool device; /* no RAM: all goes through requests */
};

static bool translate(void *context, uint64_t linear, unsigned int intent, uint64_t *gpa,
		      struct guest_fault *fault)
{
	struct world *w = context;

	MUST(intent >= INSN_READ && intent <= (INSN_READ | INSN_WRITE));
	*fault = (struct guest_fault){.vector = VECTOR_PF, .has_error = true, .cr2 = linear};
	*gpa = linear;
	return w->absent == 255 || (linear / MEMORY & 15) != (w->absent & 15);
}

static void copy(struct world *w, uint64_t gpa, void *data, unsigned int bytes, bool write)
{
	MUST(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
	MUST(gpa % MEMORY + bytes <= MEMORY);
	if (write)
		memcpy(w->memory + gpa % MEMORY, data, bytes);
	else
		memcpy(data, w->memory + gpa % MEMORY, bytes);
}

static bool ram_read(void *context, uint64_t gpa, void *data, unsigned int bytes)
{
	struct world *w = context;

	if (!w->device)
		copy(w, gpa, data, bytes, false);
	return !w->device;
}

static bool ram_write(void *context, uint64_t gpa, const void *data, unsigned int bytes)
{
	struct world *w = context;

	if (!w->device)
		copy(w, gpa, (void *)data, bytes, true);
	return !w->device;
}

static const struct insn_ops ops = {translate, ram_read, ram_write};

static enum insn_status run(const struct insn *insn, struct insn_cpu *cpu, struct world *w)
{
	struct insn_run run = {.insn = *insn};
	struct insn_cpu before = *cpu;
	unsigned int requests = 0, iterations = 0;

	for (;;) {
		enum insn_status status = insn_step(&run, cpu, &ops, w);
		struct insn_request *r = &run.request;

		switch (status) {
		case INSN_DONE:
			MUST(cpu->rip != before.rip);
			return status;
		case INSN_FAULT:
			MUST(!memcmp(cpu, &before, sizeof(before)));
			MUST(requests == 0);
			return status;
		case INSN_AGAIN:
			MUST(cpu->rip == before.rip);
			if (++iterations == ITERATIONS)
				return status;
			before = *cpu;
			requests = 0;
			continue;
		case INSN_MMIO_READ:
			r->data = ~0ull;
			copy(w, r->address, &r->data, r->bytes, false);
			break;
		case INSN_MMIO_WRITE:
			MUST((r->data & ~insn_mask(r->bytes)) == 0);
			copy(w, r->address, &r->data, r->bytes, true);
			break;
		case INSN_PIO_IN:
			r->data = r->address;
			break;
		case INSN_PIO_OUT:
			break;
		}
		MUST(!memcmp(cpu, &before, sizeof(before)));
		MUST(++requests <= REQUESTS_PER_ITERATION);
	}
}

static void set_cpu(struct insn_cpu *cpu, const struct input *in)
{
	static const uint8_t mode_bits[] = {64, 32, 16, 64};

	memset(cpu, 0, sizeof(*cpu));
	cpu->mode_bits = mode_bits[in->choices & 3];
	cpu->real = cpu->mode_bits == 16 && in->choices & 4;
	cpu->address_bits = in->choices & 8 ? 57 : 48;
	cpu->rip = in->rip;
	cpu->rflags = in->rflags;
	memcpy(cpu->gpr, in->gpr, sizeof(cpu->gpr));
	for (int i = 0; i < INSN_SEGS; i++) {
		cpu->seg[i].base = in->seg[i].base;
		cpu->seg[i].limit = in->seg[i].limit;
		cpu->seg[i].rights = in->seg[i].rights;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct world ram = {.device = false}, device = {.device = true};
	struct insn_cpu cpu, device_cpu;
	struct input in = {.absent = 0};
	enum insn_result result, shorter;
	struct insn insn, prefix;

	memcpy(&in, data, bytes < sizeof(in) ? bytes : sizeof(in));
	set_cpu(&cpu, &in);
	result = insn_decode(&insn, in.bytes, INSN_MAX_BYTES, cpu.mode_bits);
	MUST(result != INSN_MORE && insn.bytes <= INSN_MAX_BYTES);
	if (result != INSN_OK)
		return 0;
	for (unsigned int n = 0; n < insn.bytes; n++) {
		shorter = insn_decode(&prefix, in.bytes, n, cpu.mode_bits);
		MUST(shorter == INSN_MORE);
	}

	for (unsigned int i = 0; i < MEMORY; i++)
		ram.memory[i] = in.memory[i % sizeof(in.memory)];
	memcpy(device.memory, ram.memory, MEMORY);
	ram.absent = device.absent = in.absent;
	device_cpu = cpu;
	MUST(run(&insn, &cpu, &ram) == run(&insn, &device_cpu, &device));
	MUST(!memcmp(&cpu, &device_cpu, sizeof(cpu)));
	MUST(!memcmp(ram.memory, device.memory, MEMORY));
	return 0;
}
