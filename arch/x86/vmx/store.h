// SPDX-License-Identifier: MIT
/*
 * The one instruction that the hypervisor decodes: how kernels in 64-bit mode store 32 bits into
 * the local APIC, MOV from a register (89 /r) or of a constant (C7 /0). Pure.
 */
#pragma once

#include <abi/vcpu.h>
#include <types.h>

#define STORE_MAX_BYTES 15

/** Length of the store at @code (STORE_MAX_BYTES of it can be read) and what it stores; 0: it is
 * none. */
unsigned int store_decode(const uint8_t *code, const struct hv_gprs *regs, uint32_t *value);
