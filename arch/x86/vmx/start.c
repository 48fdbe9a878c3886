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
#include <stdio.h>
#include <string.h>

#include <abi/hypercall.h>
#include <calls.h>
#include <cmdline.h>
#include <crash.h>
#include <linux_boot.h>
#include <log.h>
#include <memmap.h>
#include <panic.h>
#include <found.h>
#include <platform.h>
#include <pool.h>
#include <split.h>
#include <tlb.h>
#include <version.h>
#include <x86/asm.h>
#include <x86/mem.h>
#include <x86/microcode.h>
#include <x86/paging.h>
#include <x86/speculation.h>
#include <x86/virt.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/ept_identity.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/boot.h>
#include <x86/vmx/vmx.h>

#define MSR_TSC_ADJUST	   0x3bu
#define CPUID_7_TSC_ADJUST BIT64(1)
#define PAGES(bytes)	   (align_up((bytes), PAGE_SIZE) / PAGE_SIZE)
#define RSDP_BYTES	   36
#define MAX_OWN		   4

static const void *microcode; /* the boot module, mapped; NULL: none */
static volatile uint32_t reported;
static volatile uint32_t stage_ready;
static uint64_t tsc_adjust;
static uint64_t entered_tsc;

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

/* What vmx_caps has, less what the command line takes away. */
static void use_caps(void)
{
	apply_cpu_features(&vmx_caps, "cpu_features");
	refuse_missing(&vmx_caps, 0);
	vmx_present = 0;
	for (unsigned int o = 0; o < VMX_OPTIONS; o++)
		if (vmx_caps_has(&vmx_caps, (enum vmx_option)o))
			vmx_present |= BIT64(o);
}

uint64_t virt_heap_bytes(unsigned int cpus, uint64_t ram_top)
{
	entered_tsc = rdtsc();
	vmx_read_caps(&vmx_caps);
	use_caps();
	return (cpus * (PAGES(sizeof(struct vmx_cpu)) + 4) + PAGES(cpus * sizeof(struct debt_cpu)) +
		control_ept_heap_pages(ram_top) + PAGES(owner_table_bytes(ram_top)) + 4) *
	       PAGE_SIZE;
}

static void report_caps(struct cpu *cpu)
{
	struct vmx_cpu *v = cpu->vmx;

	if (microcode)
		microcode_load(microcode, found.boot.modules[MODULE_MICROCODE].bytes);
	vmx_read_caps(&v->caps);
	if (v->caps.vmx)
		vmx_unlock(&v->caps);
	__atomic_fetch_add(&reported, 1, __ATOMIC_RELEASE);
}

/*
 * CPUs that are not ours (maxcpus=, one that did not start, those that only tables we do not read
 * name) would run Linux without EPT if it woke them. So the SIPIs that it sends are looked at, and
 * Linux is told how many CPUs there are.
 */
static void leave_others_asleep(void)
{
	char *words = found.boot.modules[MODULE_KERNEL].cmdline, *end = words + strlen(words);

	vmx_caps_remove(&vmx_caps, VMX_OPT_WAIT_FOR_SIPI);
	snprintf(end, sizeof(found.boot.modules->cmdline) - (size_t)(end - words), " nr_cpus=%u",
		 cpu_count);
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
	if (!found.acpi.cpus || found.acpi.more || cpu_count < found.acpi.cpus)
		leave_others_asleep();
	use_caps();
	for (unsigned int o = 0; o < VMX_OPTIONS; o++)
		log_dbg("%s: %s", vmx_options[o].title, vmx_has((enum vmx_option)o) ? "yes" : "no");
}

/* What a guest may have of it. */
static void init_guest_has(void)
{
	guest_has.apicv = vmx_has(VMX_OPT_APIC_REGISTERS) && vmx_has(VMX_OPT_VIRTUAL_INTERRUPTS) &&
			  vmx_has(VMX_OPT_X2APIC_MODE) && (vmx_caps.cpu2.may & CPU2_APIC_ACCESSES);
	guest_has.tpr_shadow = vmx_has(VMX_OPT_TPR_SHADOW);
	guest_has.timer = vmx_has(VMX_OPT_PREEMPTION_TIMER);
	guest_has.rdtscp = vmx_caps.cpu2.may & CPU2_RDTSCP;
	if (read_cr4() & CR4_OSXSAVE)
		guest_has.xcr0 =
			XCR0_ALLOWED & (cpuid(0xd, 0).eax | (uint64_t)cpuid(0xd, 0).edx << 32);
	guest_has.physical_bits = cpuid_has_leaf(0x80000008) ? cpuid(0x80000008, 0).eax & 0xff : 36;
	guest_has.timer_kept = guest_has.timer && (vmx_caps.exit.may & EXIT_SAVE_PREEMPTION_TIMER);
	guest_has.apic_access_page = hpa_of(boot_alloc_pages(1)).v;
}

/* --- memory --- */

/* Into the sorted first @n. */
static void add_hole(struct ept_hole *holes, unsigned int n, uint64_t base, uint64_t bytes)
{
	for (; n && holes[n - 1].base > base; n--)
		holes[n] = holes[n - 1];
	holes[n] = (struct ept_hole){base, base + bytes};
}

static void fill_pool(const struct mem_range *own, unsigned int n_own)
{
	const struct memory_split *s = &control_split;
	int err = 0;

	owner_init(&pool, boot_alloc_pages(PAGES(owner_table_bytes(found.ram_top))), found.ram_top);
	for (unsigned int i = 0; i < s->ranges; i++)
		if (mem_is_ram(s->map[i].type))
			err |= owner_assign(&pool, s->map[i].base, s->map[i].bytes, OWNER_CONTROL);
	for (unsigned int i = 0; i < n_own; i++)
		err |= owner_assign(&pool, own[i].base, own[i].bytes, OWNER_HYPERVISOR);
	for (unsigned int i = 0; i < s->pools; i++)
		err |= owner_assign(&pool, s->pool[i].base, s->pool[i].bytes, OWNER_WAITING);
	BUG_ON(err);
	BUG_ON(owner_waiting(&pool) * FRAME_SIZE != s->pool_bytes);
}

static void divide_memory(void)
{
	struct mem_range own[MAX_OWN];
	struct ept_hole holes[MAX_OWN + SPLIT_MAX_POOL];
	uint64_t ram = memmap_ram_bytes(found.map, found.n_map);
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
	if (!split_memory(found.map, found.n_map, own, n_own, wanted, &control_split))
		machine_refuse("a simpler memory map",
			       "Found: %u ranges, more than the tables hold.", found.n_map);

	for (unsigned int i = 0; i < n_own; i++)
		add_hole(holes, n++, own[i].base.v, own[i].bytes);
	for (unsigned int i = 0; i < control_split.pools; i++)
		add_hole(holes, n++, control_split.pool[i].base.v, control_split.pool[i].bytes);
	control_ept_init(holes, n, found.ram_top);
	control_apic_init();
	fill_pool(own, n_own);
	log_info("memory: control domain %lu MiB, guest pool %lu MiB",
		 control_split.control_bytes / MIB, control_split.pool_bytes / MIB);
}

/* Linux finds the root pointer itself, except where only the boot loader knew it. The copy lies in
 * memory of ours that it may read. */
static uint64_t publish_rsdp(void)
{
	void *page;

	if (!found.boot.rsdp.v)
		return 0;
	page = boot_alloc_pages(1);
	memcpy(page, boot_map(found.boot.rsdp, RSDP_BYTES), RSDP_BYTES);
	BUG_ON(control_ept_show_pages(hpa_of(page), 1));
	return hpa_of(page).v;
}

/* --- CPUs --- */

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
		.xsaves = vmx_has(VMX_OPT_XSAVES),
		.rdtscp = vmx_caps.cpu2.may & CPU2_RDTSCP,
		.invpcid = vmx_caps.cpu2.may & CPU2_INVPCID,
		.user_wait = vmx_caps.cpu2.may & CPU2_USER_WAIT,
	};

	align_tsc(cpu);
	speculation_init();
	if (vmx_on(v) < 0)
		machine_refuse("a CPU that enters VMX operation", "Found: CPU %u refuses VMXON.",
			       cpu->index);
	v->fsgsbase = read_cr4() & CR4_FSGSBASE;
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
	virt_leave_boot(cpu);
}

static void cpu_name(char *to, size_t n)
{
	uint32_t brand[13] = {0};

	for (uint32_t i = 0; i < 3 && cpuid_has_leaf(0x80000004); i++) {
		struct cpuid_regs r = cpuid(0x80000002 + i, 0);

		memcpy(&brand[4 * i], &r, sizeof(r));
	}
	snprintf(to, n, "%s", (const char *)brand);
}

static uint64_t features(void)
{
	uint64_t f = 0;

	for (unsigned int o = 0; o < VMX_OPTIONS_SHOWN; o++)
		if (vmx_has((enum vmx_option)o))
			f |= BIT64(o);
	if (cpuid_has_leaf(0x80000007) && (cpuid(0x80000007, 0).edx & BIT64(8)))
		f |= BIT64(HV_FEATURE_INVARIANT_TSC);
	if (vmx_caps.cpu.may & CPU_TSC_OFFSETTING)
		f |= BIT64(HV_FEATURE_TSC_OFFSET);
	if (found.boot.efi.system_table.v)
		f |= BIT64(HV_FEATURE_EFI);
	if (!speculation.small_code)
		f |= BIT64(HV_FEATURE_LARGE_CODE);
	if (call_selftest)
		f |= BIT64(HV_FEATURE_TEST_BUILD);
	return f;
}

static void fill_info(void)
{
	struct hv_info *info = &platform.info;
	uint64_t image, heap;
	hpa_t base;

	hv_extent(0, &base, &image);
	hv_extent(1, &base, &heap);
	info->abi_version = HV_ABI_VERSION;
	info->cpus = cpu_count;
	info->cpus_present = found.acpi.cpus ? found.acpi.cpus : 1;
	info->features = features();
	info->ram_bytes = memmap_ram_bytes(found.map, found.n_map);
	info->pool_bytes = control_split.pool_bytes;
	info->hypervisor_bytes = image + heap;
	info->control_bytes = info->ram_bytes - info->pool_bytes - info->hypervisor_bytes;
	info->image_bytes = image;
	info->heap_free_bytes = heap - heap_used_bytes();
	info->boot_root_tsc = rdtsc() - entered_tsc;
	info->crash_record = crash_previous() != NULL;
	snprintf(info->version, sizeof(info->version), "%s", HV_VERSION);
	snprintf(info->loader, sizeof(info->loader), "%s", found.boot.loader);
	snprintf(info->cmdline, sizeof(info->cmdline), "%s", found.boot.cmdline);
	cpu_name(info->cpu_name, sizeof(info->cpu_name));
}

void virt_bsp_main(void)
{
	struct cpu *cpu = this_cpu();
	const struct boot_module *updates = &found.boot.modules[MODULE_MICROCODE];
	struct linux_start start;

	if (updates->bytes)
		microcode = boot_map(updates->base, updates->bytes);
	for (unsigned int i = 0; i < cpu_count; i++)
		alloc_cpu(cpu_table[i]);
	report_caps(cpu);
	while (__atomic_load_n(&reported, __ATOMIC_ACQUIRE) < cpu_count)
		cpu_relax();
	intersect_caps();
	debt_init(&tlb_debt, boot_alloc_pages(PAGES(cpu_count * sizeof(struct debt_cpu))),
		  cpu_count);
	control_msr_init();
	control_io_init();
	init_guest_has();
	divide_memory();
	for (unsigned int i = 0; i < cpu_count; i++)
		BUG_ON(control_ept_show_pages(hpa_of(cpu_table[i]->vmx->call_page), 1));
	linux_load(&found.boot, &control_split, publish_rsdp(), &start);
	align_tsc(cpu);
	boot_done();
	stage_ready = 1;
	start_vmx(cpu);
	control_start_boot(cpu->vmx, &start);
	fill_info();
	virt_leave_boot(cpu);
}
