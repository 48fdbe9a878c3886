// SPDX-License-Identifier: MIT
/*
 * The control domain's VMCS: as little as the architecture allows stays with us.
 *
 * External interrupts, NMIs, exceptions, HLT, most ports and most MSRs do not exit. CR0.NE is ours
 * but reads as 1, CR4.VMXE is ours but reads as 0, so that Linux's writes of CR0 and CR4 never
 * exit, not even an application processor's first ones. EFER and PAT travel through the VMCS. What
 * becomes of the exits that remain: control_exit.c, control_msr.c, control_io.c.
 */
#define LOG_TAG "control"
#include <string.h>

#include <found.h>
#include <linux_boot.h>
#include <log.h>
#include <sleep.h>
#include <x86/asm.h>
#include <x86/lapic.h>
#include <x86/mem.h>
#include <x86/vmx/boot.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/control_msr.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define ACCESS_CODE_LONG 0xa09bu
#define ACCESS_DATA_FLAT 0xc093u
#define BOOT_CS		 0x10 /* Linux boot protocol: __BOOT_CS, __BOOT_DS */
#define BOOT_DS		 0x18
#define FADT_DSDT	 40
#define FADT_X_DSDT	 140
#define TABLE_LENGTH	 4
#define ACPI_SPACE_IO	 1
#define TABLE_MAX	 (16 * MIB)

static uint8_t *msr_bitmap, *io_bitmaps; /* shared by all CPUs; of ports: A and B */

enum direction { READ = 1, WRITE = 2 };

/* What exits. */
static const struct {
	uint32_t first, last;
	enum direction when;
} trapped[] = {
	{MSR_TSC, MSR_TSC, WRITE},
	{MSR_APIC_BASE, MSR_APIC_BASE, WRITE},
	{MSR_IA32_FEATURE_CONTROL, MSR_IA32_FEATURE_CONTROL, READ | WRITE},
	{MSR_TSC_ADJUST, MSR_TSC_ADJUST, WRITE},
	{MSR_MICROCODE, MSR_MICROCODE, WRITE},
	{0x8c, 0x8f, READ | WRITE},   /* SGX launch key */
	{0x200, 0x21f, READ | WRITE}, /* variable MTRRs */
	{0x250, 0x250, READ | WRITE}, /* fixed MTRRs */
	{0x258, 0x259, READ | WRITE},
	{0x268, 0x26f, READ | WRITE},
	{0x2ff, 0x2ff, READ | WRITE}, /* default type */
	{MSR_IA32_VMX_BASIC, MSR_IA32_VMX_LAST, READ | WRITE},
	{0x560, 0x58f, READ | WRITE}, /* processor trace */
	{MSR_XSS, MSR_XSS, WRITE},
	{MSR_STAR, MSR_FMASK, WRITE},
	{MSR_TSC_AUX, MSR_TSC_AUX, WRITE},
};

static void trap(uint32_t msr, enum direction when)
{
	uint32_t byte = (msr & 0x1fff) / 8 + (msr >= 0xc0000000u ? 1024 : 0);
	uint8_t bit = (uint8_t)(1u << (msr & 7));

	if (when & READ)
		msr_bitmap[byte] |= bit;
	if (when & WRITE)
		msr_bitmap[2048 + byte] |= bit;
}

/* PERF_GLOBAL_CTRL is zero in root mode and comes back from the VMCS. Where an exit cannot save it
 * there, its writes have to. */
static bool perf_by_hand(void)
{
	return vmx_has(VMX_OPT_PERF_GLOBAL_CTRL) &&
	       !(vmx_caps.exit.may & EXIT_SAVE_PERF_GLOBAL_CTRL);
}

void control_msr_init(void)
{
	msr_bitmap = boot_alloc_pages(1);
	for (size_t i = 0; i < ARRAY_SIZE(trapped); i++)
		for (uint32_t m = trapped[i].first; m <= trapped[i].last; m++)
			trap(m, trapped[i].when);
	if (!vmx_has(VMX_OPT_WAIT_FOR_SIPI))
		trap(MSR_X2APIC_ICR, WRITE);
	if (perf_by_hand())
		trap(MSR_PERF_GLOBAL_CTRL, WRITE);
}

static void trap_port(const struct acpi_register *r)
{
	if (r->space != ACPI_SPACE_IO || !r->address || r->address > 0xfffe)
		return;
	for (uint64_t p = r->address; p < r->address + 2; p++)
		io_bitmaps[p / 8] |= (uint8_t)(1u << (p & 7));
}

static void hide_sleep_states(void)
{
	const uint8_t *fadt;
	uint64_t dsdt = 0;
	uint32_t length;
	uint8_t *table;

	if (!found.acpi.fadt.v)
		return;
	fadt = boot_map(found.acpi.fadt, PAGE_SIZE);
	memcpy(&length, fadt + TABLE_LENGTH, sizeof(length));
	if (length >= FADT_X_DSDT + sizeof(dsdt))
		memcpy(&dsdt, fadt + FADT_X_DSDT, sizeof(dsdt));
	if (!dsdt)
		memcpy(&dsdt, fadt + FADT_DSDT, 4);
	if (!dsdt)
		return;
	memcpy(&length, (uint8_t *)boot_map(HPA(dsdt), PAGE_SIZE) + TABLE_LENGTH, sizeof(length));
	if (length > TABLE_MAX)
		return;
	table = boot_map(HPA(dsdt), length);
	sleep_scan(table, length, &control_sleep_types);
	log_dbg("%u sleep states hidden in the DSDT", sleep_hide(table, length));
}

void control_io_init(void)
{
	io_bitmaps = boot_alloc_pages(2);
	if (!found.acpi_found)
		return;
	trap_port(&found.acpi.pm1a_cnt);
	trap_port(&found.acpi.pm1b_cnt);
	hide_sleep_states();
}

void control_vmcs_init(struct vmx_cpu *v)
{
	const struct vmcs_setup setup = {
		.cpu = CPU_IO_BITMAPS,
		.eptp = control_ept_pointer(),
		.cr0_mask = CR0_NE,
		.vpid = 1,
	};

	v->vmcs = vmx_init_vmcs(v->vmcs_page, &setup);
	vmwrite(VMCS_MSR_BITMAP, hpa_of(msr_bitmap).v);
	vmwrite(VMCS_IO_BITMAP_A, hpa_of(io_bitmaps).v);
	vmwrite(VMCS_IO_BITMAP_B, hpa_of(io_bitmaps).v + PAGE_SIZE);
	vmwrite(VMCS_CR0_SHADOW, CR0_NE);
	vmx_write_host_state(v->cpu);
	v->launched = 0;
}

void control_start_boot(struct vmx_cpu *v, const struct linux_start *start)
{
	memset(&v->gprs, 0, sizeof(v->gprs));
	v->gprs.rsi = start->zero_page;
	vmwrite(VMCS_ENTRY_CONTROLS, vmread(VMCS_ENTRY_CONTROLS) | ENTRY_IA32E_GUEST);
	vmwrite(VMCS_GUEST_EFER, EFER_LME | EFER_LMA);
	vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE | CR0_PG);
	vmwrite(VMCS_GUEST_CR3, start->cr3);
	vmwrite(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	vmcs_set_segment(SEG_CS, BOOT_CS, 0, 0xffffffffu, ACCESS_CODE_LONG);
	vmcs_set_data_segments(BOOT_DS, 0xffffffffu, ACCESS_DATA_FLAT);
	vmwrite(VMCS_GUEST_GDTR_BASE, start->gdt);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 4 * 8 - 1);
	vmwrite(VMCS_GUEST_RIP, start->rip);
}

void control_apic_init(void)
{
	if (vmx_has(VMX_OPT_WAIT_FOR_SIPI))
		return;
	control_apic_page = lapic_base().v;
	control_ept_write_protect(lapic_base());
}
