// SPDX-License-Identifier: MIT
/*
 * What an operation costs: booted by PVH under our device model, or by client.c, on Hornero and on
 * Linux's KVM. The emulator counts (mark.h); this only says where a row begins and ends.
 *
 * Each row: "row NAME ROUNDS", then BATCHES batches of rounds with a mark after each. A batch that
 * the host's timer tick falls into costs more than the others: who reads the marks takes the
 * median. 32-bit, flat, no paging, interrupts off but where a row is about one. The first letter of
 * the command line says what to do, see bench_main().
 */
#include "mark.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define BATCHES		   10
#define ROUNDS		   100 /* of a batch */
#define SERIAL		   0x3f8
#define SLEEP_PORT	   0x600
#define SLEEP_S5	   0x34
#define CMOS_INDEX	   0x70
#define ECAM		   0xe0000000u /* bus 0, device 0: the host bridge */
#define TOUCH_BASE	   0x1000000u  /* memory that nobody has used */
#define START_INFO_CMDLINE 6	       /* in words of 32 bits; its upper half is 0 */
#define MSR_MISC	   0x1a0
#define MSR_DEADLINE	   0x6e0
#define MSR_APIC_BASE	   0x1b
#define X2APIC_ENABLE	   0xc00
#define MSR_X2APIC_EOI	   0x80b
#define MSR_X2APIC_ICR	   0x830
#define MSR_X2APIC_LVT	   0x832 /* of the timer */
#define LVT_DEADLINE	   0x40000
#define ICR_SELF	   0x40000
#define VECTOR		   0x40
#define HLT_ROUNDS	   40
#define HLT_TICKS	   3000000 /* 30 ms of the emulated machine: nobody polls that long */
#define HLT_SHORT_TICKS	   8000	   /* 80 us: KVM polls, if it may */
#define SPIN_ROUNDS	   10000000
#define BELL_PORT	   0x700       /* ioeventfds of client.c */
#define BELL		   0xd0000000u /* of any length */
#define BELL_4		   0xd0001000u /* of 4 bytes */
#define CODE_SELECTOR	   8
#define GATE_32		   0x8e00
#define MSR_X2APIC_TPR	   0x808
#define MSR_X2APIC_SVR	   0x80f

static u64 tsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

static void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "d"(port));
}

static void wrmsr(u32 msr, u32 lo, u32 hi)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"(lo), "d"(hi));
}

static void print(const char *s)
{
	while (*s)
		outb(SERIAL, (u8)*s++);
}

static void print_number(u32 n)
{
	char digits[12];
	int i = 11;

	digits[i] = 0;
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	mark_text(digits + i);
}

static void op_nothing(u32 i)
{
	(void)i;
}

static void op_cpuid(u32 i)
{
	u32 a = 1, b, c = 0, d;

	(void)i;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static void op_vmcall(u32 i)
{
	u32 a = 99;

	(void)i;
	__asm__ volatile("vmcall" : "+a"(a)::"memory");
}

static void op_rdmsr(u32 i)
{
	u32 lo, hi;

	(void)i;
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(MSR_MISC));
}

static void op_deadline(u32 i)
{
	(void)i;
	wrmsr(MSR_DEADLINE, 0, 0x7fffffff);
}

struct gate {
	u16 offset, selector, flags, offset_high;
};
static struct gate idt[VECTOR + 1];
static volatile u32 interrupts, marks;
static u64 arrived;

struct frame;
static void __attribute__((interrupt)) handler(struct frame *f)
{
	(void)f;
	arrived = tsc();
	if (marks)
		mark(MARK_BATCH);
	interrupts++;
	wrmsr(MSR_X2APIC_EOI, 0, 0);
}

static void set_up_interrupts(void)
{
	static const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
	struct __attribute__((packed)) {
		u16 limit;
		u32 base;
	} gdtr = {sizeof(gdt) - 1, (u32)gdt}, idtr = {sizeof(idt) - 1, (u32)idt};

	idt[VECTOR] =
		(struct gate){(u16)(u32)handler, CODE_SELECTOR, GATE_32, (u16)((u32)handler >> 16)};
	__asm__ volatile("lgdt %0\n"
			 "ljmp $8, $1f\n"
			 "1: mov $16, %%eax\n"
			 "mov %%eax, %%ds\nmov %%eax, %%es\nmov %%eax, %%ss\n"
			 "lidt %1" ::"m"(gdtr),
			 "m"(idtr)
			 : "eax", "memory");
}

/* Interrupts are on in this row. */
static void op_self_ipi(u32 i)
{
	u32 before = interrupts;

	(void)i;
	wrmsr(MSR_X2APIC_ICR, ICR_SELF | VECTOR, 0);
	while (interrupts == before)
		;
}

/* A mark in each round, in front of the handler's EOI, and how late the handler was. */
static void hlt_wake(const char *name, u32 ticks)
{
	mark_text("row ");
	mark_text(name);
	mark_text(" 1\n");
	marks = 1;
	for (u32 i = 0; i < HLT_ROUNDS; i++) {
		u64 deadline = tsc() + ticks;

		mark(MARK_ANEW);
		wrmsr(MSR_DEADLINE, (u32)deadline, (u32)(deadline >> 32));
		__asm__ volatile("sti; hlt; cli" ::: "memory");
		mark_text("late ");
		print_number((u32)(arrived - deadline));
		mark_text("\n");
	}
	marks = 0;
}

static void op_out(u32 i)
{
	(void)i;
	outb(CMOS_INDEX, 0x0d);
}

static void op_in(u32 i)
{
	u8 v;

	(void)i;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "d"((u16)(CMOS_INDEX + 1)));
}

static void op_mmio_read(u32 i)
{
	(void)i;
	(void)*(volatile u32 *)ECAM;
}

static void op_mmio_write(u32 i)
{
	(void)i;
	*(volatile u32 *)ECAM = 0; /* the id register: read-only */
}

static void op_touch(u32 i)
{
	*(volatile u32 *)(TOUCH_BASE + i * 4096) = i;
}

static void op_eoi(u32 i)
{
	(void)i;
	wrmsr(MSR_X2APIC_EOI, 0, 0);
}

static void op_tpr(u32 i)
{
	(void)i;
	wrmsr(MSR_X2APIC_TPR, 0x20, 0);
}

static void op_bell_port(u32 i)
{
	outb(BELL_PORT, (u8)i);
}

static void op_bell(u32 i)
{
	*(volatile u32 *)BELL = i;
}

static void op_bell_4(u32 i)
{
	*(volatile u32 *)BELL_4 = i;
}

/* Not inlined: every row pays the same call. */
static void __attribute__((noinline)) measure(const char *name, void (*op)(u32))
{
	mark_text("row ");
	mark_text(name);
	mark_text(" ");
	print_number(ROUNDS);
	mark_text("\n");
	for (u32 batch = 0; batch < BATCHES; batch++) {
		mark(MARK_ANEW);
		for (u32 i = 0; i < ROUNDS; i++)
			op(batch * ROUNDS + i);
		mark(MARK_BATCH);
	}
}

/* What the host's own timer tick takes from a guest that computes. */
static void spin(void)
{
	mark_text("row host_tick 1\n");
	mark(MARK_ANEW);
	for (volatile u32 i = 0; i < SPIN_ROUNDS; i++)
		;
	mark(MARK_BATCH);
}

/* The command line is how many MiB to touch, if that is all there is to do. */
static void touch_all(const char *mib)
{
	u32 n = 0;

	while (*mib >= '0' && *mib <= '9')
		n = n * 10 + (u32)(*mib++ - '0');
	for (u32 at = TOUCH_BASE; at < n << 20; at += 4096)
		*(volatile u32 *)at = at;
}

static void power_off(void)
{
	mark(MARK_END);
	print("done\n");
	outb(SLEEP_PORT, SLEEP_S5);
	for (;;)
		__asm__ volatile("hlt");
}

struct row {
	const char *name;
	void (*op)(u32);
};

/* These need a client that binds ioeventfds. */
static const struct row bells[] = {
	{"empty", op_nothing},
	{"doorbell_pio", op_bell_port},
	{"doorbell_mmio", op_bell},
	{"doorbell_mmio_4", op_bell_4},
	{"pio_out_tiny", op_out},
	{"pio_in_tiny", op_in},
	{"mmio_read_tiny", op_mmio_read},
	{"mmio_write_tiny", op_mmio_write},
};

static const struct row rows[] = {
	{"empty", op_nothing},
	{"cpuid", op_cpuid},
	{"hypercall", op_vmcall},
	{"rdmsr", op_rdmsr},
	{"arm_deadline", op_deadline},
	{"self_ipi", op_self_ipi},
	{"pio_out", op_out},
	{"pio_in", op_in},
	{"mmio_read", op_mmio_read},
	{"mmio_write", op_mmio_write},
	{"first_touch", op_touch},
	{"eoi", op_eoi},
	{"tpr", op_tpr},
};

static void set_up_apic(void)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(MSR_APIC_BASE));
	wrmsr(MSR_APIC_BASE, lo | X2APIC_ENABLE, hi);
	wrmsr(MSR_X2APIC_SVR, 0x1ff, 0);
	wrmsr(MSR_X2APIC_LVT, LVT_DEADLINE | VECTOR, 0);
}

static void measure_all(void)
{
	for (u32 i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].op == op_self_ipi)
			__asm__ volatile("sti");
		measure(rows[i].name, rows[i].op);
		__asm__ volatile("cli");
		wrmsr(MSR_DEADLINE, 0, 0);
	}
	spin();
	hlt_wake("hlt_wake", HLT_TICKS);
}

/* Digits: touch so many MiB. b: the doorbells; p: short halts, for who polls; else all rows. */
void bench_main(u32 unused, const u32 *start_info)
{
	const char *cmdline = (const char *)start_info[START_INFO_CMDLINE];
	char what = cmdline ? *cmdline : 0;

	(void)unused;
	if (what >= '0' && what <= '9') {
		touch_all(cmdline);
		power_off();
	}
	if (what == 'b') {
		for (u32 i = 0; i < sizeof(bells) / sizeof(*bells); i++)
			measure(bells[i].name, bells[i].op);
		power_off();
	}
	set_up_interrupts();
	set_up_apic();
	if (what == 'p')
		hlt_wake("hlt_wake_polled", HLT_SHORT_TICKS);
	else
		measure_all();
	power_off();
}
