// SPDX-License-Identifier: MIT
/*
 * A tiny client of the KVM API for tests: one VM, vCPUs in flat 32-bit mode, and a report of
 * checks.
 *
 * The same program runs on Linux's KVM, which validates the checks, and on Hornero's driver, which
 * they are for. A check prints "ok NAME" or "FAIL NAME: what"; the last line sums up. Whatever
 * cannot be expected to fail (creating descriptors, setting registers) ends the program when it
 * does.
 */
#pragma once

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define MEMORY_BYTES (8u << 20)
#define CODE	     0x10000u
#define IDT	     0x1000u
#define GDT	     0x2000u
#define COUNTERS     0x3000u
#define STACK	     0x20000u
#define DEVICE	     0xc0000000ull
#define PATIENCE_MS  20000 /* what has to happen happens sooner */
#define MAX_VCPUS    2

struct client {
	int kvm, vm, vcpu[MAX_VCPUS];
	struct kvm_run *run[MAX_VCPUS];
	uint8_t *memory;
};

extern const uint8_t guest_start[], guest_end[], guest_ports[], guest_mmio[], guest_stack[],
	guest_strings[], guest_idle[], guest_spin[], guest_writer[], guest_doorbells[],
	guest_rings[], guest_shutdown[], guest_pic[], guest_ioapic[], guest_stack_on_device[],
	guest_xsave_size[], guest_deadline[], guest_starts_another[], guest_toucher[],
	guest_another[], guest_handlers[], guest_nmi[];

/* A VM with memory at 0, split irqchip and `vcpus` vCPUs; the first starts at `entry`. */
void client_create(struct client *client, unsigned int vcpus, const uint8_t *entry);

/* The same with PIC, IOAPIC and PIT in the kernel. */
void client_create_chips(struct client *client, unsigned int vcpus, const uint8_t *entry);
void client_destroy(struct client *client);

/* KVM_RUN; returns the exit reason, or -1 with errno. */
int client_run(struct client *client, unsigned int vcpu);

/* Same, in a thread that is interrupted by a signal after ms milliseconds if it has not returned.
 */
int client_run_for(struct client *client, unsigned int vcpu, unsigned int ms);

/* An ioctl that has to work; `what` is for the message when it does not. */
int must(int result, const char *what);

uint32_t client_counter(const struct client *client, unsigned int vector);
void client_msi(struct client *client, uint8_t vector);
void client_region(struct client *client, uint32_t slot, uint64_t gpa, uint64_t bytes, void *host,
		   uint32_t flags);

/* Counts and prints a check; returns ok. */
bool report(bool ok, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Report that a run ended as wanted; reason is client_run()'s result. */
bool expect_exit(struct client *c, int reason, int wanted, const char *name);
bool expect_io(struct client *c, int reason, bool in, unsigned int bytes, uint32_t data,
	       const char *name);
bool expect_mmio(struct client *c, int reason, bool write, uint64_t address, unsigned int bytes,
		 uint64_t data, const char *name);

/* The guest has to be at rest: running it for a moment ends by the signal. */
void expect_rest(struct client *c, const char *name);
struct kvm_regs get_regs(struct client *c);

/* The device model's answer to IN. */
void answer_io(struct client *c, uint32_t data);

/* check_events.c */
void check_interrupts(void);
void check_irqfd(void);
void check_ioeventfd(void);
void check_rings(void);
void check_deadline(void);
void check_smp(void);

/* check_cpu.c */
void check_msr_list(void);
void check_delivery(void);
void check_xsave_size(void);
void check_sync_regs(void);

/* check_stats.c */
void check_stats(void);

/* check_pool.c */
void check_pool(void);

/* check_keep.c */
void check_keep(void);
void check_leave(void);

/* check_dirty.c */
void check_dirty(void);
void check_dirty_by_hand(void);

/* check_chips.c */
void check_pic(void);
void check_ioapic(void);
void check_chip_state(void);
