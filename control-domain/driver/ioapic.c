// SPDX-License-Identifier: GPL-2.0-only
/* The IOAPIC, see ioapic.h. Polarity is kept and not acted upon: callers say "asserted". */
#include "ioapic.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10

#define INDEX_ID      0x00
#define INDEX_VERSION 0x01
#define INDEX_ARB     0x02
#define INDEX_ENTRIES 0x10

#define VERSION	     (0x11u | (IOAPIC_PINS - 1) << 16)
#define MESSAGE_BASE 0xfee00000ull

#define ENTRY_VECTOR	  0xffull
#define ENTRY_MODE	  0x700ull
#define ENTRY_MODE_SHIFT  8
#define ENTRY_LOGICAL	  (1ull << 11)
#define ENTRY_REMOTE_IRR  (1ull << 14)
#define ENTRY_LEVEL	  (1ull << 15)
#define ENTRY_MASKED	  (1ull << 16)
#define ENTRY_WRITABLE	  0xff0000000001afffull /* less delivery status and remote IRR */
#define MODE_LOWEST	  1
#define MESSAGE_ASSERTED  (1u << 14)
#define MESSAGE_TRIGGERED (1u << 15)

void ioapic_reset(struct kvm_ioapic_state *ioapic)
{
	unsigned int pin;

	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->base_address = IOAPIC_ADDRESS;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic->redirtbl[pin].bits = ENTRY_MASKED;
}

static unsigned int entry_of(const struct kvm_ioapic_state *ioapic)
{
	return (ioapic->ioregsel - INDEX_ENTRIES) / 2;
}

static uint32_t read_index(const struct kvm_ioapic_state *ioapic)
{
	switch (ioapic->ioregsel) {
	case INDEX_ID:
	case INDEX_ARB:
		return (ioapic->id & 0xf) << 24;
	case INDEX_VERSION:
		return VERSION;
	default:
		break;
	}
	if (ioapic->ioregsel < INDEX_ENTRIES || entry_of(ioapic) >= IOAPIC_PINS)
		return 0;
	return (uint32_t)(ioapic->redirtbl[entry_of(ioapic)].bits >>
			  (ioapic->ioregsel & 1 ? 32 : 0));
}

uint32_t ioapic_read(const struct kvm_ioapic_state *ioapic, uint64_t offset)
{
	if (offset == REG_SELECT)
		return ioapic->ioregsel;
	return offset == REG_WINDOW ? read_index(ioapic) : 0;
}

static void write_entry(struct kvm_ioapic_state *ioapic, unsigned int pin, uint32_t value)
{
	uint64_t old = ioapic->redirtbl[pin].bits, entry = old;

	if (ioapic->ioregsel & 1)
		entry = (old & 0xffffffffu) | (uint64_t)value << 32;
	else
		entry = (old & ~0xffffffffull) | value;
	entry = (old & ~ENTRY_WRITABLE) | (entry & ENTRY_WRITABLE);
	if (!(entry & ENTRY_LEVEL))
		entry &= ~ENTRY_REMOTE_IRR; /* how Linux ends a line whose EOI got lost */
	ioapic->redirtbl[pin].bits = entry;
}

int ioapic_write(struct kvm_ioapic_state *ioapic, uint64_t offset, uint32_t value)
{
	unsigned int pin = entry_of(ioapic);

	if (offset == REG_SELECT) {
		ioapic->ioregsel = value & 0xff;
	} else if (offset == REG_WINDOW && ioapic->ioregsel == INDEX_ID) {
		ioapic->id = value >> 24 & 0xf;
	} else if (offset == REG_WINDOW && ioapic->ioregsel >= INDEX_ENTRIES && pin < IOAPIC_PINS) {
		write_entry(ioapic, pin, value);
		return (int)pin;
	}
	return -1;
}

bool ioapic_waits(const struct kvm_ioapic_state *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->redirtbl[pin].bits;

	return ioapic->irr >> pin & 1 && entry & ENTRY_LEVEL &&
	       !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR));
}

bool ioapic_set(struct kvm_ioapic_state *ioapic, unsigned int pin, bool level, bool *send)
{
	uint64_t entry = ioapic->redirtbl[pin].bits;
	bool was = ioapic->irr >> pin & 1;

	ioapic->irr = level ? ioapic->irr | 1u << pin : ioapic->irr & ~(1u << pin);
	if (entry & ENTRY_LEVEL)
		*send = level && ioapic_waits(ioapic, pin);
	else
		*send = level && !was && !(entry & ENTRY_MASKED);
	return !level || *send;
}

struct ioapic_message ioapic_send(struct kvm_ioapic_state *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->redirtbl[pin].bits;
	uint32_t data = (uint32_t)(entry & (ENTRY_VECTOR | ENTRY_MODE));

	if (entry & ENTRY_LEVEL) {
		data |= MESSAGE_TRIGGERED | MESSAGE_ASSERTED;
		ioapic->redirtbl[pin].bits |= ENTRY_REMOTE_IRR;
	}
	return (struct ioapic_message){
		.address =
			MESSAGE_BASE | (entry >> 56) << 12 | (entry & ENTRY_LOGICAL ? 1 << 2 : 0),
		.data = data,
	};
}

uint32_t ioapic_end(struct kvm_ioapic_state *ioapic, uint8_t vector)
{
	uint32_t ended = 0;
	unsigned int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((ioapic->redirtbl[pin].bits & ENTRY_VECTOR) != vector ||
		    !(ioapic->redirtbl[pin].bits & ENTRY_REMOTE_IRR))
			continue;
		ioapic->redirtbl[pin].bits &= ~ENTRY_REMOTE_IRR;
		ended |= 1u << pin;
	}
	return ended;
}

void ioapic_eoi_vectors(const struct kvm_ioapic_state *ioapic, uint64_t vectors[4])
{
	unsigned int pin, vector;
	uint64_t entry;

	memset(vectors, 0, 4 * sizeof(*vectors));
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		entry = ioapic->redirtbl[pin].bits;
		if (!(entry & ENTRY_LEVEL) ||
		    (entry & ENTRY_MODE) >> ENTRY_MODE_SHIFT > MODE_LOWEST)
			continue;
		/* A masked one as well: its last interrupt may still be in service. */
		vector = entry & ENTRY_VECTOR;
		vectors[vector / 64] |= 1ull << (vector % 64);
	}
}
