// SPDX-License-Identifier: MIT
// sources: control-domain/vm/hypervisor_log.c
// flags: -D_GNU_SOURCE
/*
 * Which lines of the hypervisor's log are a VM's, and when they were said on our clock.
 */
#include "../../control-domain/vm/hypervisor_log.h"
#include <stdlib.h>

#include "test.h"

static char text[256];

void log_append(const char *name, const char *said)
{
	(void)name, (void)said;
}

void log_keep(const char *name, const char *file, const char *said)
{
	(void)name, (void)file, (void)said;
}

TEST(lines_of_this_vm_only)
{
	struct hypervisor_log log = {.name = "web", .began = 1700000000};

	hypervisor_log_learn(&log, "2023-11-14T22:13:21Z web: the hypervisor calls it VM 10003");
	hypervisor_log_learn(&log, "2023-11-14T22:13:21Z web: running");
	CHECK_EQ(log.handles, 1);
	CHECK(hypervisor_log_convert(&log, "[ 12.000345] VM 10003 vCPU 0 stops: triple fault", text,
				     sizeof(text)));
	CHECK_STREQ(text, "2023-11-14T22:13:32Z web: hypervisor: VM 10003 vCPU 0 stops: triple "
			  "fault");
	CHECK(!hypervisor_log_convert(&log, "[ 12.000345] VM 100031 vCPU 0 stops", text,
				      sizeof(text)));
	CHECK(hypervisor_log_convert(&log, "[ 12.0] debug msr: VM 10003: RDMSR 0x10: #GP", text,
				     sizeof(text)));
	CHECK(!hypervisor_log_convert(&log, "[ 12.000345] VM 3 vCPU 0 stops", text, sizeof(text)));
	CHECK(!hypervisor_log_convert(&log, "VM 10003 vCPU 0 stops", text, sizeof(text)));
	free(log.handle);
}

TEST(each_start_has_a_handle)
{
	struct hypervisor_log log = {.name = "web", .began = 0};

	hypervisor_log_learn(&log, "x web: the hypervisor calls it VM 3");
	hypervisor_log_learn(&log, "y web: the hypervisor calls it VM 10003");
	CHECK(hypervisor_log_convert(&log, "[  0.5] VM 3 vCPU 0 stops", text, sizeof(text)));
	CHECK(hypervisor_log_convert(&log, "[  1.5] debug VM 10003 vCPU 1", text, sizeof(text)));
	CHECK_STREQ(text, "1970-01-01T00:00:01Z web: hypervisor: debug VM 10003 vCPU 1");
	free(log.handle);
}

TEST(however_many_starts)
{
	struct hypervisor_log log = {.name = "web", .began = 0};
	char line[64];

	for (unsigned int i = 1; i <= 100; i++) {
		snprintf(line, sizeof(line), "x web: the hypervisor calls it VM %x", i << 16 | 3);
		hypervisor_log_learn(&log, line);
	}
	CHECK(hypervisor_log_convert(&log, "[  0.5] VM 10003 stops", text, sizeof(text)));
	CHECK(hypervisor_log_convert(&log, "[  0.5] VM 640003 stops", text, sizeof(text)));
	CHECK(!hypervisor_log_convert(&log, "[  0.5] VM 650003 stops", text, sizeof(text)));
	free(log.handle);
}
