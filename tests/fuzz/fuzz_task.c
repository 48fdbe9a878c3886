// SPDX-License-Identifier: MIT
// sources: control-domain/driver/task.c
// flags: -Icontrol-domain/driver
/*
 * Task switches of a hostile guest: registers and memory are whatever they are. Accesses stay in
 * their pages and end; a fault that is the old task's has changed nothing; and what the new task is
 * entered with after a fault has one privilege level.
 */
#include <stdlib.h>
#include <string.h>

#include "task.h"

enum { RAM = 0x4000, FAULTS = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t ram[RAM];
static unsigned int accesses, writes, fault_at;

static bool translate(void *context, const struct task_state *state, uint64_t linear, bool write,
		      bool implicit, uint64_t *gpa, struct guest_fault *fault)
{
	(void)context;
	(void)state;
	(void)implicit;
	if (linear >> 32 || ++accesses > 1000)
		abort();
	*gpa = linear & (RAM - 1);
	if (!write || !fault_at || accesses % FAULTS != fault_at)
		return true;
	*fault = (struct guest_fault){.vector = VECTOR_PF, .has_error = true, .cr2 = linear};
	return false;
}

static bool within(uint64_t gpa, unsigned int bytes)
{
	if ((gpa & 4095) + bytes > 4096)
		abort();
	return gpa + bytes <= RAM;
}

static bool ram_read(void *context, uint64_t gpa, void *data, unsigned int bytes)
{
	(void)context;
	if (!within(gpa, bytes))
		return false;
	memcpy(data, ram + gpa, bytes);
	return true;
}

static bool ram_write(void *context, uint64_t gpa, const void *data, unsigned int bytes)
{
	(void)context;
	if (!within(gpa, bytes))
		return false;
	memcpy(ram + gpa, data, bytes);
	writes++;
	return true;
}

static const struct task_ops ops = {translate, ram_read, ram_write};

static void take(const uint8_t **at, const uint8_t *end, void *to, size_t bytes)
{
	size_t now = bytes < (size_t)(end - *at) ? bytes : (size_t)(end - *at);

	memset(to, 0, bytes);
	memcpy(to, *at, now);
	*at += now;
}

/* Bases within a few pages, so that structures meet. */
static void bring_near(struct task_state *state)
{
	state->sregs.gdt.base &= 0xffffffff;
	state->sregs.tr.base &= 0xffffffff;
	state->sregs.ldt.base &= 0xffffffff;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const uint8_t *end = data + bytes;
	struct guest_fault fault = {0};
	struct task_state state, was;
	struct task_switch how = {0};
	uint8_t how_bytes[8];

	take(&data, end, how_bytes, sizeof(how_bytes));
	how.selector = (uint16_t)(how_bytes[0] | (how_bytes[1] & 1) << 8);
	how.source = how_bytes[2] & 3;
	how.external = how_bytes[2] & 4;
	how.has_error = how_bytes[2] & 8;
	fault_at = how_bytes[3] % FAULTS;
	memset(&state, 0, sizeof(state));
	take(&data, end, &state.sregs.gdt, sizeof(state.sregs.gdt));
	take(&data, end, &state.sregs.tr, sizeof(state.sregs.tr));
	take(&data, end, &state.sregs.ldt, sizeof(state.sregs.ldt));
	take(&data, end, &state.sregs.cr0, sizeof(state.sregs.cr0));
	take(&data, end, &state.sregs.cr4, sizeof(state.sregs.cr4));
	state.sregs.cs.access = 0xc09b;
	state.sregs.ss.access = 0xc093;
	bring_near(&state);
	take(&data, end, ram, sizeof(ram));
	accesses = writes = 0;
	was = state;
	if (task_switch(&state, &how, &ops, NULL, &fault) == TASK_FAULT &&
	    state.sregs.tr.selector == was.sregs.tr.selector &&
	    !memcmp(&state.sregs.tr, &was.sregs.tr, sizeof(was.sregs.tr)) && !writes &&
	    memcmp(&state, &was, sizeof(was)) != 0)
		abort();
	if (!(state.rflags & 0x20000) &&
	    (state.sregs.cs.access >> 5 & 3) != (state.sregs.ss.access >> 5 & 3) &&
	    (state.sregs.cs.access & 0x1c) == 0x18)
		abort();
	return 0;
}
