// SPDX-License-Identifier: MIT
/*
 * Starting CPUs where the processor has no wait-for-SIPI activity state (older nested hosts), or
 * where some are not ours and must not be woken.
 *
 * INIT still exits on the CPU that it is sent to; that CPU then waits here, in root mode, where a
 * real SIPI would be lost. So the sender's writes to the interrupt command register are looked at,
 * and a SIPI becomes a note to the waiting CPU. In x2APIC mode the register is an MSR that exits.
 * In xAPIC mode the APIC's page is read-only in EPT and writes to it are decoded: 32-bit moves from
 * a register or of a constant, in 64-bit mode, which is how kernels do it. Everything but SIPIs
 * (icr.h) goes to the real APIC.
 */
#define LOG_TAG "apic"
#include <log.h>
#include <x86/asm.h>
#include <x86/lapic.h>
#include <x86/mem.h>
#include <x86/vmx/icr.h>
#include <x86/vmx/store.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx.h>

#define REGISTER_BYTES 16
#define ICR_LOW	       0x300u
#define ICR_HIGH       0x310u
#define PAGE_PRESENT   BIT64(0)
#define PAGE_LARGE     BIT64(7)
#define PAGE_ADDRESS   MASK64(51, 12)
#define SIPI_WAITING   1u
#define SIPI_RECEIVED  0x100u

uint64_t control_apic_page;
static struct log_limit limit;

uint8_t control_await_sipi(struct vmx_cpu *v)
{
	uint32_t sipi;

	__atomic_store_n(&v->sipi, SIPI_WAITING, __ATOMIC_RELEASE);
	while ((sipi = __atomic_load_n(&v->sipi, __ATOMIC_ACQUIRE)) == SIPI_WAITING)
		cpu_relax();
	v->nmi_owed = false; /* a CPU that waits for a SIPI takes none */
	return (uint8_t)sipi;
}

bool control_sipi_sent(uint64_t icr, bool x2apic)
{
	if (lapic_x2apic() != x2apic || !icr_is_sipi(icr, x2apic))
		return false;
	for (unsigned int i = 0; i < cpu_count; i++) {
		uint32_t waiting = SIPI_WAITING;

		if (icr_reaches(icr, x2apic, cpu_table[i]->apic_id))
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

/* The eight bytes at @va as the control domain's page tables map them; 0 where nothing is. */
static uint64_t read_linear(uint64_t va)
{
	uint64_t entry = vmread(VMCS_GUEST_CR3) | PAGE_PRESENT;
	unsigned int shift = 48;

	do {
		shift -= 9;
		entry = read_physical((entry & PAGE_ADDRESS) + 8 * (va >> shift & 511));
		if (!(entry & PAGE_PRESENT))
			return 0;
	} while (shift > PAGE_SHIFT && !(shift < 39 && (entry & PAGE_LARGE)));
	return read_physical((entry & PAGE_ADDRESS & ~(BIT64(shift) - 1)) |
			     (va & (BIT64(shift) - 1)));
}

static bool decode(const struct hv_gprs *g, uint32_t *length, uint32_t *value)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP), first = align_down(rip, 8);
	uint64_t code[] = {read_linear(first), read_linear(first + 8), read_linear(first + 16)};
	struct hv_gprs regs = *g;

	regs.rsp = vmread(VMCS_GUEST_RSP);
	*length = store_decode((const uint8_t *)code + rip % 8, &regs, value);
	return *length && (vmread(VMCS_GUEST_CS_ACCESS) & ACCESS_CODE_64);
}

bool control_apic_violation(const struct hv_gprs *g)
{
	uint64_t pa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
	uint32_t value, length, offset = pa & (PAGE_SIZE - 1);

	if (!control_apic_page || align_down(pa, PAGE_SIZE) != control_apic_page)
		return false;
	/* Registers are 16 bytes apart: what lies between may reach beyond our mapping of the page.
	 */
	if (!is_aligned(offset, REGISTER_BYTES) || !decode(g, &length, &value)) {
		log_limited(&limit, LOG_WARN, "a store to the local APIC at %#lx is not understood",
			    vmread(VMCS_GUEST_RIP));
		vmx_inject_exception(VECTOR_GP, 0);
		return true;
	}
	if (offset != ICR_LOW ||
	    !control_sipi_sent((uint64_t)*lapic_register(ICR_HIGH) << 32 | value, false))
		*lapic_register(offset) = value;
	vmx_finish_instruction(length);
	return true;
}
