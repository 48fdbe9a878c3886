// SPDX-License-Identifier: MIT
/*
 * Names of the VMCS fields, the dump of a VMCS, and the end of a failed access.
 */
#include <stdio.h>

#include <x86/asm.h>
#include <x86/vmx/entry_check.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

static const struct {
	const char *name;
	uint32_t encoding;
} fields[] = {
#define X(name, encoding) {#name, encoding},
	VMCS_FIELDS_16(X) VMCS_FIELDS_32(X) VMCS_FIELDS_64(X) VMCS_FIELDS_NATURAL(X)
#undef X
};

const char *vmcs_field_name(uint32_t encoding)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].encoding == encoding)
			return fields[i].name;
	return "?";
}

void vmcs_access_failed(uint32_t encoding, bool write)
{
	panic("%s of VMCS field %s (%#x) failed", write ? "VMWRITE" : "VMREAD",
	      vmcs_field_name(encoding), encoding);
}

void vmcs_dump(void (*emit)(const char *line))
{
	char line[80];

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint64_t value;
		bool failed;

		/* Not vmcs_read_raw(): a field this CPU lacks is no reason to panic in a dump. */
		__asm__ volatile("vmread %2, %0"
				 : "=r"(value), "=@ccbe"(failed)
				 : "r"((uint64_t)fields[i].encoding));
		if (failed)
			continue;
		snprintf(line, sizeof(line), "%-24s %016llx", fields[i].name,
			 (unsigned long long)value);
		emit(line);
	}
}

static uint64_t read_field(void *ctx, uint32_t encoding)
{
	(void)ctx;
	return vmcs_read_raw(encoding);
}

void vmcs_explain(char *text, size_t bytes)
{
	uint32_t widths = cpuid_has_leaf(0x80000008) ? cpuid(0x80000008, 0).eax : 0x3024;
	struct entry_env env = {.read = read_field,
				.caps = &vmx_caps,
				.physical_bits = widths & 0xff,
				.linear_bits = (widths >> 8) & 0xff};
	struct entry_failure failure;

	if (entry_check(&env, &failure))
		snprintf(text, bytes, "every check that is known here holds");
	else
		snprintf(text, bytes, "%s = %#lx: %s", vmcs_field_name(failure.field),
			 vmcs_read_raw(failure.field), failure.rule);
}
