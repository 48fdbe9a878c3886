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

#include <panic.h>
#include <types.h>
#include <x86/vmx/vmcs_fields.h>

typedef struct {
	uint32_t encoding;
} vmcs16_t;
typedef struct {
	uint32_t encoding;
} vmcs32_t;
typedef struct {
	uint32_t encoding;
} vmcs64_t;
typedef struct {
	uint32_t encoding;
} vmcsn_t;

/* Encoding: bits 14:13 width, 11:10 group, 0 access to the high half. */
#define VMCS_WIDTH_OF(encoding) (((encoding) >> 13) & 3)

#define X(name, encoding)                                                                          \
	static const vmcs16_t VMCS_##name = {encoding};                                            \
	static_assert(VMCS_WIDTH_OF(encoding) == 0 && !((encoding)&1),                             \
		      #name " is not 16 bits wide");
VMCS_FIELDS_16(X)
#undef X
#define X(name, encoding)                                                                          \
	static const vmcs64_t VMCS_##name = {encoding};                                            \
	static_assert(VMCS_WIDTH_OF(encoding) == 1 && !((encoding)&1),                             \
		      #name " is not 64 bits wide");
VMCS_FIELDS_64(X)
#undef X
#define X(name, encoding)                                                                          \
	static const vmcs32_t VMCS_##name = {encoding};                                            \
	static_assert(VMCS_WIDTH_OF(encoding) == 2 && !((encoding)&1),                             \
		      #name " is not 32 bits wide");
VMCS_FIELDS_32(X)
#undef X
#define X(name, encoding)                                                                          \
	static const vmcsn_t VMCS_##name = {encoding};                                             \
	static_assert(VMCS_WIDTH_OF(encoding) == 3 && !((encoding)&1),                             \
		      #name " is not natural-width");
VMCS_FIELDS_NATURAL(X)
#undef X

/** Report a VMREAD or VMWRITE that failed. Does not return. */
void vmcs_access_failed(uint32_t encoding, bool write) __noreturn;

/** Name of the field with @encoding, "?" if unknown. Any context. */
const char *vmcs_field_name(uint32_t encoding);

/** Why the current VMCS is refused at VM entry: the first of the SDM's checks that fails, in a
 * sentence in
 * @text. Context: after a failed entry. */
void vmcs_explain(char *text, size_t bytes);

/** Log every field of the current VMCS. Context: crash path, or a VM that ends. */
void vmcs_dump(void (*emit)(const char *line));

static inline uint64_t vmcs_read_raw(uint32_t encoding)
{
	uint64_t value;
	bool failed;

	__asm__ volatile("vmread %2, %0" : "=r"(value), "=@ccbe"(failed) : "r"((uint64_t)encoding));
	if (unlikely(failed))
		vmcs_access_failed(encoding, false);
	return value;
}

static inline void vmcs_write_raw(uint32_t encoding, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %1, %2"
			 : "=@ccbe"(failed)
			 : "rm"(value), "r"((uint64_t)encoding));
	if (unlikely(failed))
		vmcs_access_failed(encoding, true);
}

static inline uint16_t vmread_16(vmcs16_t f)
{
	return (uint16_t)vmcs_read_raw(f.encoding);
}
static inline uint32_t vmread_32(vmcs32_t f)
{
	return (uint32_t)vmcs_read_raw(f.encoding);
}
static inline uint64_t vmread_64(vmcs64_t f)
{
	return vmcs_read_raw(f.encoding);
}
static inline uint64_t vmread_n(vmcsn_t f)
{
	return vmcs_read_raw(f.encoding);
}
static inline void vmwrite_16(vmcs16_t f, uint16_t v)
{
	vmcs_write_raw(f.encoding, v);
}
static inline void vmwrite_32(vmcs32_t f, uint32_t v)
{
	vmcs_write_raw(f.encoding, v);
}
static inline void vmwrite_64(vmcs64_t f, uint64_t v)
{
	vmcs_write_raw(f.encoding, v);
}
static inline void vmwrite_n(vmcsn_t f, uint64_t v)
{
	vmcs_write_raw(f.encoding, v);
}

/* clang-format off */
#define vmread(f)                                                                                  \
	_Generic((f), vmcs16_t: vmread_16, vmcs32_t: vmread_32, vmcs64_t: vmread_64, vmcsn_t: vmread_n)(f)
#define vmwrite(f, v)                                                                              \
	_Generic((f), vmcs16_t: vmwrite_16, vmcs32_t: vmwrite_32, vmcs64_t: vmwrite_64, vmcsn_t: vmwrite_n)(f, v)
/* clang-format on */
