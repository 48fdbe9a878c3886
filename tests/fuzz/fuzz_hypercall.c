// SPDX-License-Identifier: MIT
// sources: $(FAKE_MACHINE)
// flags: $(FAKE_MACHINE_FLAGS)
/*
 * Every hypercall, in any order, with any arguments, on several CPUs, while guests run and exit.
 *
 * Decoding, dispatch, VMs, vCPUs, ownership, debts, EPT, local APICs and the handling of exits are
 * the hypervisor's own files; machine.c is the machine under them, and judges them. The input is a
 * program: steps of one byte and what they need. After each step: every frame has one owner who
 * knows it, tables map nothing else, no CPU may still translate to memory that is zeroed or handed
 * out, no lock or hold is left, and a call that answered an error has changed nothing.
 */
#include <stdlib.h>
#include <string.h>

#include <abi/hypercall.h>
#include <hypercall.h>
#include <tlb.h>

#include "machine_state.h"

enum { STEPS_MAX = 64, HANDLES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct program {
	const uint8_t *at, *end;
	uint64_t handle[HANDLES]; /* of VMs, the oldest forgotten: some are stale */
	unsigned int handles;
};

static uint64_t take(struct program *p, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes && p->at < p->end; i++)
		value |= (uint64_t)*p->at++ << (8 * i);
	return value;
}

static uint64_t argument(struct program *p)
{
	unsigned int kind = (unsigned int)take(p, 1);

	switch (kind & 7) {
	case 0:
		return kind >> 3;
	case 1:
		return p->handle[(kind >> 3) % HANDLES];
	case 2:
		return (kind >> 3) * FRAME_SIZE;
	case 3:
		return take(p, 2) * PAGE_SIZE;
	case 4:
		return take(p, 8);
	case 5:
		return ((kind >> 3) + 1) * PAGE_SIZE;
	case 6:
		return ((kind >> 3) + 1) * FRAME_SIZE;
	default:
		return take(p, 4);
	}
}

static bool may_change_on_error(uint64_t number, int64_t result)
{
	/* Funding goes on where it stopped when it is asked again: what came stays with the VM. */
	return number == HV_CALL_VM_FUND && (result == -HV_ERR_AGAIN || result == -HV_ERR_NOMEM);
}

/* What a call took away, every CPU that runs owes a flush for. */
static void check_epoch(uint64_t number, uint64_t epoch)
{
	uint64_t owing;

	if (number != HV_CALL_VM_DESTROY && number != HV_CALL_VM_UNMAP &&
	    number != HV_CALL_POOL_FREE && number != HV_CALL_VM_DIRTY)
		return;
	if (debt_owing(&tlb_debt, epoch, &owing, 1) != machine_cpus_running())
		machine_broken("hypercall %lu took memory away and not all CPUs owe for it",
			       number);
}

static void call(struct program *p, uint64_t number)
{
	uint64_t args[HYPERCALL_ARGS] = {0}, before, second = 0;
	unsigned int given = (unsigned int)take(p, 1) % (HYPERCALL_ARGS + 1);
	int64_t result;

	for (unsigned int i = 0; i < given; i++)
		args[i] = argument(p);
	if (machine_in_guest())
		return;
	before = machine_digest();
	result = hypercall_dispatch(machine_cpu(), number, args, &second);
	if (result >= 0 && (number == HV_CALL_VM_DIRTY || machine_digest() != before))
		check_epoch(number, (uint64_t)result);
	if (result < 0 && !may_change_on_error(number, result) && machine_digest() != before)
		machine_broken("hypercall %lu answered error %ld and changed something", number,
			       -result);
	if (number == HV_CALL_VM_CREATE && result > 0)
		p->handle[p->handles++ % HANDLES] = (uint64_t)result;
	if (number == HV_CALL_CPU_DEAD && !result)
		machine_cpu_is_dead((unsigned int)args[0]);
	machine_enter();
}

static void fill_call_page(struct program *p)
{
	uint8_t *page = machine_call_page();
	unsigned int at = (unsigned int)take(p, 2), bytes = (unsigned int)take(p, 1);

	for (unsigned int i = 0; i < bytes; i++)
		page[(at + i) % HV_PAGE_BYTES] = (uint8_t)take(p, 1);
}

static void ask_for_vm(struct program *p)
{
	struct hv_vm_create args = {.uuid = {(uint8_t)take(p, 1)}, .name = "fuzz"};

	args.vcpus = 1 + args.uuid[0] % HV_MAX_VCPUS;
	memset(machine_call_page(), 0, HV_PAGE_BYTES);
	memcpy(machine_call_page(), &args, sizeof(args));
	call(p, HV_CALL_VM_CREATE);
}

/* One of few names and UUIDs, so that they meet. */
static void name_vm(struct program *p)
{
	uint8_t what = (uint8_t)take(p, 1);
	struct hv_vm_name name = {.uuid = {what & 3}, .name = "a", .flags = what >> 4 & 1};

	name.name[0] = (char)(what & 0x80 ? what : 'a' + (what >> 2 & 3));
	memset(machine_call_page(), 0, HV_PAGE_BYTES);
	memcpy(machine_call_page(), &name, sizeof(name));
	call(p, HV_CALL_VM_NAME);
}

static void poke_vcpu_page(struct program *p)
{
	unsigned int which = (unsigned int)take(p, 1), at = (unsigned int)take(p, 2);
	unsigned int bytes = (unsigned int)take(p, 1) & 63;
	uint8_t *page = machine_vcpu_page(which);

	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t value = (uint8_t)take(p, 1);

		if (page)
			page[(at + i) % sizeof(struct hv_vcpu_page)] = value;
	}
}

/* The guest on this CPU exits, with whatever the processor may have to say about that. */
static void guest_exits(struct program *p)
{
	struct machine_exit exit = {.reason = (uint32_t)take(p, 1) & 127};
	unsigned int more = (unsigned int)take(p, 1);

	if (more & 1)
		exit.qualification = argument(p);
	if (more & 2)
		exit.address = argument(p);
	if (more & 4)
		exit.interruption = (uint32_t)take(p, 4);
	if (more & 8)
		exit.vectoring = (uint32_t)take(p, 4);
	exit.bytes = more >> 4;
	machine_guest_exits(&exit);
}

static void step(struct program *p)
{
	unsigned int what = (unsigned int)take(p, 1);

	if (what < 0x80) {
		call(p, what & 0x3f);
		return;
	}
	switch (what & 7) {
	case 0:
		if (what & 0x40)
			name_vm(p);
		else
			fill_call_page(p);
		return;
	case 1:
		ask_for_vm(p);
		return;
	case 2:
		poke_vcpu_page(p);
		return;
	case 3:
		machine_switch_cpu(what >> 3);
		return;
	case 4:
		machine_all_pay();
		return;
	case 5:
		machine_touch_hole(take(p, 1) * FRAME_SIZE + (what >> 3) % 4 * PAGE_SIZE);
		return;
	case 6:
		guest_exits(p);
		return;
	default:
		machine_cpu_comes_back(what >> 3);
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct program p = {.at = data, .end = data + bytes};

	machine_start((unsigned int)take(&p, 1));
	for (unsigned int i = 0; i < STEPS_MAX && p.at < p.end; i++) {
		step(&p);
		machine_check();
	}
	machine_end();
	return 0;
}
