// SPDX-License-Identifier: MIT
// sources: $(FAKE_MACHINE)
// flags: $(FAKE_MACHINE_FLAGS) -Itests/fuzz -pthread
/*
 * Holds without a lock: a VM that somebody holds is not destroyed, whenever the two come together.
 */
#include "test.h"

#include <pthread.h>
#include <string.h>

#include <abi/hypercall.h>
#include <hypercall.h>
#include <vm.h>

#include "machine_state.h"

enum { VMS = 300, WATCHED = 200 };

static uint64_t handle, destroyed; /* of the present VM, of the last that is gone */
static uint32_t over, violations, held;

static int64_t call(uint64_t number, uint64_t a)
{
	uint64_t args[HYPERCALL_ARGS] = {a}, second = 0;

	return hypercall_dispatch(machine_cpu(), number, args, &second);
}

static void *hold_and_release(void *unused)
{
	while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
		uint64_t present = __atomic_load_n(&handle, __ATOMIC_SEQ_CST);
		struct vm *vm = vm_hold(present);

		for (unsigned int i = 0; vm && i < WATCHED; i++)
			violations += __atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == present;
		held += vm != NULL;
		if (vm)
			vm_release(vm);
	}
	return unused;
}

TEST(a_vm_that_is_held_is_not_destroyed)
{
	struct hv_vm_create args = {.vcpus = 1};
	pthread_t thread;
	int64_t result;

	machine_start(0);
	CHECK_EQ(pthread_create(&thread, NULL, hold_and_release, NULL), 0);
	for (unsigned int i = 0; i < VMS; i++) {
		memcpy(machine_call_page(), &args, sizeof(args));
		result = call(HV_CALL_VM_CREATE, 0);
		CHECK(result > 0);
		if (result <= 0)
			break;
		__atomic_store_n(&handle, (uint64_t)result, __ATOMIC_SEQ_CST);
		do
			result = call(HV_CALL_VM_DESTROY, handle);
		while (result == -HV_ERR_BUSY);
		__atomic_store_n(&destroyed, handle, __ATOMIC_SEQ_CST);
		CHECK(result >= 0);
		machine_all_pay();
	}
	__atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CHECK(held > 0);
	CHECK_EQ(violations, 0);
}
