// SPDX-License-Identifier: MIT
/*
 * What an exit costs, as the guest sees it: booted by PVH under our device model, on Hornero and on
 * Linux's KVM, on an emulator whose time-stamp counter counts instructions.
 *
 * Each row: 1000 rounds after 20 of warm-up, minus the empty loop. Lines "row NAME TICKS-PER-ROUND"
 * on the serial port, then "done", then power off. 32-bit, flat, no paging, interrupts off.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WARM_UP	       20
#define ROUNDS	       1000
#define SERIAL	       0x3f8
#define SLEEP_PORT     0x600
#define SLEEP_S5       0x34
#define CMOS_INDEX     0x70
#define ECAM	       0xe0000000u /* bus 0, device 0: the host bridge */
#define TOUCH_BASE     0x1000000u  /* memory that nobody has used */
#define MSR_MISC       0x1a0
#define MSR_DEADLINE   0x6e0
#define MSR_APIC_BASE  0x1b
#define X2APIC_ENABLE  0xc00
#define MSR_X2APIC_EOI 0x80b
#define MSR_X2APIC_TPR 0x808
#define MSR_X2APIC_SVR 0x80f

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

void bench_main(void)
{
	static const struct {
		const char *name;
		void (*op)(u32);
	} rows[] = {{"cpuid", op_cpuid},
		    {"hypercall", op_vmcall},
		    {"rdmsr", op_rdmsr},
		    {"arm_deadline", op_deadline},
		    {"pio_out", op_out},
		    {"pio_in", op_in},
		    {"mmio_read", op_mmio_read},
		    {"mmio_write", op_mmio_write},
		    {"first_touch", op_touch},
		    {"eoi", op_eoi},
		    {"tpr", op_tpr}};
	u32 lo, hi, empty;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(MSR_APIC_BASE));
	wrmsr(MSR_APIC_BASE, lo | X2APIC_ENABLE, hi);
	wrmsr(MSR_X2APIC_SVR, 0x1ff, 0);
	empty = (u32)measure(op_nothing, ROUNDS, 0);
	for (u32 i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		u32 all = (u32)measure(rows[i].op, ROUNDS, 0);

		print("row ");
		print(rows[i].name);
		print(" ");
		print_number((all - empty + ROUNDS / 2) / ROUNDS);
		print("\n");
	}
	print("done\n");
	outb(SLEEP_PORT, SLEEP_S5);
	for (;;)
		__asm__ volatile("hlt");
}
