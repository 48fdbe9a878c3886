// SPDX-License-Identifier: MIT
/*
 * Virtual CPUs: one thread each, which runs the guest and hands its exits to the board.
 *
 * All of them stop and start together. A stopped vCPU is outside KVM_RUN with its last access
 * completed by the next run; who wants to change state stops first. The state after creation is
 * kept, so that a reset can bring it back.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "boot.h"
#include "config.h"
#include "cpuid.h"
#include "kvm.h"

/* Reasons why KVM_RUN returned, as statistics know them. */
enum vcpu_exit {
	VCPU_EXIT_PORT,
	VCPU_EXIT_MMIO,
	VCPU_EXIT_EOI,
	VCPU_EXIT_INTERRUPTED,
	VCPU_EXIT_OTHER,
	VCPU_EXITS,
};
extern const char *const vcpu_exit_names[VCPU_EXITS];

struct vcpu_state; /* register contents, vcpu_state.c */

struct vcpu {
	struct vcpus *all;
	unsigned number;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	struct vcpu_state *initial;
	uint64_t exits[VCPU_EXITS]; /* written by the vCPU thread, read by anyone */
};

struct vcpus {
	const struct kvm *kvm;
	struct board *board;
	/* A vCPU cannot go on (triple fault, KVM_RUN failed); it stays stopped. */
	void (*crashed)(void *context, const char *what);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	bool have_run; /* since creation: their state is no longer the initial one */
	unsigned parked;
	unsigned count;
	uint64_t tsc_khz;
	bool tells_frequency; /* see cpuid.h */
	struct vcpu vcpu[CONFIG_CPUS_MAX];
};

/* Creates the vCPUs, stopped, without threads. */
int vcpus_init(struct vcpus *vcpus, const struct kvm *kvm, struct board *board, unsigned count,
	       void (*crashed)(void *context, const char *what), void *context, struct reason *why);

/* Starts the threads; the vCPUs stay stopped. */
int vcpus_start_threads(struct vcpus *vcpus, struct reason *why);

/* Puts all into their initial state, the first one at the kernel's entry. vCPUs are stopped. */
int vcpus_set_start(struct vcpus *vcpus, const struct boot_start *start, struct reason *why);

/* Stops all and waits until they have; not from a vCPU thread. */
void vcpus_stop(struct vcpus *vcpus);
void vcpus_run(struct vcpus *vcpus);

/* vcpu_state.c ---- */

/* Reads the state of a vCPU fresh from creation. NULL when out of memory or refused. */
struct vcpu_state *vcpu_state_save(const struct kvm *kvm, int vcpu_fd, struct reason *why);
int vcpu_state_restore(const struct kvm *kvm, int vcpu_fd, const struct vcpu_state *state,
		       struct reason *why);

/* Registers for the kernel's entry. */
int vcpu_state_enter(int vcpu_fd, const struct boot_start *start, struct reason *why);

/* The few registers that tell where it stood, for a crash message. */
void vcpu_state_describe(int vcpu_fd, char *text, size_t bytes);
