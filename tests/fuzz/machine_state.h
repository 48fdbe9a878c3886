// SPDX-License-Identifier: MIT
/*
 * The machine that fuzz_hypercall.c drives: a few CPUs, 48 MiB of RAM, VMX without a guest inside.
 * Every function that finds the hypervisor wrong ends the process.
 */
#pragma once

#include <types.h>

/** Begin with nothing but a pool; @features: bit 0 APICv, 1 1-GiB pages, 2 VPID, 3 XSAVE, 4 code
 * in small pages. */
void machine_start(unsigned int features);

/** Destroy every VM as a driver would: all memory must come back, zeroed. */
void machine_end(void);

/** What must hold between any two steps. */
void machine_check(void);

/** Of all that a call can change for anybody: owners, mappings, VMs, vCPUs. */
uint64_t machine_digest(void);

void machine_broken(const char *format, ...) __noreturn __printf(1, 2);

/** This CPU's call page, and the page of one of the vCPUs that exist (NULL: there is none). */
uint8_t *machine_call_page(void);
uint8_t *machine_vcpu_page(unsigned int which);

unsigned int machine_cpus_running(void);
void machine_switch_cpu(unsigned int cpu);
void machine_all_pay(void);
void machine_cpu_is_dead(unsigned int cpu);
void machine_cpu_comes_back(unsigned int cpu);

/** The control domain touches an address that is not its own. */
void machine_touch_hole(uint64_t address);

/** How often the branch predictors were flushed. */
unsigned int machine_predictor_barriers(void);

/** True while this CPU runs a guest: it makes no hypercalls. */
bool machine_in_guest(void);

/** Begin the stay that the last hypercall asked for, if it did. */
void machine_enter(void);

struct machine_exit {
	uint32_t reason, interruption, vectoring, bytes;
	uint64_t qualification, address;
};

/** The guest that runs on this CPU, if any, exits. */
void machine_guest_exits(const struct machine_exit *exit);
