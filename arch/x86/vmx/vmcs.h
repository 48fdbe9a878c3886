// SPDX-License-Identifier: MIT
/*
 * VMCS access that the compiler checks.
 *
 * A field is a constant of a structure type that carries its width, so vmread() has the right
 * result type and vmwrite(FIELD_A, FIELD_B) does not compile. Access works on the *current* VMCS of
 * this CPU; a failing access is our own bug (the field list is fixed and checked against the CPU's
 * abilities before use) and panics. Source: SDM 3C "Virtual Machine Control Structures" (chapter
 * 24).
 */
#pragma once

#include <abi/vcpu.h>
#include <types.h>
#include <x86/vmx/vmcs_fields.h>

/* `value` only carries the type. */
typedef struct {
	uint32_t encoding;
	uint16_t value[0];
} vmcs16_t;
typedef struct {
	uint32_t encoding;
	uint32_t value[0];
} vmcs32_t;
typedef struct {
	uint32_t encoding;
	uint64_t value[0];
} vmcs64_t, vmcsn_t;

enum { VMCS_WIDTH_16, VMCS_WIDTH_64, VMCS_WIDTH_32, VMCS_WIDTH_n };

/* Encoding: bits 14:13 width, 11:10 group, 0 access to the high half. */
#define X(width, name, code)                                                                       \
	static const vmcs##width##_t VMCS_##name = {.encoding = code};                             \
	static_assert(((code) >> 13) == VMCS_WIDTH_##width && !((code)&1),                         \
		      #name " has another width");
VMCS_FIELDS(X)
#undef X

/** Report a VMREAD or VMWRITE that failed. Does not return. */
void vmcs_access_failed(uint32_t encoding) __noreturn;

/** Log the current VMCS, raw, as VM entry has refused it: `hornero log` names the fields and the
 * rule that is broken. Context: after a failed entry. */
void vmcs_dump(void);

/** A guest segment register's four fields. */
void vmcs_get_segment(enum vmcs_segment s, struct hv_segment *to);
void vmcs_set_segment(enum vmcs_segment s, uint16_t selector, uint64_t base, uint32_t limit,
		      uint32_t access);

/** ES, SS, DS, FS and GS: alike, base 0. */
void vmcs_set_data_segments(uint16_t selector, uint32_t limit, uint32_t access);

/** MSRs as after reset. */
void vmcs_set_msrs(void);

/** Registers as after INIT, which reset shares (SDM 3A "Processor State After Reset"): all that is
 * the same in the control domain and in guests, except for MSRs. */
void vmcs_set_init_state(void);

/** CS:RIP of a processor in that state that receives a SIPI. */
void vmcs_set_sipi(uint8_t vector);

/** False if the processor has no such field. */
static inline bool vmcs_try_read(uint32_t encoding, uint64_t *value)
{
	bool failed;

	__asm__ volatile("vmread %2, %0"
			 : "=r"(*value), "=@ccbe"(failed)
			 : "r"((uint64_t)encoding));
	return !failed;
}

static inline uint64_t vmcs_read_raw(uint32_t encoding)
{
	uint64_t value;

	__asm__ goto("vmread %1, %0\n\tjbe %l2"
		     : "=r"(value)
		     : "r"((uint64_t)encoding)
		     : "cc"
		     : failed);
	return value;
failed:
	vmcs_access_failed(encoding);
}

static inline void vmcs_write_raw(uint32_t encoding, uint64_t value)
{
	__asm__ goto("vmwrite %0, %1\n\tjbe %l2" ::"rm"(value), "r"((uint64_t)encoding)
		     : "cc"
		     : failed);
	return;
failed:
	vmcs_access_failed(encoding);
}

/** The same for fields that the processor is known to have, where each instruction counts: they
 * cannot fail while a VMCS is current. */
static inline uint64_t vmcs_read_sure(uint32_t encoding)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)encoding) : "cc");
	return value;
}

static inline void vmcs_write_sure(uint32_t encoding, uint64_t value)
{
	__asm__ volatile("vmwrite %0, %1" ::"r"(value), "r"((uint64_t)encoding) : "cc");
}

#define vmread_sure(f) ((__typeof__((f).value[0]))vmcs_read_sure((f).encoding))
#define vmread(f)      ((__typeof__((f).value[0]))vmcs_read_raw((f).encoding))
#define vmwrite(f, v)                                                                              \
	do {                                                                                       \
		__typeof__((f).value[0]) vmwrite_value = (v);                                      \
		vmcs_write_raw((f).encoding, vmwrite_value);                                       \
	} while (0)
