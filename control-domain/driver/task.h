// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware task switches: VMX cannot do them, so a guest's JMP, CALL or IRET to a task, or an event
 * through a task gate, ends here. The processor has checked the gate and most of the descriptor
 * before it exits; it has changed nothing.
 *
 * Pure: the state comes and goes as a structure, memory is the driver's (vcpu_task.c). Before the
 * point of no return all memory that the switch touches is probed, so a fault belongs to the old
 * task and nothing has happened; after it the new task takes the fault at its first instruction.
 * Source: SDM 3A "Task Management" (8); SDM 3C "Exit Qualification for Task Switches".
 */
#pragma once

#include "pure.h"

#include "abi/vcpu.h"

enum { VECTOR_DB = 1, VECTOR_DF = 8, VECTOR_TS = 10, VECTOR_NP = 11 };

/* As the exit qualification has it. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };

struct task_state {
	struct hv_gprs gprs;
	uint64_t rip, rflags;
	struct hv_sregs sregs;
	struct hv_debug debug;
};

struct task_switch {
	uint16_t selector; /* of the new TSS */
	uint8_t source;	   /* enum task_source */
	bool external;	   /* the EXT bit of error codes: no instruction asked for the event */
	bool has_error;	   /* the event's error code goes to the new stack */
	uint32_t error;
	uint64_t next_rip; /* where the old task goes on */
};

struct task_ops {
	/* As gwalk(), with the paging registers of *state; `implicit`: to a system structure. */
	bool (*translate)(void *context, const struct task_state *state, uint64_t linear,
			  bool write, bool implicit, uint64_t *gpa, struct guest_fault *fault);
	/* Guest RAM within a page; false where there is none. */
	bool (*read)(void *context, uint64_t gpa, void *data, unsigned int bytes);
	bool (*write)(void *context, uint64_t gpa, const void *data, unsigned int bytes);
};

enum task_result {
	TASK_DONE,
	TASK_FAULT,	/* *fault: to be taken with *state, which is the old or the new task's */
	TASK_NO_MEMORY, /* a table, TSS or stack is where no RAM is, or a walk has no answer */
};

enum task_result task_switch(struct task_state *state, const struct task_switch *how,
			     const struct task_ops *ops, void *context, struct guest_fault *fault);
