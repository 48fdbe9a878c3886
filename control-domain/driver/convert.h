// SPDX-License-Identifier: GPL-2.0-only
/*
 * Between the hypervisor's register layouts (abi/vcpu.h, which follow VMX) and KVM's (linux/kvm.h).
 *
 * Pure, and nothing but copying with a few bits in other places. Not validated here: the hypervisor
 * checks what it is given.
 */
#pragma once

#include <linux/kvm.h>

#include "abi/vcpu.h"

#include "pure.h"

void convert_regs_to_kvm(const struct hv_gprs *gprs, struct kvm_regs *kvm);
void convert_regs_from_kvm(const struct kvm_regs *kvm, struct hv_gprs *gprs);

/* Without interrupt_bitmap, which is part of the events. */
void convert_sregs_to_kvm(const struct hv_sregs *sregs, struct kvm_sregs *kvm);

/*
 * What no processor can be in (SDM 3A "IA-32e Mode Operation"): unknown CR4 or EFER bits, a long
 * mode that is not active, active without paging or PAE, or a 64-bit segment outside it.
 */
bool convert_sregs_valid(const struct kvm_sregs *kvm, uint64_t cr4_allowed);

void convert_sregs_from_kvm(const struct kvm_sregs *kvm, struct hv_sregs *sregs);

/* A pending external interrupt in KVM's bitmap, and back; a bitmap of zeroes changes nothing. */
void convert_interrupt_to_kvm(const struct hv_events *events, uint64_t bitmap[4]);
void convert_interrupt_from_kvm(const uint64_t bitmap[4], struct hv_events *events);

/* False: flags or states that are not offered. What `flags` does not name stays. */
void convert_events_to_kvm(const struct hv_events *events, struct kvm_vcpu_events *kvm);
bool convert_events_from_kvm(const struct kvm_vcpu_events *kvm, struct hv_events *events);

uint32_t convert_activity_to_kvm(uint32_t activity);
bool convert_activity_from_kvm(uint32_t mp_state, uint32_t *activity);

/* The legacy area of an XSAVE image, and the header's bits for it on the way back. */
void convert_fpu_to_kvm(const uint8_t *xsave, struct kvm_fpu *kvm);
void convert_fpu_from_kvm(const struct kvm_fpu *kvm, uint8_t *xsave);
