// SPDX-License-Identifier: MIT
/*
 * From "all CPUs stand in C" to "the control domain runs": the last boot code.
 *
 * CPUs go through stages together. Each reads its capabilities (REPORTED); the boot processor takes
 * the intersection, divides memory, loads Linux and builds everything shared (READY); each enters
 * VMX operation and waits for a SIPI inside its guest (RUNNING); then the boot processor starts
 * Linux. Waiting for each other ends here: after boot no CPU waits for another.
 */
#define LOG_TAG "virt"
#include <string.h>

#include <cmdline.h>
#include <hypercall.h>
#include <linux_boot.h>
#include <log.h>
#include <memmap.h>
#include <panic.h>
#include <platform.h>
#include <pool.h>
#include <split.h>
#include <tlb.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/microcode.h>
#include <x86/paging.h>
#include <x86/speculation.h>
#include <x86/virt.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define MSR_TSC_ADJUST	   0x3bu
#define CPUID_7_TSC_ADJUST BIT64(1)
#define PAGES(bytes)	   (align_up((bytes), PAGE_SIZE) / PAGE_SIZE)
#define RSDP_BYTES	   36
#define MAX_OWN		   4

static const void *microcode; /* the boot module, mapped; NULL: none */
static volatile uint32_t reported, running;
static volatile uint32_t stage_ready;
static uint64_t tsc_adjust;
static uint64_t entered_tsc, started_tsc;
static struct memory_split split;

/* --- capabilities --- */

static void refuse_missing(const struct vmx_caps *c, unsigned int cpu)
{
	enum vmx_option missing;

	if (!c->vmx)
		machine_refuse(
			"Intel VT-x (CPUID.1:ECX.VMX)",
			"Found: CPU %u without it.\nSwitch on \"Intel Virtualization Technology\" in the "
			"firmware setup; an AMD or very old CPU will not do.",
			cpu);
	if ((c->feature_control & (FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX)) ==
	    FEATURE_CONTROL_LOCKED)
		machine_refuse(
			"VT-x that is not locked off by the firmware",
			"Found: IA32_FEATURE_CONTROL = %#lx on CPU %u.\n"
			"Switch on \"Intel Virtualization Technology\" in the firmware setup and power-cycle.",
			c->feature_control, cpu);
	missing = vmx_caps_missing(c);
	if (missing != VMX_OPTIONS)
		machine_refuse(
			vmx_options[missing].title,
			"Found: CPU %u has VT-x without it (secondary controls %#x, EPT/VPID %#lx).\n"
			"Hornero needs an Intel CPU of the Westmere generation (2010) or later.",
			cpu, c->cpu2.may, c->ept_vpid);
}

/* @option: cpu_features= for all CPUs; cpu1_features=, for tests, makes the second one differ. */
static void apply_cpu_features(struct vmx_caps *c, const char *option)
{
	size_t length;
	const char *wrong = vmx_caps_apply(c, cmdline_get(option), &length);

	if (wrong)
		log_warn("%s: '%.*s' names no feature; it and what follows is ignored", option,
			 (int)length, wrong);
}

uint64_t virt_heap_bytes(unsigned int cpus, uint64_t ram_top)
{
	entered_tsc = rdtsc();
	vmx_read_caps(&vmx_caps);
	apply_cpu_features(&vmx_caps, "cpu_features");
	refuse_missing(&vmx_caps, 0);
	return (cpus * (PAGES(sizeof(struct vmx_cpu)) + 4) + PAGES(cpus * sizeof(struct debt_cpu)) +
		control_ept_heap_pages(ram_top) + PAGES(pool_heap_bytes(ram_top)) + 4) *
	       PAGE_SIZE;
}

static void report_caps(struct cpu *cpu)
{
	struct vmx_cpu *v = cpu->vmx;

	if (microcode)
		microcode_load(microcode, platform.boot.modules[MODULE_MICROCODE].bytes);
	vmx_read_caps(&v->caps);
	if (v->caps.vmx)
		vmx_unlock(&v->caps);
	__atomic_fetch_add(&reported, 1, __ATOMIC_RELEASE);
}

static void intersect_caps(void)
{
	for (unsigned int i = 0; i < cpu_count; i++) {
		struct vmx_caps *c = &cpu_table[i]->vmx->caps;

		if (i == 1)
			apply_cpu_features(c, "cpu1_features");
		refuse_missing(c, i);
		if (i == 0) {
			vmx_caps = *c;
			continue;
		}
		for (unsigned int o = 0; o < VMX_OPTIONS; o++)
			if (vmx_caps_has(c, (enum vmx_option)o) !=
			    vmx_caps_has(&vmx_caps, (enum vmx_option)o))
				log_warn("CPU %u differs from the others in %s: not used", i,
					 vmx_options[o].title);
		vmx_caps_intersect(&vmx_caps, c);
	}
	apply_cpu_features(&vmx_caps, "cpu_features");
	refuse_missing(&vmx_caps, 0);
	for (unsigned int o = 0; o < VMX_OPTIONS; o++)
		log_dbg("%s: %s", vmx_options[o].title,
			vmx_caps_has(&vmx_caps, (enum vmx_option)o) ? "yes" : "no");
}

/* --- memory --- */

/* Into the sorted first @n. */
static void add_hole(struct ept_hole *holes, unsigned int n, uint64_t base, uint64_t bytes)
{
	for (; n && holes[n - 1].base > base; n--)
		holes[n] = holes[n - 1];
	holes[n] = (struct ept_hole){base, base + bytes};
}

static void divide_memory(void)
{
	struct mem_range own[MAX_OWN];
	struct ept_hole holes[MAX_OWN + SPLIT_MAX_POOL];
	uint64_t ram = memmap_ram_bytes(platform.map, platform.n_map);
	uint64_t wanted = cmdline_number("control_mem", split_default_control(ram));
	unsigned int n_own = 0, n = 0;
	hpa_t base;
	uint64_t bytes;

	for (; n_own < MAX_OWN && hv_extent(n_own, &base, &bytes); n_own++)
		own[n_own] = (struct mem_range){base, bytes, MEM_RESERVED};
	if (wanted < CONTROL_MIN_BYTES || wanted > ram)
		machine_refuse(
			"memory for the control domain",
			"Needed: control_mem= of at least %lu MiB and at most this machine's RAM.\n"
			"Found: %lu MiB of RAM, control_mem is %lu MiB%s.",
			CONTROL_MIN_BYTES / MIB, ram / MIB, wanted / MIB,
			*cmdline_get("control_mem") ? "" : " (default: half of the RAM)");
	if (!split_memory(platform.map, platform.n_map, own, n_own, wanted, &split))
		machine_refuse("a simpler memory map",
			       "Found: %u ranges, more than the tables hold.", platform.n_map);

	for (unsigned int i = 0; i < n_own; i++)
		add_hole(holes, n++, own[i].base.v, own[i].bytes);
	for (unsigned int i = 0; i < split.pools; i++)
		add_hole(holes, n++, split.pool[i].base.v, split.pool[i].bytes);
	control_ept_init(holes, n, platform.ram_top);
	control_apic_init();
	pool_init(platform.ram_top, &split, own, n_own);
	log_info("memory: control domain %lu MiB, guest pool %lu MiB", split.control_bytes / MIB,
		 split.pool_bytes / MIB);
}

/* Linux finds the root pointer itself, except where only the boot loader knew it. The copy lies in
 * memory of ours that it may read. */
static uint64_t publish_rsdp(void)
{
	void *page;

	if (!platform.boot.rsdp.v)
		return 0;
	page = boot_alloc_pages(1);
	memcpy(page, boot_map(platform.boot.rsdp, RSDP_BYTES), RSDP_BYTES);
	BUG_ON(control_ept_show_pages(hpa_of(page), 1));
	return hpa_of(page).v;
}

/* --- CPUs --- */

struct cpuid_entry cpuid_hardware(void *ctx, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = cpuid(leaf, subleaf);

	(void)ctx;
	return (struct cpuid_entry){r.eax, r.ebx, r.ecx, r.edx};
}

static void alloc_cpu(struct cpu *cpu)
{
	struct vmx_cpu *v = boot_alloc_pages(PAGES(sizeof(*v)));

	v->cpu = cpu;
	v->vmxon = boot_alloc_pages(1);
	v->vmcs_page = boot_alloc_pages(1);
	v->call_page = boot_alloc_pages(1);
	v->xsave = boot_alloc_pages(1);
	v->stats.cpu = cpu->index;
	v->stats.apic_id = cpu->apic_id;
	cpu->vmx = v;
}

/* Firmware may leave the CPUs' clocks apart; Linux may not put them right any more, so we do. */
static void align_tsc(struct cpu *cpu)
{
	if (!cpuid_has_leaf(7) || !(cpuid(7, 0).ebx & CPUID_7_TSC_ADJUST))
		return;
	if (cpu->index == 0)
		tsc_adjust = rdmsr(MSR_TSC_ADJUST);
	else if (rdmsr(MSR_TSC_ADJUST) != tsc_adjust)
		wrmsr(MSR_TSC_ADJUST, tsc_adjust);
}

static void start_vmx(struct cpu *cpu)
{
	struct vmx_cpu *v = cpu->vmx;
	struct cpuid_policy policy = {
		.xsaves = vmx_caps_has(&vmx_caps, VMX_OPT_XSAVES),
		.rdtscp = vmx_caps.cpu2.may & CPU2_RDTSCP,
		.invpcid = vmx_caps.cpu2.may & CPU2_INVPCID,
		.user_wait = vmx_caps.cpu2.may & CPU2_USER_WAIT,
	};

	align_tsc(cpu);
	speculation_init();
	if (vmx_on(v) < 0)
		machine_refuse("a CPU that enters VMX operation", "Found: CPU %u refuses VMXON.",
			       cpu->index);
	v->xcr0 = read_cr4() & CR4_OSXSAVE ? xgetbv(0) : 1;
	cpuid_table_build(&v->cpuid, cpuid_hardware, NULL, &policy);
	control_vmcs_init(v);
	cpu->gprs = &v->gprs;
	cpu->cpuid = v->cpuid.leaf;
	cpu->launched = 0;
	tlb_resume(cpu);
}

void virt_ap_main(struct cpu *cpu)
{
	while (!cpu->vmx)
		cpu_relax();
	report_caps(cpu);
	while (!stage_ready)
		cpu_relax();
	write_cr3(read_cr3());
	start_vmx(cpu);
	__atomic_fetch_add(&running, 1, __ATOMIC_RELEASE);
	control_wait_for_sipi(cpu->vmx);
	vmx_start(cpu);
}

void virt_bsp_main(void)
{
	struct cpu *cpu = this_cpu();
	const struct boot_module *updates = &platform.boot.modules[MODULE_MICROCODE];
	struct linux_start start;
	struct control_entry entry;

	if (updates->bytes)
		microcode = boot_map(updates->base, updates->bytes);
	for (unsigned int i = 0; i < cpu_count; i++)
		alloc_cpu(cpu_table[i]);
	report_caps(cpu);
	while (__atomic_load_n(&reported, __ATOMIC_ACQUIRE) < cpu_count)
		cpu_relax();
	intersect_caps();
	tlb_init(cpu_count);
	control_msr_init();
	control_io_init();
	guest_boot_init();
	divide_memory();
	for (unsigned int i = 0; i < cpu_count; i++)
		BUG_ON(control_ept_show_pages(hpa_of(cpu_table[i]->vmx->call_page), 1));
	linux_load(&platform.boot, &split, publish_rsdp(), &start);
	align_tsc(cpu);
	boot_done();
	stage_ready = 1;
	start_vmx(cpu);
	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE) < cpu_count - 1)
		cpu_relax();
	log_info("starting the control domain on %u CPU%s", cpu_count, cpu_count > 1 ? "s" : "");
	log_consoles_release();

	entry = (struct control_entry){start.rip, start.zero_page, start.cr3, start.gdt};
	control_start_boot(cpu->vmx, &entry);
	started_tsc = rdtsc();
	vmx_start(cpu);
}

/* --- <x86/virt.h> --- */

void virt_flush_all(void)
{
	vmx_flush_all();
	write_cr3(read_cr3());
}

bool virt_control_owns(hpa_t base, uint64_t bytes)
{
	return split_is_control(&split, base.v, bytes);
}

void *virt_call_page(const struct cpu *cpu)
{
	return cpu->vmx->call_page;
}

const struct hv_cpu_stats *virt_cpu_stats(unsigned int index)
{
	return &cpu_table[index]->vmx->stats;
}

uint64_t virt_control_started(void)
{
	return started_tsc - entered_tsc;
}

uint64_t virt_features(void)
{
	uint64_t f = 0;

	for (unsigned int o = 0; o < VMX_OPTIONS_SHOWN; o++)
		if (vmx_caps_has(&vmx_caps, (enum vmx_option)o))
			f |= BIT64(o);
	if (cpuid_has_leaf(0x80000007) && (cpuid(0x80000007, 0).edx & BIT64(8)))
		f |= BIT64(HV_FEATURE_INVARIANT_TSC);
	if (vmx_caps.cpu.may & CPU_TSC_OFFSETTING)
		f |= BIT64(HV_FEATURE_TSC_OFFSET);
	if (rdmsr(MSR_APIC_BASE) & BIT64(10))
		f |= BIT64(HV_FEATURE_X2APIC);
	if (platform.boot.efi.system_table.v)
		f |= BIT64(HV_FEATURE_EFI);
	return f;
}
