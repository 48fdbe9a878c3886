// SPDX-License-Identifier: MIT
/*
 * /dev/kvm: one VM with a split interrupt controller (local APICs in the kernel, the rest here).
 *
 * Only the documented API, and of it only what Hornero's driver offers too; whatever is not
 * certain is asked for with KVM_CHECK_EXTENSION. What is required and missing ends the start with
 * its name. Interrupt routing is in irq.h, virtual CPUs in vcpu.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guest_memory.h"
#include "reason.h"

struct kvm {
	int fd;
	int vm_fd;
	int run_bytes; /* size of the page shared with each vCPU */
	bool irqfd;
	bool ioeventfd;
	bool ioeventfd_any_length; /* one that needs no decoding of the instruction */
};

int kvm_open(struct kvm *kvm, struct reason *why);

/* On Hornero: what the hypervisor's log and lists call this machine. */
void kvm_name(const struct kvm *kvm, const char *name);

int kvm_add_memory(struct kvm *kvm, const struct guest_memory *memory, struct reason *why);

/* Value of KVM_CHECK_EXTENSION; 0 when the kernel does not know the capability. */
int kvm_extension(const struct kvm *kvm, int capability);

/*
 * Makes guest writes to [gpa, gpa + bytes) signal `event_fd` instead of ending KVM_RUN (or no
 * longer, if not `on`). False when the kernel refuses: the write then arrives as an MMIO exit.
 */
bool kvm_doorbell(const struct kvm *kvm, uint64_t gpa, unsigned bytes, int event_fd, bool on);
