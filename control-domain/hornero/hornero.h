// SPDX-License-Identifier: MIT
/*
 * The `hornero` command: what the parts of it share. main.c chooses the sub-command; each has a
 * file of its own (info.c, log.c, stats.c, settings.c, ...). hypervisor.c talks to /dev/hornero.
 *
 * The functions that lay out text or JSON take a structure and a stream and nothing else, so host
 * tests call them with made-up answers.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "vmm/abi/info.h"

struct json_object;

/* Exit codes of every sub-command; the manual page lists them. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* it did not work; the message says why */
	EXIT_USAGE = 2,	 /* wrong options or arguments */
	EXIT_NO_HYPERVISOR = 3,
	EXIT_LIMITS = 4,   /* check: usable with limits */
	EXIT_UNUSABLE = 5, /* check: not usable */
};

/** Print "hornero: ..." to the error stream. Returns @code, for `return fail(...)`. */
int fail(enum exit_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** True if this processor answers CPUID with the hypervisor's signature. */
bool hypervisor_present(void);

/** Open /dev/hornero. Returns a descriptor, or -1 with *@code set after saying why not. */
int hypervisor_open(int *code);

/** Print a JSON object with line breaks and free it. */
void print_json(FILE *out, struct json_object *object);

/* Sub-commands: argv[0] is the sub-command's name. Each returns an enum exit_code. */
int info_main(int argc, char **argv);
int log_main(int argc, char **argv);
int stats_main(int argc, char **argv);
int vms_main(int argc, char **argv);
int check_main(int argc, char **argv);
int report_main(int argc, char **argv);
int boot_main(int argc, char **argv);
int settings_main(int argc, char **argv);

/** Lay out @info for people. */
void info_print_text(FILE *out, const struct hv_info *info);

/** @info as a JSON object; the caller owns it. */
struct json_object *info_json(const struct hv_info *info);
