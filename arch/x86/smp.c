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
#include <found.h>
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

uint32_t lapic_id(void)
{
	if (cpuid_has_leaf(0xb)) {
		struct cpuid_regs r = cpuid(0xb, 0);

		if (r.ebx)
			return r.edx;
	}
	return cpuid(1, 0).ebx >> 24;
}

hpa_t lapic_base(void)
{
	return HPA(rdmsr(MSR_APIC_BASE) & MASK64(51, 12));
}

/* The highest that can be addressed in the present mode. */
static uint32_t max_id(void)
{
	return lapic_x2apic() ? UINT32_MAX - 1 : 254;
}

static void poke(char *page, const char *what, uint64_t v, size_t bytes)
{
	memcpy(page + (what - ap_trampoline), &v, bytes);
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

/* True for the boot processor and for what a careless table names twice. */
static bool running(uint32_t apic_id)
{
	for (unsigned int i = 0; i < cpu_count; i++) {
		if (cpu_table[i]->apic_id == apic_id)
			return true;
	}
	return false;
}

static void start_one(char *page, hpa_t pa, uint32_t apic_id)
{
	struct cpu *c;

	if (running(apic_id) || cpu_count == cpu_most || apic_id > max_id())
		return;
	c = cpu_create(cpu_count, apic_id);
	poke(page, ap_stack, (uint64_t)c->stack_top, 8);
	poke(page, ap_cpu, (uint64_t)c, 8);
	for (int attempt = 0; attempt < 2; attempt++) {
		lapic_send_sipi(apic_id, (uint8_t)(pa.v >> PAGE_SHIFT));
		if (wait_online(c, attempt ? START_LIMIT_US : SIPI_WAIT_US)) {
			cpu_table[cpu_count++] = c;
			return;
		}
	}
	lapic_send_init(apic_id);
	log_warn("CPU with APIC id %u does not start; it is left out", apic_id);
	cpu_most--; /* its stacks cannot be used again: it may still wake */
}

void smp_start(void)
{
	struct mem_range block = {found.boot.block, found.boot.block_bytes, MEM_RESERVED};
	const struct acpi_info *acpi = &found.acpi;
	void *saved;
	char *page;
	hpa_t pa;

	if (cpu_most == 1) {
		log_info("1 CPU");
		return;
	}
	pa = HPA(memmap_place(found.map, found.n_map, &block, 1, PAGE_SIZE, PAGE_SIZE, PAGE_SIZE,
			      LOW_MEMORY_END));
	if (!pa.v) {
		log_warn(
			"no RAM below 640 KiB to start other CPUs from: only the boot processor is used");
		return;
	}
	saved = boot_alloc_pages(1);
	page = boot_map(pa, PAGE_SIZE);
	memcpy(saved, page, PAGE_SIZE);
	memcpy(page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	/* The offset that the assembler left in each becomes an address. */
	poke(page, ap_gdt_base, pa.v + *(const uint32_t *)ap_gdt_base, 4);
	poke(page, ap_jump, pa.v + *(const uint32_t *)ap_jump, 4);
	poke(page, ap_cr3, read_cr3(), 4);
	map_trampoline(pa);

	for (unsigned int i = 0; i < acpi->cpus; i++)
		if (!running(acpi->apic_ids[i]) && acpi->apic_ids[i] <= max_id())
			lapic_send_init(acpi->apic_ids[i]);
	delay_us(INIT_WAIT_US);
	for (unsigned int i = 0; i < acpi->cpus; i++)
		start_one(page, pa, acpi->apic_ids[i]);
	memcpy(page, saved, PAGE_SIZE);
	log_info("%u CPUs of %u that ACPI names", cpu_count, acpi->cpus);
}
