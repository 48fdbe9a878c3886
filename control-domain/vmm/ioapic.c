// SPDX-License-Identifier: MIT
/*
 * Redirection entries and the two registers in front of them. Polarity is kept but not acted upon:
 * callers say "asserted", and how a guest calls that electrically does not matter here.
 */
#include "ioapic.h"

#include <string.h>

#define REG_SELECT 0x00
#define REG_WINDOW 0x10

#define INDEX_ID      0x00
#define INDEX_VERSION 0x01
#define INDEX_ARB     0x02
#define INDEX_ENTRIES 0x10

#define VERSION (0x11 | (IOAPIC_PINS - 1) << 16)

#define ENTRY_VECTOR	 0xffull
#define ENTRY_LOGICAL	 (1ull << 11)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL	 (1ull << 15)
#define ENTRY_MASKED	 (1ull << 16)
#define ENTRY_WRITABLE	 0xff0000000001afffull /* less delivery status and remote IRR */

static uint64_t message_address(uint64_t entry)
{
	return 0xfee00000u | (entry >> 56) << 12 | (entry & ENTRY_LOGICAL ? 1u << 2 : 0);
}

static uint32_t message_data(uint64_t entry)
{
	uint32_t data = (uint32_t)(entry & (ENTRY_VECTOR | 0x700));

	/* Level-triggered messages say "assert"; de-assertion is not sent on this bus. */
	if (entry & ENTRY_LEVEL)
		data |= 1u << 15 | 1u << 14;
	return data;
}

static void send_locked(struct ioapic *ioapic, unsigned pin)
{
	uint64_t entry = ioapic->entry[pin];

	if (entry & ENTRY_LEVEL)
		ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
	ioapic->ops->send(ioapic->context, message_address(entry), message_data(entry));
}

static void send_if_level_pending_locked(struct ioapic *ioapic, unsigned pin)
{
	uint64_t entry = ioapic->entry[pin];

	if ((ioapic->level & 1u << pin) && (entry & ENTRY_LEVEL) &&
	    !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
		send_locked(ioapic, pin);
}

static void write_entry_locked(struct ioapic *ioapic, unsigned pin, uint64_t value)
{
	uint64_t entry = (ioapic->entry[pin] & ~ENTRY_WRITABLE) | (value & ENTRY_WRITABLE);

	if (!(entry & ENTRY_LEVEL))
		entry &= ~ENTRY_REMOTE_IRR;
	ioapic->entry[pin] = entry;
	ioapic->ops->route(ioapic->context, pin, !(entry & ENTRY_MASKED), message_address(entry),
			   message_data(entry));
	send_if_level_pending_locked(ioapic, pin);
}

void ioapic_init(struct ioapic *ioapic, const struct ioapic_ops *ops, void *context)
{
	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->ops = ops;
	ioapic->context = context;
	pthread_mutex_init(&ioapic->lock, NULL);
	ioapic_reset(ioapic);
}

void ioapic_reset(struct ioapic *ioapic)
{
	pthread_mutex_lock(&ioapic->lock);
	ioapic->select = 0;
	ioapic->id = 0;
	ioapic->level = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic->entry[pin] = ENTRY_MASKED;
		ioapic->ops->route(ioapic->context, pin, false, 0, 0);
	}
	pthread_mutex_unlock(&ioapic->lock);
}

static uint32_t read_index_locked(const struct ioapic *ioapic)
{
	unsigned entry = (unsigned)(ioapic->select - INDEX_ENTRIES) / 2;

	switch (ioapic->select) {
	case INDEX_ID:
	case INDEX_ARB:
		return (uint32_t)ioapic->id << 24;
	case INDEX_VERSION:
		return VERSION;
	}
	if (ioapic->select < INDEX_ENTRIES || entry >= IOAPIC_PINS)
		return 0;
	return (uint32_t)(ioapic->entry[entry] >> (ioapic->select & 1 ? 32 : 0));
}

static void write_index_locked(struct ioapic *ioapic, uint32_t value)
{
	unsigned entry = (unsigned)(ioapic->select - INDEX_ENTRIES) / 2;

	if (ioapic->select == INDEX_ID)
		ioapic->id = (uint8_t)(value >> 24) & 0xf;
	if (ioapic->select < INDEX_ENTRIES || entry >= IOAPIC_PINS)
		return;
	uint64_t old = ioapic->entry[entry];

	if (ioapic->select & 1)
		write_entry_locked(ioapic, entry, (old & 0xffffffffu) | (uint64_t)value << 32);
	else
		write_entry_locked(ioapic, entry, (old & ~0xffffffffull) | value);
}

uint32_t ioapic_read(struct ioapic *ioapic, uint64_t offset)
{
	uint32_t value = 0;

	pthread_mutex_lock(&ioapic->lock);
	if (offset == REG_SELECT)
		value = ioapic->select;
	else if (offset == REG_WINDOW)
		value = read_index_locked(ioapic);
	pthread_mutex_unlock(&ioapic->lock);
	return value;
}

void ioapic_write(struct ioapic *ioapic, uint64_t offset, uint32_t value)
{
	pthread_mutex_lock(&ioapic->lock);
	if (offset == REG_SELECT)
		ioapic->select = (uint8_t)value;
	else if (offset == REG_WINDOW)
		write_index_locked(ioapic, value);
	pthread_mutex_unlock(&ioapic->lock);
}

void ioapic_set(struct ioapic *ioapic, unsigned pin, bool asserted)
{
	uint32_t bit = 1u << pin;

	pthread_mutex_lock(&ioapic->lock);
	bool rises = asserted && !(ioapic->level & bit);

	ioapic->level = asserted ? ioapic->level | bit : ioapic->level & ~bit;
	if (rises && !(ioapic->entry[pin] & (ENTRY_MASKED | ENTRY_LEVEL)))
		send_locked(ioapic, pin);
	send_if_level_pending_locked(ioapic, pin);
	pthread_mutex_unlock(&ioapic->lock);
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	pthread_mutex_lock(&ioapic->lock);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = ioapic->entry[pin];

		if ((entry & ENTRY_VECTOR) != vector || !(entry & ENTRY_REMOTE_IRR))
			continue;
		ioapic->entry[pin] &= ~ENTRY_REMOTE_IRR;
		send_if_level_pending_locked(ioapic, pin);
	}
	pthread_mutex_unlock(&ioapic->lock);
}
