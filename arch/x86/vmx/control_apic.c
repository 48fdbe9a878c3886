// SPDX-License-Identifier: MIT
/*
 * Starting CPUs where the processor has no wait-for-SIPI activity state (older nested hosts).
 *
 * INIT still exits on the CPU that it is sent to; that CPU then waits here, in root mode, where a
 * real SIPI would be lost. So the sender's writes to the interrupt command register are looked at,
 * and a SIPI becomes a note to the waiting CPU. In x2APIC mode the register is an MSR that exits.
 * In xAPIC mode the APIC's page is read-only in EPT and writes to it are decoded: 32-bit moves from
 * a register or of a constant, in 64-bit mode, which is how kernels do it. Everything but SIPIs
 * goes to the real APIC. Source: SDM 3A "Interrupt Command Register (ICR)".
 */
#define LOG_TAG "apic"
#include <log.h>
#include <x86/asm.h>
#include <x86/lapic.h>
#include <x86/mem.h>
#include <x86/vmx/control_ept.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define ICR_LOW		   0x300u
#define ICR_HIGH	   0x310u
#define REX_W		   8
#define REX_R		   4
#define PAGE_LARGE	   BIT64(7)
#define PAGE_ADDRESS	   MASK64(51, 12)
#define ICR_MODE(icr)	   field_get((icr), 10, 8)
#define ICR_SHORTHAND(icr) field_get((icr), 19, 18)
#define MODE_STARTUP	   6
#define ALL_OTHERS	   3
#define OP_MOV_REG	   0x89
#define OP_MOV_IMM	   0xc7
#define SIPI_WAITING	   1u
#define SIPI_RECEIVED	   0x100u

static uint64_t apic_page; /* 0: its writes do not exit */
static struct log_limit limit;

void control_apic_init(void)
{
	if (vmx_caps_has(&vmx_caps, VMX_OPT_WAIT_FOR_SIPI))
		return;
	apic_page = rdmsr(MSR_APIC_BASE) & PAGE_ADDRESS;
	control_ept_write_protect(HPA(apic_page));
}

uint8_t control_await_sipi(struct vmx_cpu *v)
{
	uint32_t sipi;

	__atomic_store_n(&v->sipi, SIPI_WAITING, __ATOMIC_RELEASE);
	while ((sipi = __atomic_load_n(&v->sipi, __ATOMIC_ACQUIRE)) == SIPI_WAITING)
		cpu_relax();
	v->nmi_owed = false; /* a CPU that waits for a SIPI takes none */
	return (uint8_t)sipi;
}

bool control_sipi_sent(uint64_t icr, uint32_t destination, uint32_t broadcast)
{
	if (ICR_MODE(icr) != MODE_STARTUP)
		return false;
	for (unsigned int i = 0; i < cpu_count; i++) {
		uint32_t waiting = SIPI_WAITING;

		if (ICR_SHORTHAND(icr) == ALL_OTHERS || destination == broadcast ||
		    destination == cpu_table[i]->apic_id)
			__atomic_compare_exchange_n(&cpu_table[i]->vmx->sipi, &waiting,
						    SIPI_RECEIVED | (uint8_t)icr, false,
						    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	}
	return true;
}

static uint64_t read_physical(uint64_t pa)
{
	uint64_t value = *(const uint64_t *)window_open(HPA(pa));

	window_close();
	return value;
}

/* The next byte of code at *@rip, as the control domain's page tables map it. */
static uint8_t fetch(uint64_t *rip)
{
	uint64_t entry = vmread(VMCS_GUEST_CR3), va = (*rip)++;
	unsigned int shift = 48;

	do {
		shift -= 9;
		entry = read_physical((entry & PAGE_ADDRESS) + 8 * (va >> shift & 511));
	} while ((entry & 1) && shift > PAGE_SHIFT && !(shift < 39 && (entry & PAGE_LARGE)));
	va &= BIT64(shift) - 1;
	va |= entry & PAGE_ADDRESS & ~(BIT64(shift) - 1);
	return (uint8_t)(read_physical(va & ~UINT64_C(7)) >> 8 * (va & 7));
}

/* The value that the instruction at *@rip stores; *@rip moves behind it. */
static bool decode_store(const struct hv_gprs *g, uint64_t *rip, uint32_t *value)
{
	uint8_t op = fetch(rip), rex = 0, modrm, mod, rm, sib = 0;
	unsigned int reg;

	if ((op & 0xf0) == 0x40) {
		rex = op;
		op = fetch(rip);
	}
	modrm = fetch(rip);
	mod = modrm >> 6;
	rm = modrm & 7;
	if (rm == 4)
		sib = fetch(rip);
	if (mod == 1)
		*rip += 1;
	else if (mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5))
		*rip += 4;
	reg = (modrm >> 3 & 7) | (rex & REX_R ? 8 : 0);
	*value = reg == 4 ? (uint32_t)vmread(VMCS_GUEST_RSP) : (uint32_t)((const uint64_t *)g)[reg];
	if (op == OP_MOV_IMM)
		for (unsigned int i = 0; i < 32; i += 8)
			*value = (i ? *value : 0) | (uint32_t)fetch(rip) << i;
	return (op == OP_MOV_REG || op == OP_MOV_IMM) && !(rex & REX_W) &&
	       (vmread(VMCS_GUEST_CS_ACCESS) & ACCESS_CODE_64);
}

bool control_apic_violation(const struct hv_gprs *g)
{
	uint64_t pa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS), rip = vmread(VMCS_GUEST_RIP);
	uint32_t value, offset = pa & (PAGE_SIZE - 1);

	if (!apic_page || align_down(pa, PAGE_SIZE) != apic_page)
		return false;
	if (!decode_store(g, &rip, &value)) {
		log_limited(&limit, LOG_WARN, "a store to the local APIC at %#lx is not understood",
			    vmread(VMCS_GUEST_RIP));
		vmx_inject_exception(VECTOR_GP, 0);
		return true;
	}
	if (offset != ICR_LOW ||
	    !control_sipi_sent(value, *lapic_register(ICR_HIGH) >> 24, UINT8_MAX))
		*lapic_register(offset) = value;
	vmx_finish_instruction(rip);
	return true;
}
