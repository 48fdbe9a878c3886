// SPDX-License-Identifier: MIT
/*
 * Exceptions and NMIs that arrive while the hypervisor itself runs (VMX root operation).
 */
#pragma once

#include <types.h>

struct cpu;

/* As arch/x86/isr.S pushes it. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/** Called by isr.S. An expected fault continues at its fix-up, an NMI is noted for the control
 * domain, the rest is a crash. */
void trap_handle(struct trap_frame *f);

/** An NMI arrived in root mode; nmi_in_root of @c is set already. Supplied by the VMX side, which
 * arranges that the control domain gets it. Context: NMI. */
void virt_nmi(struct cpu *c, struct trap_frame *f);

/** A machine check arrived in root mode. True if the VMX side took it (it forwards it to the
 * control domain), false if it is to be a crash. Context: #MC. */
bool virt_machine_check(struct cpu *c, struct trap_frame *f);
