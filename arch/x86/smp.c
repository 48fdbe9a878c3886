// SPDX-License-Identifier: MIT
/*
 * Starting the other processors: INIT to all, then one after the other STARTUP, wait, next.
 *
 * One page below 1 MiB is borrowed for boot/ap_trampoline.S and given back as it was: firmware and
 * control domain may have something there. A processor that does not answer is named, parked
 * by INIT and left out; the machine works without it.
 */
#include <x86/smp.h>
#include <string.h>
#include <log.h>
#include <memmap.h>
#include <panic.h>
#include <platform.h>
#include <x86/asm.h>
#include <x86/gdt.h>
#include <x86/lapic.h>
#include <x86/machine.h>
#include <x86/paging.h>

#define LOG_TAG	       "smp"
#define LOW_MEMORY_END 0xa0000
#define INIT_WAIT_US   10000 /* SDM 3A "Typical BSP Initialization Sequence" */
#define SIPI_WAIT_US   200
#define POLL_US	       10
#define START_LIMIT_US 500000

unsigned int cpu_count;
struct cpu **cpu_table;

static unsigned int cpu_most;
static uint32_t released;

extern const char ap_trampoline[], ap_trampoline_end[];
extern const char ap_gdt_base[], ap_jump[], ap_cr3[], ap_stack[], ap_cpu[];

void ap_main(struct cpu *c) __noreturn;

/* C starts here on every other CPU, on its own stack. */
void ap_main(struct cpu *c)
{
	cpu_load_tables(c);
	__atomic_store_n(&c->online, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE))
		cpu_relax();
	virt_ap_main(c);
}

void smp_release(void)
{
	__atomic_store_n(&released, 1, __ATOMIC_RELEASE);
}

void smp_init(unsigned int most, struct cpu *boot)
{
	size_t bytes = most * sizeof(cpu_table[0]);

	cpu_most = most;
	cpu_table = boot_alloc_pages(align_up(bytes, PAGE_SIZE) / PAGE_SIZE);
	cpu_table[0] = boot;
	cpu_count = 1;
	boot->online = 1;
}

static void poke32(char *page, const char *what, uint64_t v)
{
	uint32_t v32 = (uint32_t)v;

	memcpy(page + (what - ap_trampoline), &v32, sizeof(v32));
}

static void poke64(char *page, const char *what, uint64_t v)
{
	memcpy(page + (what - ap_trampoline), &v, sizeof(v));
}

/* The offset that the assembler left at @what becomes an address. */
static void relocate(char *page, const char *what, uint64_t base)
{
	uint32_t offset;

	memcpy(&offset, what, sizeof(offset));
	poke32(page, what, base + offset);
}

static bool wait_online(const struct cpu *c, uint64_t limit_us)
{
	for (uint64_t us = 0; us < limit_us; us += POLL_US) {
		if (__atomic_load_n(&c->online, __ATOMIC_ACQUIRE))
			return true;
		delay_us(POLL_US);
	}
	return false;
}

struct start {
	hpa_t pa; /* of the borrowed page */
	char *page;
};

/* True for the boot processor and for what a careless table names twice. */
static bool running(uint32_t apic_id)
{
	for (unsigned int i = 0; i < cpu_count; i++) {
		if (cpu_table[i]->apic_id == apic_id)
			return true;
	}
	return false;
}

static void start_one(void *ctx, uint32_t apic_id)
{
	struct start *s = ctx;
	struct cpu *c;

	if (running(apic_id) || cpu_count == cpu_most || apic_id > lapic_max_id())
		return;
	c = cpu_create(cpu_count, apic_id, NULL);
	poke64(s->page, ap_stack, (uint64_t)c->stack_top);
	poke64(s->page, ap_cpu, (uint64_t)c);
	for (int attempt = 0; attempt < 2; attempt++) {
		lapic_send_sipi(apic_id, (uint8_t)(s->pa.v >> PAGE_SHIFT));
		if (wait_online(c, attempt ? START_LIMIT_US : SIPI_WAIT_US)) {
			cpu_table[cpu_count++] = c;
			return;
		}
	}
	lapic_send_init(apic_id);
	log_warn("CPU with APIC id %u does not start; it is left out", apic_id);
	cpu_most--; /* its stacks cannot be used again: it may still wake */
}

static void send_init(void *ctx, uint32_t apic_id)
{
	(void)ctx;
	if (apic_id != cpu_table[0]->apic_id && apic_id <= lapic_max_id())
		lapic_send_init(apic_id);
}

void smp_start(const struct acpi_reader *r)
{
	struct start s = {0};
	struct mem_range block = {platform.boot.block, platform.boot.block_bytes, MEM_RESERVED};
	void *saved;

	if (cpu_most == 1) {
		log_info("1 CPU");
		return;
	}
	s.pa = HPA(memmap_place(platform.map, platform.n_map, &block, 1, PAGE_SIZE, PAGE_SIZE,
				PAGE_SIZE, LOW_MEMORY_END));
	if (!s.pa.v) {
		log_warn(
			"no RAM below 640 KiB to start other CPUs from: only the boot processor is used");
		return;
	}
	saved = boot_alloc_pages(1);
	s.page = boot_map(s.pa, PAGE_SIZE);
	memcpy(saved, s.page, PAGE_SIZE);
	memcpy(s.page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	relocate(s.page, ap_gdt_base, s.pa.v);
	relocate(s.page, ap_jump, s.pa.v);
	poke32(s.page, ap_cr3, read_cr3());
	map_trampoline(s.pa);

	acpi_each_cpu(r, &platform.acpi, send_init, NULL);
	delay_us(INIT_WAIT_US);
	acpi_each_cpu(r, &platform.acpi, start_one, &s);
	memcpy(s.page, saved, PAGE_SIZE);
	log_info("%u CPUs of %u that ACPI names", cpu_count, platform.acpi.cpus);
}
