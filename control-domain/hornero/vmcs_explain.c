// SPDX-License-Identifier: MIT
/*
 * See vmcs_explain.h. A dump begins with "vmcs: VM entry refused", goes on in lines "vmcs: dump"
 * of words (f: field, m: MSR, w: address widths) and ends with w. Lines of other things in between
 * do not disturb it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <x86/vmx/caps.h>
#include <x86/vmx/vmx_bits.h>

#include "entry_check.h"
#include "vmcs_explain.h"
#include "vmcs_names.h"

#define BEGIN "vmcs: VM entry refused"
#define WORDS "vmcs: dump "

static const char *field_name(uint32_t encoding)
{
	static const struct {
		const char *name;
		uint32_t encoding;
	} fields[] = {
#define X(width, name, code) {#name, code},
		VMCS_FIELDS(X) VMCS_MORE_FIELDS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (fields[i].encoding == encoding)
			return fields[i].name;
	return "a field without a name";
}

static uint64_t read_field(void *ctx, uint32_t encoding)
{
	const struct vmcs_record *r = ctx;

	return encoding < VMCS_ENCODINGS ? r->field[encoding] : 0;
}

static uint64_t read_msr(void *ctx, uint32_t msr)
{
	const struct vmcs_record *r = ctx;

	return r->msr[msr - MSR_IA32_VMX_BASIC];
}

static void explain(struct vmcs_record *r, char *text, size_t bytes)
{
	struct vmx_caps caps = {.vmx = true};
	struct entry_env env = {.read = read_field,
				.ctx = r,
				.caps = &caps,
				.physical_bits = r->widths & 0xff,
				.linear_bits = r->widths >> 8 & 0xff};
	struct entry_failure failure;

	vmx_caps_read(&caps, read_msr, r);
	if (entry_check(&env, &failure))
		snprintf(text, bytes, "every check of the VM entry that is known here holds");
	else
		snprintf(text, bytes, "the VM entry was refused for %s = %#" PRIx64 ": %s",
			 field_name(failure.field), r->field[failure.field], failure.rule);
}

bool vmcs_explain_line(struct vmcs_record *r, const char *line, char *text, size_t bytes)
{
	const char *words = strstr(line, WORDS);
	uint64_t value;
	unsigned int number;
	bool complete = false;
	char kind;
	int used;

	if (strstr(line, BEGIN)) {
		memset(r, 0, sizeof(*r));
		r->begun = true;
	}
	if (!words || !r->begun)
		return false;
	for (words += strlen(WORDS);
	     sscanf(words, " %c%x=%" SCNx64 "%n", &kind, &number, &value, &used) == 3;
	     words += used) {
		if (kind == 'f' && number < VMCS_ENCODINGS)
			r->field[number] = value;
		else if (kind == 'm' && number - MSR_IA32_VMX_BASIC < VMCS_MSRS)
			r->msr[number - MSR_IA32_VMX_BASIC] = value;
		else if (kind == 'w')
			complete = true;
		if (complete)
			r->widths = value;
	}
	if (complete)
		explain(r, text, bytes);
	r->begun = !complete;
	return complete;
}
