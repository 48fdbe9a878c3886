// SPDX-License-Identifier: MIT
/*
 * Sending INIT and SIPI through the local APIC in whichever mode it is.
 *
 * Source: SDM 3A "Issuing Interprocessor Interrupts", "x2APIC Register Address Space".
 */
#include <x86/lapic.h>
#include <x86/asm.h>

#define APIC_BASE_X2APIC BIT64(10)
#define APIC_BASE_ENABLE BIT64(11)

#define ICR_LOW	     0x300
#define ICR_HIGH     0x310
#define ICR_PENDING  BIT64(12)
#define ICR_ASSERT   BIT64(14)
#define ICR_INIT     (UINT64_C(5) << 8)
#define ICR_STARTUP  (UINT64_C(6) << 8)
#define ICR_OTHERS   (UINT64_C(3) << 18)
#define ICR_PATIENCE 100000

static volatile uint8_t *registers;

volatile uint32_t *lapic_register(unsigned int offset)
{
	return (volatile uint32_t *)(registers + offset);
}

void lapic_init(void *mapped)
{
	registers = mapped;
}

bool lapic_x2apic(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
}

static void icr_write(uint32_t apic_id, uint64_t command)
{
	if (!registers || !(rdmsr(MSR_APIC_BASE) & APIC_BASE_ENABLE))
		return;
	if (lapic_x2apic()) {
		wrmsr(MSR_X2APIC_ICR, (uint64_t)apic_id << 32 | command);
		return;
	}
	*lapic_register(ICR_HIGH) = apic_id << 24;
	*lapic_register(ICR_LOW) = (uint32_t)command;
	for (int i = 0; i < ICR_PATIENCE && (*lapic_register(ICR_LOW) & ICR_PENDING); i++)
		cpu_relax();
}

void lapic_send_init(uint32_t apic_id)
{
	icr_write(apic_id, ICR_INIT | ICR_ASSERT);
}

void lapic_send_sipi(uint32_t apic_id, uint8_t vector)
{
	icr_write(apic_id, ICR_STARTUP | ICR_ASSERT | vector);
}

void lapic_send_init_all_others(void)
{
	icr_write(0, ICR_OTHERS | ICR_INIT | ICR_ASSERT);
}
