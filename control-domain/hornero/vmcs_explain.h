// SPDX-License-Identifier: MIT
/*
 * A refused VM entry, explained: the hypervisor logs the VMCS raw (arch/x86/vmx/vmcs.c), here its
 * lines are recognized, the SDM's checks run over the values, and the first broken rule is put into
 * words. Pure; `hornero log` feeds it the log line by line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMCS_ENCODINGS 0x8000
#define VMCS_MSRS      0x20 /* from 480h on */

struct vmcs_record {
	bool begun;
	uint64_t field[VMCS_ENCODINGS];
	uint64_t msr[VMCS_MSRS];
	uint64_t widths; /* of addresses: CPUID.80000008H:EAX */
};

/** Take one log line. True if it completes a dump: then @text says why the entry was refused. */
bool vmcs_explain_line(struct vmcs_record *r, const char *line, char *text, size_t bytes);
