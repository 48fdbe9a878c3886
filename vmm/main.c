// SPDX-License-Identifier: MIT
/*
 * From the boot loader's block to all CPUs standing in C.
 *
 * The order is the idea of this file: read everything that others left in memory (block, command
 * line, map, ACPI), then know how much memory we need, take it, build our own tables in it, and
 * only then start the other CPUs. What comes after, VMX and the control domain, is
 * virt_bsp_main()'s.
 *
 * Before: boot/entry.S. Beside: arch/x86/paging.c, arch/x86/smp.c.
 */
#include <found.h>
#include <string.h>
#include <boot/mb2.h>
#include <cmdline.h>
#include <consoles.h>
#include <crash.h>
#include <log.h>
#include <memmap.h>
#include <panic.h>
#include <platform.h>
#include <x86/asm.h>
#include <x86/gdt.h>
#include <x86/lapic.h>
#include <x86/machine.h>
#include <x86/paging.h>
#include <x86/smp.h>

#define LOG_TAG	    "boot"
#define EARLY_LIMIT (4 * GIB)
#define HEAP_LOWEST (1 * MIB)
#define TAIL_BYTES  (LOG_RING_BYTES + CRASH_BYTES)
#define MAX_AVOID   (MODULE_ROLES + 3)
#define OTHER_PAGES 8 /* saved trampoline page and the like */

struct found found;

static struct cpu early_cpu; /* until the heap has one */

void hv_main(uint64_t block_pa, uint64_t image_pa) __noreturn;

static void digest_block(uint64_t pa)
{
	static char error[200];
	struct boot_info *b = &found.boot;

	if (pa < PAGE_SIZE || pa >= EARLY_LIMIT - MB2_MAX_BYTES || !is_aligned(pa, 8))
		machine_refuse("a Multiboot2 information block",
			       "Found: a pointer %#lx.\nBoot with GRUB 2.", pa);
	if (!mb2_parse(boot_map(HPA(pa), MB2_MAX_BYTES), MB2_MAX_BYTES, HPA(pa), b, error,
		       sizeof(error)))
		machine_refuse(
			"the boot loader's information (Multiboot2) is unusable",
			"Found: %s.\nBoot with an unmodified GRUB 2 and its command 'multiboot2'.",
			error);
	cmdline_parse(b->cmdline);
	log_set_level(cmdline_level("loglevel"));
	platform.panic_seconds =
		!strcmp(cmdline_get("panic"), "halt") ? PANIC_HALT : cmdline_number("panic", 10);
	consoles_start(cmdline_get("console"), &b->fb, !b->efi.system_table.v);
}

static void clean_map(void)
{
	struct found *p = &found;

	memcpy(p->map, p->boot.ranges, sizeof(p->map));
	p->n_map = memmap_clean(p->map, p->boot.n_ranges, BOOT_MAX_RANGES);
	p->ram_top = memmap_ram_top(p->map, p->n_map);
	if (!p->ram_top)
		machine_refuse(
			"a memory map with RAM in it",
			"Found: %u ranges, none of them usable.\nCheck firmware and boot loader.",
			p->boot.n_ranges);
	for (unsigned int i = 0; i < p->n_map; i++)
		log_dbg("map %#012lx-%#012lx %s", p->map[i].base.v,
			p->map[i].base.v + p->map[i].bytes - 1, memmap_type_name(p->map[i].type));
	log_info("%lu MiB of RAM up to %#lx, loader %s", memmap_ram_bytes(p->map, p->n_map) / MIB,
		 p->ram_top, p->boot.loader);
}

static bool read_early(hpa_t pa, void *to, size_t n)
{
	if (!boot_can_map(pa, n))
		return false;
	memcpy(to, boot_map(pa, n), n);
	return true;
}

static unsigned int read_acpi(void)
{
	struct found *p = &found;
	uint64_t most = cmdline_number("maxcpus", UINT64_MAX);

	if (!p->boot.rsdp.v && !p->boot.efi.system_table.v)
		p->boot.rsdp = acpi_scan_rsdp(read_early);
	p->acpi_found = acpi_parse(read_early, p->boot.rsdp, &p->acpi);
	if (!p->acpi_found)
		log_warn("no ACPI tables: only the boot processor is used");
	else if (!p->acpi.cpus)
		log_warn(
			"ACPI names no processor (no usable MADT): only the boot processor is used");
	log_dbg("ACPI: %u tables, %u CPUs", p->acpi.tables, p->acpi.cpus);
	if (!most)
		log_warn("command line: 'maxcpus=0' is too few; 1 is used");
	return (unsigned int)max_u64(min_u64(most, p->acpi.cpus), 1);
}

static void take_heap(hpa_t image, unsigned int cpus)
{
	struct found *p = &found;
	struct mem_range avoid[MAX_AVOID] = {
		{image, 2 * MIB, MEM_RESERVED},
		{p->boot.block, p->boot.block_bytes, MEM_RESERVED},
	};
	uint64_t need = TAIL_BYTES + CRASH_BYTES + OTHER_PAGES * PAGE_SIZE, base;
	unsigned int n = 2;

	for (int i = 0; i < MODULE_ROLES; i++)
		avoid[n++] = (struct mem_range){p->boot.modules[i].base, p->boot.modules[i].bytes,
						MEM_RESERVED};
	need += cpus * cpu_heap_bytes() + align_up(cpus * sizeof(cpu_table[0]), PAGE_SIZE);
	need += align_up(virt_heap_bytes(cpus, p->ram_top), PAGE_SIZE);
	need += paging_heap_bytes(need, cpus, p->map, p->n_map);
	base = memmap_place(p->map, p->n_map, avoid, n, need, PAGE_SIZE, HEAP_LOWEST,
			    memmap_quiet_top(p->map, p->n_map, EARLY_LIMIT));
	if (!base)
		base = memmap_place(p->map, p->n_map, avoid, n, need, PAGE_SIZE, HEAP_LOWEST,
				    EARLY_LIMIT);
	if (!base)
		machine_refuse(
			"memory for the hypervisor",
			"Needed: %lu KiB in one piece below 4 GiB; found: no range of RAM that has it.",
			need / KIB);
	heap_init(HPA(base), need, TAIL_BYTES);
	log_info("image at %#lx, own memory %lu KiB at %#lx", image.v, need / KIB, base);
}

static void use_reset_register(void)
{
	const struct acpi_register *r = &found.acpi.reset;

	if (r->address && r->space == 0)
		platform.reset_memory = map_device(HPA(r->address), 1);
	else if (r->space == 1)
		platform.reset_port = (uint16_t)r->address;
	platform.reset_value = found.acpi.reset_value;
}

static void start_others(void *arg)
{
	(void)arg;
	lapic_init(map_device(lapic_base(), PAGE_SIZE));
	use_reset_register();
	smp_start();
	smp_release();
	virt_bsp_main();
}

void hv_main(uint64_t block_pa, uint64_t image_pa)
{
	uint8_t *tail;
	struct cpu *cpu;
	unsigned int cpus;

	early_cpu.self = &early_cpu;
	wrmsr(MSR_GS_BASE, (uint64_t)&early_cpu);
	log_on_emergency(consoles_start_defaults);
	platform.tsc_khz = tsc_measure_khz();
	paging_early(HPA(image_pa));
	digest_block(block_pa);
	clean_map();
	cpus = read_acpi();
	take_heap(HPA(image_pa), cpus);
	tail = heap_tail();
	crash_init(tail + LOG_RING_BYTES, boot_alloc_pages(CRASH_BYTES / PAGE_SIZE));
	memset(tail, 0, LOG_RING_BYTES);
	log_use_ring(tail);

	paging_init(cpus, found.map, found.n_map);
	cpu = cpu_create(0, lapic_id());
	smp_init(cpus, cpu);
	idt_use_stacks();
	paging_load();
	cpu_load_tables(cpu);
	consoles_remap();
	stack_switch(cpu->stack_top, start_others, NULL);
}
