// SPDX-License-Identifier: MIT
/*
 * CR0 and CR4 writes; see cr.h.
 *
 * Most writes never come here: the masks let a guest change what it owns without an exit. Those
 * that do may switch paging and long mode on or off, so EFER.LMA, the entry control that mirrors it
 * and the PDPTEs follow here as they would on the processor.
 */
#include <x86/asm.h>
#include <x86/vmx/cr.h>
#include <x86/vmx/vcpu.h>
#include <x86/vmx/vmcs.h>
#include <x86/vmx/vmx_bits.h>

#define CR4_PCIDE      BIT64(17)
#define CR4_LA57       BIT64(12)
#define PDPTE_RESERVED (MASK64(8, 5) | MASK64(2, 1)) /* and above MAXPHYADDR */
#define CS_LONG	       ACCESS_CODE_64
#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* Load the PDPTEs that PAE paging will use. False: one has reserved bits, or there is no memory:
 * #GP. */
static bool load_pdptes(pdpte_reader *read, void *ctx)
{
	uint64_t e[4];

	if (!read(ctx, GPA(vmread(VMCS_GUEST_CR3) & MASK64(31, 5)), e))
		return false;
	for (unsigned int i = 0; i < 4; i++)
		if ((e[i] & 1) && (e[i] & (PDPTE_RESERVED | MASK64(63, guest_has.physical_bits))))
			return false;
	vmwrite(VMCS_GUEST_PDPTE0, e[0]);
	vmwrite(VMCS_GUEST_PDPTE1, e[1]);
	vmwrite(VMCS_GUEST_PDPTE2, e[2]);
	vmwrite(VMCS_GUEST_PDPTE3, e[3]);
	return true;
}

uint64_t cr0_read(void)
{
	uint64_t mask = vmread(VMCS_CR0_MASK);

	return (vmread(VMCS_GUEST_CR0) & ~mask) | (vmread(VMCS_CR0_SHADOW) & mask);
}

uint64_t cr4_read(void)
{
	uint64_t mask = vmread(VMCS_CR4_MASK);

	return (vmread(VMCS_GUEST_CR4) & ~mask) | (vmread(VMCS_CR4_SHADOW) & mask);
}

bool cr0_write(uint64_t value, uint64_t owned, pdpte_reader *read, void *ctx)
{
	uint64_t old = cr0_read(), efer = vmread(VMCS_GUEST_EFER), cr4 = vmread(VMCS_GUEST_CR4);
	uint32_t controls = vmread(VMCS_ENTRY_CONTROLS), cs = vmread(VMCS_GUEST_CS_ACCESS);

	if (value >> 32)
		return false;
	value = (value & CR0_DEFINED) | CR0_ET;
	if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
		return false;
	if (!(old & CR0_PG) && (value & CR0_PG) && (efer & EFER_LME)) {
		if (!(cr4 & CR4_PAE) || (cs & CS_LONG))
			return false;
		efer |= EFER_LMA;
		controls |= ENTRY_IA32E_GUEST;
	} else if ((old & CR0_PG) && !(value & CR0_PG)) {
		if ((efer & EFER_LMA) && ((cs & CS_LONG) || (cr4 & CR4_PCIDE)))
			return false;
		efer &= ~EFER_LMA;
		controls &= ~ENTRY_IA32E_GUEST;
	}
	if (pae_paging(value, cr4, efer) && ((value ^ old) & (CR0_PG | CR0_CD | CR0_NW)) &&
	    !load_pdptes(read, ctx))
		return false;

	vmwrite(VMCS_GUEST_EFER, efer);
	vmwrite(VMCS_ENTRY_CONTROLS, controls);
	vmwrite(VMCS_CR0_SHADOW, value);
	vmwrite(VMCS_GUEST_CR0, (value & ~owned) | (vmread(VMCS_GUEST_CR0) & owned));
	return true;
}

bool cr4_write(uint64_t value, uint64_t allowed, pdpte_reader *read, void *ctx)
{
	uint64_t old = cr4_read(), efer = vmread(VMCS_GUEST_EFER);

	if (value & ~allowed)
		return false;
	if ((efer & EFER_LMA) && (!(value & CR4_PAE) || ((value ^ old) & CR4_LA57)))
		return false;
	if (!(old & CR4_PCIDE) && (value & CR4_PCIDE) &&
	    (!(efer & EFER_LMA) || (vmread(VMCS_GUEST_CR3) & 0xfff)))
		return false;
	if (pae_paging(cr0_read(), value, efer) &&
	    ((value ^ old) & (CR4_PAE | BIT64(4) | CR4_PGE | CR4_SMEP)) && !load_pdptes(read, ctx))
		return false;
	vmwrite(VMCS_CR4_SHADOW, value);
	vmwrite(VMCS_GUEST_CR4, value | CR4_VMXE);
	return true;
}
