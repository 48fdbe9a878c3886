// SPDX-License-Identifier: MIT
/*
 * The end: a crash record. (Refusals: refuse.c.)
 *
 * A crash stops the other CPUs by INIT (it exits from a guest at once; a CPU in root keeps it
 * pending), writes the record piece by piece while showing it on every console, closes it with a
 * checksum, flushes the caches and resets the machine or halts, as `panic=` says. A crash inside a
 * crash closes the record as it is.
 */
#include <panic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <crash.h>
#include <log.h>
#include <platform.h>
#include <x86/asm.h>
#include <x86/exceptions.h>
#include <x86/gdt.h>
#include <x86/lapic.h>
#include <x86/machine.h>
#include <x86/percpu.h>

#define LOG_TAG	       "crash"
#define RECORD_MAGIC   UINT64_C(0x31435248534f5248) /* HROSHRC1 */
#define BACKTRACE_MAX  16
#define LAST_LOG_LINES 64

struct record {
	uint64_t magic;
	uint32_t bytes; /* of text */
	uint32_t sum;
	char text[CRASH_BYTES - 16];
};
static_assert(sizeof(struct record) == CRASH_BYTES, "crash record");

static struct record *record;
static const struct record *previous;
static uint32_t crash_owner; /* 1 + CPU */

bool crash_begun(void)
{
	return __atomic_load_n(&crash_owner, __ATOMIC_ACQUIRE) != 0;
}

void crash_stop_others(void)
{
	__atomic_store_n(&crash_owner, this_cpu()->index + 1, __ATOMIC_SEQ_CST);
	lapic_send_init_all_others();
}

static uint32_t sum_of(const char *s, uint32_t n)
{
	uint32_t a = 1, b = 0; /* as Adler-32 */

	for (uint32_t i = 0; i < n; i++) {
		a = (a + (uint8_t)s[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static bool record_whole(const struct record *r)
{
	return r->magic == RECORD_MAGIC && r->bytes < sizeof(r->text) && r->text[r->bytes] == 0 &&
	       r->sum == sum_of(r->text, r->bytes);
}

void crash_init(void *memory, void *copy)
{
	record = memory;
	if (record_whole(record)) {
		memcpy(copy, record, sizeof(*record));
		previous = copy;
		log_info(
			"the previous boot ended in a crash; 'hornero log --crash' shows the record");
	}
	memset(record, 0, sizeof(*record));
}

const char *crash_previous(void)
{
	return previous ? previous->text : NULL;
}

static void emit(const char *s)
{
	if (record) {
		size_t n = min_u64(strlen(s), sizeof(record->text) - 1 - record->bytes);

		memcpy(record->text + record->bytes, s, n);
		record->bytes += (uint32_t)n;
	}
	log_emergency_write(s);
}

static void __printf(1, 2) emitf(const char *fmt, ...)
{
	char line[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	emit(line);
}

static void emit_line(const char *s)
{
	emitf("%s\n", s);
}

static void record_close(void)
{
	if (!record)
		return;
	record->text[record->bytes] = 0;
	record->sum = sum_of(record->text, record->bytes);
	record->magic = RECORD_MAGIC;
	wbinvd();
	record = NULL; /* what follows is for the consoles only */
}

static void emit_address(const char *what, uint64_t va)
{
	uint64_t offset;
	const char *name = symbol_name(va, &offset);

	if (name)
		emitf("%s %016lx %s+%#lx\n", what, va, name, offset);
	else
		emitf("%s %016lx\n", what, va);
}

static void emit_registers(const struct trap_frame *f)
{
	emit_address("rip", f->rip);
	emitf("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
	emitf("rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", f->rsi, f->rdi, f->rbp, f->rsp);
	emitf("r8  %016lx r9  %016lx r10 %016lx r11 %016lx\n", f->r8, f->r9, f->r10, f->r11);
	emitf("r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", f->r12, f->r13, f->r14, f->r15);
	emitf("cr0 %016lx cr2 %016lx cr3 %016lx cr4 %016lx flags %lx\n", read_cr0(), read_cr2(),
	      read_cr3(), read_cr4(), f->rflags);
}

/* Follow frame pointers upwards from @rbp; each must lie in the same stack, above the one before.
 */
static void emit_backtrace(uint64_t rbp)
{
	uint64_t lo, hi;

	if (!stack_bounds(rbp, &lo, &hi))
		return;
	for (int i = 0; i < BACKTRACE_MAX && rbp >= lo && rbp <= hi - 16 && is_aligned(rbp, 8);
	     i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (!frame[1])
			break;
		emit_address("  called from", frame[1] - 1);
		lo = rbp + 1;
		rbp = frame[0];
	}
}

static void emit_log(void)
{
	uint64_t head = log_head();
	uint64_t pos = head > LAST_LOG_LINES ? head - LAST_LOG_LINES : 0;
	char text[512];
	size_t n;

	emit("last log lines:\n");
	while ((n = log_read(&pos, text, sizeof(text) - 1)) > 0) {
		text[n] = 0;
		emit(text);
	}
}

static void __noreturn finish(const char *reason)
{
	record_close();
	emitf("Hornero crashed on CPU %u: %s\n", this_cpu()->index,
	      reason); /* 25 lines show the end */
	if (platform.panic_seconds == PANIC_HALT) {
		emit("halted (panic=halt)\n");
		cpu_halt_forever();
	}
	emitf("reset in %lu s (panic=)\n", platform.panic_seconds);
	for (uint64_t i = 0; i < platform.panic_seconds; i++)
		delay_us(1000000);
	machine_reset();
}

/* As they are in crash(), which has changed some of its caller's; RIP is the call. */
static inline __attribute__((always_inline)) void take_registers(struct trap_frame *f)
{
	const uint64_t *frame = __builtin_frame_address(0);

	__asm__ volatile("mov %%rax, %0\n\tmov %%rbx, %1\n\tmov %%rcx, %2\n\tmov %%rdx, %3\n\t"
			 "mov %%rsi, %4\n\tmov %%rdi, %5\n\tmov %%r8, %6\n\tmov %%r9, %7\n\t"
			 "mov %%r10, %8\n\tmov %%r11, %9\n\tmov %%r12, %10\n\tmov %%r13, %11\n\t"
			 "mov %%r14, %12\n\tmov %%r15, %13\n\tpushfq\n\tpopq %14"
			 : "=m"(f->rax), "=m"(f->rbx), "=m"(f->rcx), "=m"(f->rdx), "=m"(f->rsi),
			   "=m"(f->rdi), "=m"(f->r8), "=m"(f->r9), "=m"(f->r10), "=m"(f->r11),
			   "=m"(f->r12), "=m"(f->r13), "=m"(f->r14), "=m"(f->r15), "=m"(f->rflags));
	f->rbp = frame[0];
	f->rip = frame[1] - 1;
	f->rsp = (uint64_t)(frame + 2);
}

void crash(const struct trap_frame *f, const char *fmt, ...)
{
	static char reason[160];
	struct trap_frame own;
	uint32_t me = this_cpu()->index + 1, nobody = 0;
	va_list ap;

	if (!f) {
		take_registers(&own);
		f = &own;
	}
	if (!__atomic_compare_exchange_n(&crash_owner, &nobody, me, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST)) {
		if (nobody != me)
			cpu_halt_forever(); /* another CPU is at it */
		emit("\ncrashed while writing the crash record\n");
		emit_address("rip", f->rip);
		finish(reason);
	}
	lapic_send_init_all_others();
	log_emergency_begin();
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	emitf("\n=== Hornero crashed on CPU %u: %s\n", me - 1, reason);
	emit_registers(f);
	emit_backtrace(f->rbp);
	emit("last exits of this CPU:\n");
	virt_crash_exits(emit_line);
	emit("last exit of other CPUs (3: stopped by this crash):\n");
	virt_crash_others(emit_line);
	emit_log();
	emit("=== end of the crash record\n");
	finish(reason);
}
