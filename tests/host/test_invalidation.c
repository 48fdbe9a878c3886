// SPDX-License-Identifier: MIT
// sources: arch/x86/vmx/vmx.c arch/x86/vmx/vmcs.c arch/x86/vmx/caps.c
// flags: -D_GNU_SOURCE -include tests/fuzz/machine.h -Wno-unused-function -Wno-unused-parameter
/*
 * What is invalidated, and how, with each of INVEPT's and INVVPID's types and VPID itself switched
 * off as the command line does it.
 *
 * The code is the hypervisor's, instructions included: a process may not execute them, so each
 * faults, and the signal's handler writes down what it was, carries it out (flags say success) and
 * steps over it. A VMCS is an array of fields.
 */
#include "test.h"

#include <signal.h>
#include <stdarg.h>
#include <ucontext.h>

#include <log.h>
#include <panic.h>
#include <x86/gdt.h>
#include <x86/mem.h>

enum { SINGLE = 1, ALL = 2 }; /* SDM 3C "INVEPT" and "INVVPID": the same numbers in both */
#define CF_ZF 0x41

static struct done {
	char what[8];
	uint64_t type, context;
} done[8];
static unsigned int count;

static uint64_t fields[1 << 16];

/* ---- the machine */

char idt[1];
const char vmx_exit[1];

struct cpu *machine_cpu(void)
{
	return NULL;
}

uint64_t machine_field(uint32_t encoding)
{
	return fields[encoding];
}

void machine_set_field(uint32_t encoding, uint64_t value)
{
	fields[encoding] = value;
}

void machine_vmclear(hpa_t vmcs)
{
	memset(fields, 0xff, sizeof(fields)); /* nothing is known of a field that was not written */
}

void machine_vmptrld(hpa_t vmcs)
{
}

uint64_t machine_msr(uint32_t msr)
{
	return msr;
}

bool machine_rdmsr(uint32_t msr, uint64_t *value)
{
	return false;
}

hpa_t hpa_of(const void *p)
{
	return HPA((uint64_t)p);
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
}

bool log_allowed(struct log_limit *limit)
{
	return false;
}

void crash(const struct trap_frame *f, const char *fmt, ...)
{
	test_fail(__FILE__, __LINE__, "the hypervisor crashed: %s", fmt);
}

/* ---- instructions */

static uint64_t reg(const mcontext_t *m, unsigned int number)
{
	static const int where[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				    REG_RSI, REG_RDI, REG_R8,  REG_R9,	REG_R10, REG_R11,
				    REG_R12, REG_R13, REG_R14, REG_R15};

	return (uint64_t)m->gregs[where[number]];
}

/* 66 [REX] 0F 38 80|81 ModRM [SIB] [displacement]: SDM 2 "Instruction Format". */
static void carry_out(int signal, siginfo_t *info, void *context)
{
	mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
	const uint8_t *at = (const uint8_t *)m->gregs[REG_RIP];
	uint64_t operand = 0;
	uint8_t rex = 0, modrm;
	int8_t near;
	int32_t far;

	if (*at++ != 0x66)
		abort();
	if ((*at & 0xf0) == 0x40)
		rex = *at++;
	if (at[0] != 0x0f || at[1] != 0x38 || (at[2] != 0x80 && at[2] != 0x81))
		abort();
	snprintf(done[count].what, sizeof(done[count].what), at[2] == 0x80 ? "EPT" : "VPID");
	modrm = at[3];
	at += 4;
	if ((modrm & 7) == 4) { /* a base without index, as for the stack pointer */
		if ((*at >> 3 & 7) != 4 || (rex & 2))
			abort();
		operand = reg(m, (*at++ & 7) | (rex & 1) << 3);
	} else {
		operand = reg(m, (modrm & 7) | (rex & 1) << 3);
	}
	if (modrm >> 6 == 1) {
		memcpy(&near, at, 1);
		operand += (uint64_t)near;
		at += 1;
	} else if (modrm >> 6 == 2) {
		memcpy(&far, at, 4);
		operand += (uint64_t)far;
		at += 4;
	} else if ((modrm & 7) == 5) {
		abort();
	}
	done[count].type = reg(m, (modrm >> 3 & 7) | (rex & 4) << 1);
	done[count++].context = *(const uint64_t *)operand;
	m->gregs[REG_RIP] = (greg_t)at;
	m->gregs[REG_EFL] &= ~CF_ZF;
}

/* ---- the processors, and what they lack */

static void machine(const char *lacks)
{
	struct sigaction action = {.sa_sigaction = carry_out, .sa_flags = SA_SIGINFO};
	size_t length;

	sigaction(SIGILL, &action, NULL);
	sigaction(SIGSEGV, &action, NULL); /* instead, where another hypervisor is beneath */
	memset(&vmx_caps, 0xff, sizeof(vmx_caps));
	for (unsigned int i = 0; i < VMX_WORDS; i++)
		vmx_caps.word[i].must = 0;
	CHECK(!vmx_caps_apply(&vmx_caps, lacks, &length));
	vmx_present = 0;
	for (unsigned int o = 0; o < VMX_OPTIONS; o++)
		if (vmx_caps_has(&vmx_caps, (enum vmx_option)o))
			vmx_present |= BIT64(o);
	count = 0;
}

static void check_done(unsigned int at, const char *what, uint64_t type, uint64_t context)
{
	CHECK(at < count);
	CHECK_STREQ(done[at].what, what);
	CHECK_EQ(done[at].type, type);
	CHECK_EQ(done[at].context, context);
}

TEST(contexts_by_themselves)
{
	machine("");
	vmx_flush_ept(0x123401e);
	vmx_flush_vpid(77);
	CHECK_EQ(count, 2);
	check_done(0, "EPT", SINGLE, 0x123401e);
	check_done(1, "VPID", SINGLE, 77);
	vmx_flush_all();
	CHECK_EQ(count, 4);
	check_done(2, "EPT", ALL, 0);
	check_done(3, "VPID", ALL, 0);
}

TEST(without_single_context_INVEPT)
{
	machine("-invept_single");
	vmx_flush_ept(0x123401e);
	vmx_flush_vpid(77);
	CHECK_EQ(count, 2);
	check_done(0, "EPT", ALL, 0);
	check_done(1, "VPID", SINGLE, 77);
}

TEST(without_single_context_INVVPID)
{
	machine("-invvpid_single");
	vmx_flush_ept(0x123401e);
	vmx_flush_vpid(77);
	CHECK_EQ(count, 2);
	check_done(0, "EPT", SINGLE, 0x123401e);
	check_done(1, "VPID", ALL, 0);
}

/* Entries and exits flush what no tag keeps apart; INVVPID itself may be #UD there. */
TEST(without_VPID)
{
	machine("-vpid");
	vmx_flush_vpid(77);
	CHECK_EQ(count, 0);
	vmx_flush_ept(0x123401e);
	vmx_flush_all();
	CHECK_EQ(count, 2);
	check_done(0, "EPT", SINGLE, 0x123401e);
	check_done(1, "EPT", ALL, 0);
}

TEST(VPID_in_a_VMCS)
{
	static _Alignas(4096) uint8_t page[4096];
	const struct vmcs_setup setup = {.vpid = 77};

	machine("");
	vmx_init_vmcs(page, &setup);
	CHECK(fields[VMCS_CPU2_CONTROLS.encoding] & CPU2_VPID);
	CHECK_EQ(fields[VMCS_VPID.encoding], 77);
	machine("-vpid");
	vmx_init_vmcs(page, &setup);
	CHECK(!(fields[VMCS_CPU2_CONTROLS.encoding] & CPU2_VPID));
	CHECK_EQ(fields[VMCS_VPID.encoding], ~UINT64_C(0)); /* the field may not exist */
}
