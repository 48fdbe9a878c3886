// SPDX-License-Identifier: MIT
// sources: arch/x86/vmx/control_apic.c arch/x86/vmx/icr.c arch/x86/vmx/store.c
// flags: -pthread
/*
 * Starting CPUs without the wait-for-SIPI state: whom a write of the interrupt command register
 * starts, in xAPIC and in x2APIC mode, and what must go to the real APIC. Linux leaves x2APIC mode
 * in Bochs, so that one runs nowhere else.
 */
#include "test.h"

#include <pthread.h>

#include <log.h>
#include <x86/lapic.h>
#include <x86/mem.h>
#include <x86/vmx/vmx.h>

#define CPUS	 6
#define WAITING	 1u
#define RECEIVED 0x100u
#define VECTOR	 0x9a
#define NOBODY	 0u
#define PASSED	 0x100u /* no SIPI of ours: the processor's */

#define SIPI	   0x600u
#define INIT	   0x500u
#define ASSERT	   0x4000u
#define LEVEL	   0x8000u
#define LOGICAL	   0x800u
#define SELF	   0x40000u
#define ALL	   0x80000u
#define ALL_OTHERS 0xc0000u

/* The control domain sends from the first; the last runs and waits for nothing. */
static const uint32_t apic_ids[CPUS] = {0, 2, 5, 0x21, 0x12345, 7};
static struct cpu cpu[CPUS], *table[CPUS];
static struct vmx_cpu vmx[CPUS];
static bool mode;

unsigned int cpu_count = CPUS;
struct cpu **cpu_table = table;

bool lapic_x2apic(void)
{
	return mode;
}

/* --- what only stores to the APIC's page need --- */

volatile uint32_t *lapic_register(unsigned int offset)
{
	abort();
	return (volatile uint32_t *)(uintptr_t)offset;
}

void *window_open(hpa_t pa)
{
	(void)pa;
	abort();
}

void window_close(void)
{
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	(void)level, (void)tag, (void)fmt;
}

bool log_allowed(struct log_limit *limit)
{
	(void)limit;
	return true;
}

void vmx_inject_exception(uint8_t vector, int64_t error)
{
	(void)vector, (void)error;
}

void vmcs_access_failed(uint32_t encoding)
{
	(void)encoding;
	abort();
}

static void reset(bool x2apic)
{
	mode = x2apic;
	memset(vmx, 0, sizeof(vmx));
	for (unsigned int i = 0; i < CPUS; i++) {
		cpu[i] = (struct cpu){
			.self = &cpu[i], .index = i, .apic_id = apic_ids[i], .vmx = &vmx[i]};
		table[i] = &cpu[i];
		vmx[i].sipi = i == 0 || i == CPUS - 1 ? 0 : WAITING;
	}
}

/* all who wait */
#define EVERYBODY (1 << 1 | 1 << 2 | 1 << 3 | 1 << 4)

/* Bit n: CPU n was started, with the right vector; or PASSED. */
static uint32_t started(uint64_t icr, bool x2apic)
{
	uint32_t who = 0;
	bool ours;

	reset(x2apic);
	ours = control_sipi_sent(icr, x2apic);
	for (unsigned int i = 0; i < CPUS; i++) {
		bool waited = i != 0 && i != CPUS - 1;

		if (vmx[i].sipi == (RECEIVED | VECTOR))
			who |= 1u << i;
		else
			CHECK_EQ(vmx[i].sipi, waited ? WAITING : 0);
	}
	CHECK(ours || !who);
	return ours ? who : PASSED;
}

struct row {
	const char *what;
	uint64_t icr;
	uint32_t who;
};

static void check(const struct row *rows, size_t n, bool x2apic)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t who = started(rows[i].icr, x2apic);

		if (who != rows[i].who)
			test_fail(__FILE__, __LINE__, "%s: %#x", rows[i].what, who);
	}
}

#define XAPIC(to, low)	((uint64_t)(to) << 56 | (low) | VECTOR)
#define X2APIC(to, low) ((uint64_t)(to) << 32 | (low) | VECTOR)

TEST(xapic)
{
	static const struct row rows[] = {
		{"to one", XAPIC(2, SIPI), 1 << 1},
		{"to another, asserted as Linux does not", XAPIC(0x21, SIPI | ASSERT), 1 << 3},
		{"level-triggered", XAPIC(5, SIPI | ASSERT | LEVEL), 1 << 2},
		{"to one who runs", XAPIC(7, SIPI), NOBODY},
		{"to nobody", XAPIC(3, SIPI), NOBODY},
		{"to the sender", XAPIC(0, SIPI), NOBODY},
		{"broadcast", XAPIC(0xff, SIPI), EVERYBODY},
		{"the reserved half is not looked at", XAPIC(2, SIPI) | X2APIC(0xffffff, 0),
		 1 << 1},
		{"bits that only x2APIC minds", XAPIC(2, SIPI | 0x1000), 1 << 1},
		{"all but self, whatever the destination", XAPIC(0x21, SIPI | ALL_OTHERS),
		 EVERYBODY},
		{"self", XAPIC(2, SIPI | SELF), PASSED},
		{"self, destination broadcast", XAPIC(0xff, SIPI | SELF), PASSED},
		{"all with self", XAPIC(2, SIPI | ALL), PASSED},
		{"logical: after INIT nobody has one", XAPIC(2, SIPI | LOGICAL), NOBODY},
		{"logical broadcast", XAPIC(0xff, SIPI | LOGICAL), EVERYBODY},
		{"INIT", XAPIC(2, INIT | ASSERT), PASSED},
		{"INIT, level", XAPIC(2, INIT | ASSERT | LEVEL), PASSED},
		{"INIT de-assert", XAPIC(2, INIT | LEVEL), PASSED},
		{"INIT to all others", XAPIC(0, INIT | ASSERT | ALL_OTHERS), PASSED},
		{"NMI", XAPIC(2, 0x400), PASSED},
		{"fixed", XAPIC(2, 0), PASSED},
		{"lowest priority", XAPIC(2, 0x100), PASSED},
		{"SMI", XAPIC(2, 0x200), PASSED},
		{"the unused mode", XAPIC(2, 0x700), PASSED},
	};

	check(rows, sizeof(rows) / sizeof(*rows), false);
}

TEST(x2apic)
{
	static const struct row rows[] = {
		{"to one", X2APIC(2, SIPI), 1 << 1},
		{"to another, asserted", X2APIC(0x21, SIPI | ASSERT), 1 << 3},
		{"to an id above 255", X2APIC(0x12345, SIPI), 1 << 4},
		{"to nobody: its low byte", X2APIC(0x45, SIPI), NOBODY},
		{"to nobody: 32 bits count", X2APIC(0x102, SIPI), NOBODY},
		{"to nobody: xAPIC's field", XAPIC(2, SIPI), NOBODY},
		{"to one who runs", X2APIC(7, SIPI), NOBODY},
		{"to the sender", X2APIC(0, SIPI), NOBODY},
		{"xAPIC's broadcast is an id like others", X2APIC(0xff, SIPI), NOBODY},
		{"broadcast", X2APIC(0xffffffff, SIPI), EVERYBODY},
		{"all but self", X2APIC(0, SIPI | ALL_OTHERS), EVERYBODY},
		{"self", X2APIC(2, SIPI | SELF), PASSED},
		{"self, destination broadcast", X2APIC(0xffffffff, SIPI | SELF), PASSED},
		{"all with self", X2APIC(2, SIPI | ALL), PASSED},
		{"logical: ids 2 and 5 of cluster 0", X2APIC(0x24, SIPI | LOGICAL),
		 1 << 1 | 1 << 2},
		{"logical: id 1 of cluster 2", X2APIC(0x20002, SIPI | LOGICAL), 1 << 3},
		{"logical: id 5 of cluster 1234h", X2APIC(0x12340020, SIPI | LOGICAL), 1 << 4},
		{"logical: of a cluster without CPUs", X2APIC(0x10024, SIPI | LOGICAL), NOBODY},
		{"reserved: delivery status", X2APIC(2, SIPI | 0x1000), PASSED},
		{"reserved: bit 13", X2APIC(2, SIPI | 0x2000), PASSED},
		{"reserved: bit 16", X2APIC(2, SIPI | 0x10000), PASSED},
		{"reserved: bit 20", X2APIC(2, SIPI | 0x100000), PASSED},
		{"reserved: bit 31", X2APIC(2, SIPI | 0x80000000), PASSED},
		{"INIT", X2APIC(2, INIT | ASSERT), PASSED},
		{"INIT de-assert", X2APIC(2, INIT | LEVEL), PASSED},
		{"INIT to all others", X2APIC(0, INIT | ASSERT | ALL_OTHERS), PASSED},
		{"NMI", X2APIC(2, 0x400), PASSED},
		{"fixed", X2APIC(2, 0), PASSED},
		{"self-IPI", X2APIC(0, SELF), PASSED},
	};

	check(rows, sizeof(rows) / sizeof(*rows), true);
}

/* WRMSR of the register in xAPIC mode faults; a store to the page in x2APIC mode goes nowhere. */
TEST(register_of_the_other_mode)
{
	reset(false);
	CHECK(!control_sipi_sent(X2APIC(2, SIPI), true));
	CHECK_EQ(vmx[1].sipi, WAITING);
	reset(true);
	CHECK(!control_sipi_sent(XAPIC(2, SIPI), false));
	CHECK_EQ(vmx[1].sipi, WAITING);
}

static void *await(void *v)
{
	return (void *)(uintptr_t)control_await_sipi(v);
}

/* What came before the INIT is forgotten; the second of two SIPIs finds nobody who waits. */
TEST(wait_and_go)
{
	pthread_t thread;
	void *vector;

	reset(true);
	vmx[1].sipi = RECEIVED | 0x11;
	vmx[1].nmi_owed = true;
	pthread_create(&thread, NULL, await, &vmx[1]);
	while (__atomic_load_n(&vmx[1].sipi, __ATOMIC_ACQUIRE) != WAITING)
		sched_yield();
	CHECK(control_sipi_sent(X2APIC(2, SIPI), true));
	CHECK(control_sipi_sent(X2APIC(2, SIPI) - 1, true));
	pthread_join(thread, &vector);
	CHECK_EQ((uintptr_t)vector, VECTOR);
	CHECK(!vmx[1].nmi_owed);
}
