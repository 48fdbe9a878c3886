// SPDX-License-Identifier: MIT
/*
 * What an exit costs, as the guest sees it: booted by PVH under our device model, on Hornero and on
 * Linux's KVM, on an emulator whose time-stamp counter counts instructions.
 *
 * Each row: 1000 rounds after 20 of warm-up, minus the empty loop. Lines "row NAME TICKS-PER-ROUND"
 * on the serial port, then "done", then power off. 32-bit, flat, no paging, interrupts off but
 * where a row is about one. Before all that, "creation": the guest's clock starts when it is
 * created.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WARM_UP		   20
#define ROUNDS		   1000
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
#define HLT_ROUNDS	   50
#define HLT_TICKS	   3000000 /* 30 ms of the emulated machine: nobody polls that long */
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
	print(digits + i);
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
static volatile u32 interrupts;
static u64 arrived;

struct frame;
static void __attribute__((interrupt)) handler(struct frame *f)
{
	(void)f;
	arrived = tsc();
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

/* From the deadline to the handler, the CPU halted meanwhile. */
static u32 hlt_wake(void)
{
	u64 late = 0;

	for (u32 i = 0; i < HLT_ROUNDS; i++) {
		u64 deadline = tsc() + HLT_TICKS;

		wrmsr(MSR_DEADLINE, (u32)deadline, (u32)(deadline >> 32));
		__asm__ volatile("sti; hlt; cli" ::: "memory");
		late += arrived - deadline;
	}
	return (u32)late / HLT_ROUNDS;
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

/* Not inlined: every row pays the same call. */
static u64 __attribute__((noinline)) measure(void (*op)(u32), u32 rounds, u32 first)
{
	u64 start;

	for (u32 i = 0; i < WARM_UP; i++)
		op(first + i);
	start = tsc();
	for (u32 i = 0; i < rounds; i++)
		op(first + WARM_UP + i);
	return tsc() - start;
}

static void row(const char *name, u32 ticks)
{
	print("row ");
	print(name);
	print(" ");
	print_number(ticks);
	print("\n");
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
	print("done\n");
	outb(SLEEP_PORT, SLEEP_S5);
	for (;;)
		__asm__ volatile("hlt");
}

void bench_main(u32 creation, const u32 *start_info)
{
	const char *cmdline = (const char *)start_info[START_INFO_CMDLINE];
	static const struct {
		const char *name;
		void (*op)(u32);
	} rows[] = {{"cpuid", op_cpuid},
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
		    {"tpr", op_tpr}};
	u32 lo, hi, empty;

	if (cmdline && *cmdline >= '0' && *cmdline <= '9') {
		touch_all(cmdline);
		power_off();
	}
	row("creation", creation);
	set_up_interrupts();
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(MSR_APIC_BASE));
	wrmsr(MSR_APIC_BASE, lo | X2APIC_ENABLE, hi);
	wrmsr(MSR_X2APIC_SVR, 0x1ff, 0);
	wrmsr(MSR_X2APIC_LVT, LVT_DEADLINE | VECTOR, 0);
	empty = (u32)measure(op_nothing, ROUNDS, 0);
	for (u32 i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		u32 all;

		if (rows[i].op == op_self_ipi)
			__asm__ volatile("sti");
		all = (u32)measure(rows[i].op, ROUNDS, 0);
		__asm__ volatile("cli");
		row(rows[i].name, (all - empty + ROUNDS / 2) / ROUNDS);
		wrmsr(MSR_DEADLINE, 0, 0);
	}
	row("hlt_wake", hlt_wake());
	power_off();
}
