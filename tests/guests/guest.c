// SPDX-License-Identifier: MIT
/*
 * Console, exceptions, local APIC and the start of other processors. See guest.h.
 *
 * Characters go to the 16550 at 3F8h. The bare machine's is slow and has to be waited for; the
 * device model's is not, and each look at it costs an exit.
 */
#include "guest.h"

#include <stdarg.h>

#define COM1		  0x3f8
#define COM1_STATUS	  0x3fd
#define TRANSMITTER_EMPTY 0x20
#define TRANSMITTER_IDLE  0x40
#define POWER_CONTROL	  0x600 /* the device model's sleep control register */
#define POWER_OFF	  0x34	/* sleep enable, type 5 */
#define BOCHS_SHUTDOWN	  0x8900
#define PIC_MASK_1	  0x21
#define PIC_MASK_2	  0xa1
#define PVH_MAGIC	  0x336ec578
#define MB2_LOADER_MAGIC  0x36d76289
#define WAIT_TICKS	  UINT64_C(1000000000)
#define AP_PAGE		  0x8000
#define XAPIC		  UINT64_C(0xfee00000)
#define GATE_INTERRUPT	  UINT64_C(0x8e00)
#define GATE_USER	  UINT64_C(0xee00)
#define CODE_SELECTOR	  UINT64_C(0x08)
#define TSS_SELECTOR	  0x30

struct gate {
	uint64_t low, high;
} idt[256];

static struct {
	uint32_t limit_bytes;
	uint32_t rsp0[2];
	uint32_t rest[23];
} tss = {.rest[22] = 104 << 16};

static uint64_t probe_pd[512] __attribute__((aligned(4096)));
static uint64_t probe_pt[512] __attribute__((aligned(4096)));
uint8_t probe_page[4096] __attribute__((aligned(4096)));

volatile struct fault fault;
volatile uint32_t irq_count[256], irq_before_hlt;
volatile bool no_eoi;
const char *guest_cmdline = "";
bool under_hypervisor, apic_x2;
uint64_t ram_end;
void (*ap_main)(unsigned int number);
volatile uint32_t aps_up;

extern char stubs[], irq_stack_end[], ap_trampoline[], ap_trampoline_end[], user_return[];
extern uint32_t boot_magic, boot_info, ap_tickets;

static unsigned int tests, failures;

static void print_char(char c)
{
	while (!under_hypervisor && !(inb(COM1_STATUS) & TRANSMITTER_EMPTY))
		;
	outb(COM1, (uint8_t)c);
}

static void print_number(uint64_t value, unsigned int base)
{
	char text[20];
	unsigned int n = 0;

	do
		text[n++] = "0123456789abcdef"[value % base];
	while (value /= base);
	while (n)
		print_char(text[--n]);
}

static void print_list(const char *format, va_list args)
{
	for (; *format; format++) {
		if (*format != '%') {
			print_char(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *s = va_arg(args, const char *); *s; s++)
				print_char(*s);
			break;
		case 'u':
			print_number(va_arg(args, uint64_t), 10);
			break;
		case 'x':
			print_number(va_arg(args, uint64_t), 16);
			break;
		}
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_list(format, args);
	va_end(args);
}

void report_result(bool ok, const char *format, ...)
{
	va_list args;

	tests++;
	failures += !ok;
	print(ok ? "ok   " : "FAIL ");
	va_start(args, format);
	print_list(format, args);
	va_end(args);
	print("\n");
}

void power_off(void)
{
	if (under_hypervisor)
		outb(POWER_CONTROL, POWER_OFF);
	while (!(inb(COM1_STATUS) & TRANSMITTER_IDLE))
		; /* what was said last is still under way */
	if (!under_hypervisor)
		for (const char *s = "Shutdown"; *s; s++)
			outb(BOCHS_SHUTDOWN, (uint8_t)*s);
	for (;;)
		asm volatile("cli; hlt");
}

void finish(void)
{
	print("SUMMARY: %u tests, %u failures\n", (uint64_t)tests, (uint64_t)failures);
	power_off();
}

/* --- exceptions and interrupts --- */

static uint64_t read_dr6(void)
{
	uint64_t v;

	asm volatile("mov %%dr6, %0" : "=r"(v));
	return v;
}

void guest_trap(struct trap_frame *f)
{
	uint64_t address;

	asm volatile("mov %%cr2, %0" : "=r"(address));
	if (f->vector == VECTOR_NMI) {
		__atomic_add_fetch(&irq_count[VECTOR_NMI], 1, __ATOMIC_SEQ_CST);
		return;
	}
	if (f->vector >= 32 && f->vector != VECTOR_USER_RETURN) {
		if (*(volatile uint8_t *)f->rip == 0xf4) {
			irq_before_hlt++;
			f->rip++; /* told, so that it needs no sleep without end to show */
		}
		__atomic_add_fetch(&irq_count[f->vector], 1, __ATOMIC_SEQ_CST);
		if (!no_eoi && f->vector != VECTOR_SPURIOUS)
			apic_write(APIC_EOI, 0);
		return;
	}
	if (!fault_resume) {
		print("UNEXPECTED exception %u error %x RIP %x CR2 %x CS %x RSP %x\n", f->vector,
		      f->error, f->rip, address, f->cs, f->rsp);
		report(false, "no unexpected exception");
		finish();
	}
	fault.vector = f->vector;
	fault.error = f->error;
	fault.address = address;
	fault.rip = f->rip;
	fault.dr6 = read_dr6();
	if (f->cs != CODE_SELECTOR) { /* in_user_mode() takes its stack back itself */
		f->cs = CODE_SELECTOR;
		f->ss = 0x10;
		f->rsp = (uint64_t)irq_stack_end;
	}
	f->rflags &= ~UINT64_C(0x40300); /* TF, IF, AC */
	f->rip = fault_resume;
	fault_resume = 0;
}

static void load_idt(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} pointer = {sizeof(idt) - 1, (uint64_t)idt};

	asm volatile("lidt %0" : : "m"(pointer));
}

static void set_up_traps(void)
{
	uint64_t base = (uint64_t)&tss;

	for (unsigned int i = 0; i < 256; i++) {
		uint64_t to = (uint64_t)stubs + i * 16;
		uint64_t kind = i == 3 || i == VECTOR_USER_RETURN ? GATE_USER : GATE_INTERRUPT;

		idt[i].low = (to & 0xffff) | CODE_SELECTOR << 16 | kind << 32 |
			     (to >> 16 & 0xffff) << 48;
		idt[i].high = to >> 32;
	}
	load_idt();
	tss.rsp0[0] = (uint32_t)(uint64_t)irq_stack_end;
	gdt[TSS_SELECTOR / 8] = (base & 0xffffff) << 16 | UINT64_C(0x890000000000) |
				(base >> 24 & 0xff) << 56 | (sizeof(tss) - 1);
	gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
	asm volatile("ltr %w0" : : "r"(TSS_SELECTOR));
}

void map_probe(uint64_t entry)
{
	pdpt[PROBE >> 30] = (uint64_t)probe_pd | 7;
	probe_pd[0] = (uint64_t)probe_pt | 7;
	probe_pt[0] = entry;
	asm volatile("invlpg (%0)" : : "r"(PROBE) : "memory");
}

/* --- local APIC --- */

uint32_t apic_read(unsigned int reg)
{
	uint64_t value = 0;

	if (!apic_x2)
		return *(volatile uint32_t *)(XAPIC + reg);
	asm volatile("rdmsr" : "=a"(value) : "c"(0x800 + reg / 16) : "rdx");
	return (uint32_t)value;
}

void apic_write(unsigned int reg, uint32_t value)
{
	if (apic_x2)
		asm volatile("wrmsr" : : "c"(0x800 + reg / 16), "a"(value), "d"(0) : "memory");
	else
		*(volatile uint32_t *)(XAPIC + reg) = value;
}

void apic_send(uint32_t destination, uint32_t low)
{
	if (apic_x2) {
		asm volatile("wrmsr" : : "c"(0x830), "a"(low), "d"(destination) : "memory");
		return;
	}
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR, low);
}

void apic_disable(void)
{
	wrmsr_try(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~UINT64_C(0xc00));
	apic_x2 = false;
}

void apic_enable(bool x2apic)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!x2apic && (base & 0x400)) { /* only by way of disabled */
		apic_disable();
		base = rdmsr(MSR_APIC_BASE);
	}
	wrmsr_try(MSR_APIC_BASE, base | 0x800);
	if (x2apic)
		wrmsr_try(MSR_APIC_BASE, base | 0xc00);
	apic_x2 = x2apic;
	apic_write(APIC_SPIV, 0x100 | VECTOR_SPURIOUS);
	apic_write(APIC_TPR, 0);
}

bool wait_irq(unsigned int vector, uint32_t count)
{
	uint64_t end = rdtsc() + WAIT_TICKS;

	while (irq_count[vector] < count)
		if (rdtsc() > end)
			return false;
	return true;
}

/* --- other processors --- */

void guest_start_ap(void)
{
	load_idt();
	apic_enable(apic_x2);
	unsigned int number = __atomic_add_fetch(&aps_up, 1, __ATOMIC_SEQ_CST);

	ap_main(number);
}

static bool wait_others(unsigned int expected, uint64_t ticks)
{
	uint64_t end = rdtsc() + ticks;

	while (aps_up < expected && rdtsc() < end)
		asm volatile("pause");
	return aps_up >= expected;
}

unsigned int start_others(unsigned int expected)
{
	volatile char *to = (volatile char *)(uint64_t)AP_PAGE;

	for (ptrdiff_t i = 0; i < ap_trampoline_end - ap_trampoline; i++)
		to[i] = ap_trampoline[i];
	apic_send(0, 0xc4500); /* INIT to all but self */
	wait_others(expected, 1000000);
	apic_send(0, 0xc4600 | AP_PAGE >> 12);
	if (!wait_others(expected, 20000000)) {
		apic_send(0, 0xc4600 | AP_PAGE >> 12);
		wait_others(expected, WAIT_TICKS);
	}
	return aps_up;
}

/* --- start --- */

static void read_pvh(const uint8_t *info)
{
	const uint8_t *map = (const uint8_t *)*(const uint64_t *)(info + 40);

	guest_cmdline = (const char *)*(const uint64_t *)(info + 24);
	for (uint32_t i = 0; i < *(const uint32_t *)(info + 48); i++, map += 24)
		if (*(const uint64_t *)map == 0x100000)
			ram_end = 0x100000 + *(const uint64_t *)(map + 8);
}

static void read_mb2(const uint8_t *info)
{
	for (const uint8_t *tag = info + 8; *(const uint32_t *)tag;
	     tag += (*(const uint32_t *)(tag + 4) + 7) & ~7u) {
		if (*(const uint32_t *)tag == 1)
			guest_cmdline = (const char *)(tag + 8);
		else if (*(const uint32_t *)tag == 4) /* KiB above 1 MiB */
			ram_end = 0x100000 + ((uint64_t) * (const uint32_t *)(tag + 12) << 10);
	}
}

void guest_start(void)
{
	under_hypervisor = cpuid(1, 0).c >> 31;
	if (boot_magic == MB2_LOADER_MAGIC)
		read_mb2((const uint8_t *)(uint64_t)boot_info);
	else if (*(const uint32_t *)(uint64_t)boot_info == PVH_MAGIC)
		read_pvh((const uint8_t *)(uint64_t)boot_info);
	set_up_traps();
	if (!under_hypervisor) { /* the firmware's timer is still on, and its vectors are exceptions
				  */
		outb(PIC_MASK_1, 0xff);
		outb(PIC_MASK_2, 0xff);
	}
	guest_main();
	finish();
}

/* What the compiler may call. */
void *memset(void *to, int value, size_t bytes)
{
	asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *result = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return result;
}
