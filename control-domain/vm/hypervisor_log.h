// SPDX-License-Identifier: MIT
/*
 * The hypervisor's lines about one VM, for `vm logs`. Without a hypervisor there are none.
 */
#pragma once

#include "runtime.h"

struct hypervisor_log {
	const char *name;
	int fd;
	time_t began; /* the hypervisor's start on our clock */
	uint64_t position;
	char *text; /* what was read, from `used` to `kept` */
	size_t used, kept;
	char (*handle)[16]; /* "VM 10003" for each start of the VM */
	size_t handles;
};

/** Note in the VM's log what the hypervisor calls it. */
void hypervisor_note(const char *name, pid_t keeper);

/** 0, or -1 without a hypervisor: then there are no lines. */
int hypervisor_log_open(struct hypervisor_log *log, const char *name);

/** Take the handle from a line of the VM's log, if the line is a note. */
void hypervisor_log_learn(struct hypervisor_log *log, const char *line);

/** A line of the hypervisor's log as one of the VM's; false if it is not about it. Pure. */
bool hypervisor_log_convert(const struct hypervisor_log *log, const char *line, char *text,
			    size_t size);

/** The next line about the VM; false: no more for now. */
bool hypervisor_log_next(struct hypervisor_log *log, char *line, size_t size);
