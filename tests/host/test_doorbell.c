// SPDX-License-Identifier: MIT
// sources: $(FAKE_MACHINE)
// flags: $(FAKE_MACHINE_FLAGS) -Itests/fuzz -pthread
/*
 * Doorbells: which writes ring, that the guest goes on, that the driver hears of each ring in time
 * and of none that was not one. The hypervisor's own files on the machine that the hypercalls are
 * fuzzed on; the last test is the shared counters alone, with two threads at once.
 */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include <abi/hypercall.h>
#include <doorbell.h>
#include <hypercall.h>
#include <platform.h>
#include <vm.h>

#include "machine_state.h"

#define PORT	    0x700u
#define MEMORY	    0xd0000ffcu
#define RIP	    0xfff0u
#define CR3	    0x5000u
#define CS_ACCESS   0xa09bu
#define OUT(size)   (PORT << 16 | ((size)-1))
#define IN	    8u
#define STRING	    16u
#define STORE_WRITE (2u | 0x180u) /* EPT violation by a write of the access itself */
#define RSP	    4
#define RSI	    6
#define RBP	    5

static struct vm *vm;
static struct vcpu *vcpu;
static struct hv_vcpu_page *page;

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t args[HYPERCALL_ARGS] = {a, b, c}, second = 0;
	int64_t result = hypercall_dispatch(machine_cpu(), number, args, &second);

	machine_enter();
	return result;
}

static void bind(unsigned int slot, uint8_t flags, uint64_t address, uint8_t bytes, uint32_t value)
{
	page->doorbell[slot] = (struct hv_doorbell){
		.address = address, .value = value, .bytes = bytes, .flags = flags};
	if (page->doorbells <= slot)
		page->doorbells = slot + 1;
	if (flags & HV_BELL_PORT && page->bell_port_first > address)
		page->bell_port_first = (uint16_t)address;
	if (flags & HV_BELL_PORT && page->bell_port_last < address)
		page->bell_port_last = (uint16_t)address;
}

/* A guest in 64-bit code whose driver has bound three doorbells and knows a store. */
static void start(unsigned int features)
{
	struct hv_vm_create args = {.vcpus = 2};
	int64_t handle;

	if (vm)
		machine_end();
	machine_start(features);
	memcpy(machine_call_page(), &args, sizeof(args));
	handle = call(HV_CALL_VM_CREATE, 0, 0, 0);
	CHECK(handle > 0);
	CHECK(call(HV_CALL_VCPU_CREATE, (uint64_t)handle, 0, 0) > 0);
	vm = vm_hold((uint64_t)handle);
	vm_release(vm);
	vcpu = vm->vcpu[0];
	page = vcpu->page;
	page->bell_port_first = UINT16_MAX;
	bind(0, HV_BELL_PORT | HV_BELL_ANY_VALUE, PORT, 1, 0);
	bind(1, HV_BELL_PORT, PORT, 2, 0x1234);
	bind(2, HV_BELL_MEMORY | HV_BELL_ANY_VALUE, MEMORY, 0, 0);
	page->store = (struct hv_store){.rip = RIP,
					.cr3 = CR3,
					.offset = 8,
					.cs_access = CS_ACCESS,
					.length = 2,
					.bytes = 4,
					.base = RSI};
	CHECK_EQ(call(HV_CALL_VCPU_RUN, vm->handle, 0, 0), 0);
	machine_set_field(VMCS_GUEST_CR3.encoding, CR3);
	machine_set_field(VMCS_GUEST_CS_ACCESS.encoding, CS_ACCESS);
	page->gprs.rsi = MEMORY - 8;
	page->gprs.rax = 0xffff1234;
}

static void exits(uint32_t reason, uint64_t qualification, uint64_t address)
{
	const struct machine_exit exit = {
		.reason = reason, .qualification = qualification, .address = address, .bytes = 2};

	machine_guest_exits(&exit);
}

static bool rang(unsigned int slot)
{
	bool result = machine_in_guest() && page->rung == 1u << slot && page->rings[slot] == 1 &&
		      machine_field(VMCS_GUEST_RIP.encoding) == RIP + 2;

	return result;
}

static bool left_for_driver(enum hv_vcpu_exit exit)
{
	return !machine_in_guest() && page->exit == exit && !page->rung;
}

TEST(ports_that_ring)
{
	for (unsigned int features = 0; features < 16; features++) {
		start(features);
		exits(VMX_EXIT_IO, OUT(1), 0);
		CHECK(rang(0));
		CHECK_EQ(vcpu->stats.exits[VMX_EXIT_IO], 1);
		start(features);
		exits(VMX_EXIT_IO, OUT(2), 0); /* the value of that size: AX */
		CHECK(rang(1));
	}
}

TEST(ports_that_do_not)
{
	static const uint64_t rows[] = {OUT(4), OUT(1) | IN, OUT(1) + (1 << 16)};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		start(0);
		exits(VMX_EXIT_IO, rows[i], 0);
		CHECK(left_for_driver(HV_VCPU_EXIT_PIO));
		CHECK_EQ(page->io.flags, rows[i] & IN ? HV_IO_IN : HV_IO_NO_BELL);
	}
	start(0); /* its slot is filled, but not its port told */
	page->bell_port_first = PORT + 1;
	exits(VMX_EXIT_IO, OUT(1), 0);
	CHECK(left_for_driver(HV_VCPU_EXIT_PIO));
	start(0);
	exits(VMX_EXIT_IO, OUT(1) | STRING, 0);
	CHECK(left_for_driver(HV_VCPU_EXIT_INSN));
	start(0);
	page->gprs.rax = 0x1235;
	exits(VMX_EXIT_IO, OUT(2), 0);
	CHECK(left_for_driver(HV_VCPU_EXIT_PIO));
	start(0); /* another space's */
	bind(0, HV_BELL_MEMORY | HV_BELL_ANY_VALUE, PORT, 1, 0);
	exits(VMX_EXIT_IO, OUT(1), 0);
	CHECK(left_for_driver(HV_VCPU_EXIT_PIO));
	start(0); /* without a timer nothing could end the stay in time */
	guest_has.timer = false;
	exits(VMX_EXIT_IO, OUT(1), 0);
	CHECK(left_for_driver(HV_VCPU_EXIT_PIO));
	CHECK_EQ(page->io.flags, 0); /* the driver must look itself */
}

TEST(a_known_store_rings)
{
	for (unsigned int features = 0; features < 16; features++) {
		start(features);
		exits(VMX_EXIT_EPT_VIOLATION, STORE_WRITE, MEMORY);
		CHECK(rang(2));
	}
	start(0);
	page->store.base = HV_STORE_NO_BASE;
	page->store.offset = MEMORY;
	exits(VMX_EXIT_EPT_VIOLATION, STORE_WRITE, MEMORY);
	CHECK(rang(2));
}

TEST(anything_else_at_that_address_is_decoded)
{
	struct hv_store *s;

	for (unsigned int row = 0; row < 14; row++) {
		uint64_t q = STORE_WRITE, address = MEMORY;

		start(0);
		s = &page->store;
		s->length = row == 0 ? 0 : row == 1 ? 3 : 2;
		s->rip += row == 2;
		s->cr3 += row == 3 ? 0x1000 : 0;
		s->cs_access ^= row == 4 ? 1 << 13 : 0;
		s->offset += row == 5;
		s->base = row == 6 ? RSP : row == 7 ? RBP : row == 8 ? 0xff : RSI;
		q |= row == 9 ? 1 : row == 10 ? 1 << 12 : 0;
		q &= row == 11 ? ~UINT64_C(0x100) : ~UINT64_C(0);
		s->bytes = row == 12 ? 8 : 4; /* reaches into the next page */
		if (row == 8)
			s->offset = MEMORY;
		if (row == 13)
			bind(2, HV_BELL_MEMORY, MEMORY, 2, 0); /* of another size */
		exits(VMX_EXIT_EPT_VIOLATION, q, address);
		if (row == 8) /* no register at all */
			CHECK(rang(2));
		else
			CHECK(left_for_driver(HV_VCPU_EXIT_INSN));
	}
	start(0); /* the processor stored it: an event's delivery */
	machine_guest_exits(&(struct machine_exit){.reason = VMX_EXIT_EPT_VIOLATION,
						   .qualification = STORE_WRITE,
						   .address = MEMORY,
						   .vectoring = INTR_VALID | 0x40,
						   .bytes = 2});
	CHECK(left_for_driver(HV_VCPU_EXIT_INSN));
}

TEST(the_driver_hears_of_it_in_time)
{
	uint64_t limit;

	for (unsigned int features = 0; features < 16; features++) {
		uint64_t begin, rings = 0;

		start(features);
		limit = HV_DOORBELL_US * platform.tsc_khz / 1000;
		begin = machine_tsc();
		while (machine_in_guest()) { /* nothing but rings: the long way sees the time */
			exits(VMX_EXIT_IO, OUT(1), 0);
			rings++;
			CHECK(machine_tsc() - begin < 2 * limit);
		}
		CHECK_EQ(page->exit, HV_VCPU_EXIT_DOORBELL);
		CHECK(machine_tsc() - begin >= limit);
		CHECK_EQ(hv_doorbell_take(page, ~UINT64_C(0)), 1);
		CHECK_EQ(hv_doorbell_count(page, 0), rings);

		/* The next stay has a limit of its own, and begins with none. */
		CHECK_EQ(call(HV_CALL_VCPU_RUN, vm->handle, 0, 0), 0);
		exits(VMX_EXIT_PREEMPTION_TIMER, 0, 0);
		CHECK(machine_in_guest());
		exits(VMX_EXIT_IO, OUT(1), 0);
		CHECK(machine_in_guest());
		CHECK(machine_field(VMCS_PREEMPTION_TIMER.encoding) <= limit + 1);
		for (begin = machine_tsc(); machine_tsc() - begin < limit;)
			;
		exits(VMX_EXIT_PREEMPTION_TIMER, 0, 0);
		CHECK(!machine_in_guest());
		CHECK_EQ(page->exit, HV_VCPU_EXIT_DOORBELL);
	}
}

TEST(a_guest_that_halts_or_is_interrupted_takes_its_rings_along)
{
	static const struct {
		uint32_t reason;
		enum hv_vcpu_exit exit;
	} rows[] = {{VMX_EXIT_HLT, HV_VCPU_EXIT_HLT},
		    {VMX_EXIT_EXTERNAL_INTERRUPT, HV_VCPU_EXIT_INTR},
		    {VMX_EXIT_TRIPLE_FAULT, HV_VCPU_EXIT_SHUTDOWN}};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		start(0);
		exits(VMX_EXIT_IO, OUT(1), 0);
		exits(rows[i].reason, 0, 0);
		CHECK(!machine_in_guest());
		CHECK_EQ(page->exit, rows[i].exit);
		CHECK_EQ(page->rung, 1);
	}
}

TEST(a_hostile_table_only_chooses_slots)
{
	start(0);
	memset(page->doorbell, 0xff, sizeof(page->doorbell));
	page->doorbells = UINT32_MAX;
	CHECK_EQ(doorbell_find(page, HV_BELL_PORT, PORT, 1, 0), -1);
	CHECK_EQ(doorbell_find(page, HV_BELL_PORT, UINT64_MAX, 255, 0), 0);
	memset(page->doorbell, 0, sizeof(page->doorbell));
	CHECK_EQ(doorbell_find(page, HV_BELL_MEMORY, 0, 0, 0), -1);
	bind(HV_DOORBELLS - 1, HV_BELL_PORT, PORT, 1, 5);
	CHECK_EQ(doorbell_find(page, HV_BELL_PORT, PORT, 1, 5), HV_DOORBELLS - 1);
	page->doorbells = HV_DOORBELLS - 1;
	CHECK_EQ(doorbell_find(page, HV_BELL_PORT, PORT, 1, 5), -1);
}

/* ---- counters, from two sides */

enum { ROUNDS = 10000, AT_ONCE = 50, PATIENCE_S = 20 };

static struct hv_vcpu_page shared;
static uint64_t sent, received;

/* Rings some, then waits until the other side has heard of each: a lost one is waited for in vain.
 */
static void *rings(void *unused)
{
	uint32_t random = 1;

	for (unsigned int i = 1; i <= ROUNDS; i++) {
		random = random * 1664525 + 1013904223;
		hv_doorbell_ring(&shared, random >> 27);
		while (i % AT_ONCE == 0 && __atomic_load_n(&received, __ATOMIC_ACQUIRE) != i)
			sched_yield();
		__atomic_store_n(&sent, i, __ATOMIC_RELEASE);
	}
	return unused;
}

TEST(no_ring_is_lost_between_two_cpus)
{
	uint64_t mask = 1, bits, heard = 0;
	time_t last = time(NULL);
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, rings, NULL));
	while (__atomic_load_n(&sent, __ATOMIC_ACQUIRE) != ROUNDS) {
		mask = ~mask; /* some slots now, the others next time */
		bits = hv_doorbell_take(&shared, mask);
		for (unsigned int i = 0; i < HV_DOORBELLS; i++)
			if (bits >> i & 1)
				heard += hv_doorbell_count(&shared, i);
		if (heard != received)
			last = time(NULL);
		__atomic_store_n(&received, heard, __ATOMIC_RELEASE);
		CHECK(time(NULL) - last < PATIENCE_S);
	}
	pthread_join(thread, NULL);
	CHECK_EQ(heard, ROUNDS);
}
