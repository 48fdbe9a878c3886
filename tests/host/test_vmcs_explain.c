// SPDX-License-Identifier: MIT
// sources: control-domain/hornero/vmcs_explain.c control-domain/hornero/entry_check.c
// sources: control-domain/hornero/entry_check_guest.c arch/x86/vmx/caps.c
/*
 * A VMCS dump in the log: found among other lines, explained once it is whole. The rules themselves
 * are test_entry_check.c's.
 */
#include "test.h"

#include "control-domain/hornero/vmcs_explain.h"

static struct vmcs_record record;
static char why[200];

static bool take(const char *line)
{
	return vmcs_explain_line(&record, line, why, sizeof(why));
}

TEST(a_dump_is_explained_when_it_is_whole)
{
	CHECK(!take("[  7.000001] vmcs: VM entry refused: VM-instruction error 7, exit reason 0"));
	CHECK(!take("[  7.000002] vmcs: dump f4000=5 f4002=0"));
	CHECK(!take("[  7.000003] msr: dropped: write of 0x1 to MSR 0x10"));
	CHECK(!take("[  7.000004] vmcs: dump m480=0 m481=1600000016"));
	CHECK(take("[  7.000005] vmcs: dump w0=3028"));
	CHECK_STREQ(why, "the VM entry was refused for PIN_CONTROLS = 0x5: every bit is as the "
			 "capability MSR allows");
}

TEST(the_next_dump_starts_afresh)
{
	CHECK(!take("vmcs: VM entry refused: x"));
	CHECK(!take("vmcs: dump f4000=5"));
	CHECK(!take("vmcs: VM entry refused: x"));
	CHECK(!take("vmcs: dump f4012=ff m484=1600000000"));
	CHECK(take("vmcs: dump w0=3028"));
	CHECK_STREQ(why, "the VM entry was refused for ENTRY_CONTROLS = 0xff: every bit is as the "
			 "capability MSR allows");
}

TEST(segments_have_names)
{
	CHECK(!take("vmcs: VM entry refused: x"));
	CHECK(!take("vmcs: dump f0c04=1 f4c00=0 f400c=200 m483=20000000000"));
	CHECK(take("vmcs: dump w0=3028"));
	CHECK_STREQ(why, "the VM entry was refused for HOST_SS_SELECTOR = 0x1: a GDT selector with "
			 "RPL 0");
}

TEST(without_its_beginning_a_dump_is_no_dump)
{
	CHECK(!take("vmcs: dump f4000=5 w0=3028"));
	CHECK(!take("vmcs: VM entry refused: x"));
	CHECK(!take("vmcs: dump f99999999=1 m999=1 nonsense"));
	CHECK(take("vmcs: dump w0=3028"));
}
