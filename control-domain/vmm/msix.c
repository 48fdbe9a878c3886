// SPDX-License-Identifier: MIT
/*
 * Vectors and their masks. All raising goes through here, so masking needs no help of the kernel:
 * a route always holds the entry's message, and a masked vector is simply not raised.
 */
#include "msix.h"

#include <string.h>

#define CAPABILITY_ID	 0x11
#define CAPABILITY_BYTES 12
#define CONTROL_ENABLE	 0x8000
#define CONTROL_MASKED	 0x4000
#define ENTRY_MASKED	 0x1

static bool is_masked_locked(const struct msix *msix, unsigned vector)
{
	return msix->masked || (msix->entry[vector][3] & ENTRY_MASKED);
}

static void send_pending_locked(struct msix *msix)
{
	for (unsigned vector = 0; vector < msix->count; vector++) {
		if (!(msix->pending & 1u << vector) || is_masked_locked(msix, vector))
			continue;
		msix->pending &= ~(1u << vector);
		irq_raise(msix->irq, msix->gsi[vector]);
	}
}

static void update_route_locked(struct msix *msix, unsigned vector)
{
	const uint32_t *entry = msix->entry[vector];

	/* While masked a guest may be half-way through writing: wait for the unmask. */
	if (msix->enabled && !is_masked_locked(msix, vector))
		irq_set_message(msix->irq, msix->gsi[vector], true,
				(uint64_t)entry[1] << 32 | entry[0], entry[2]);
}

static void update_all_locked(struct msix *msix)
{
	for (unsigned vector = 0; vector < msix->count; vector++)
		update_route_locked(msix, vector);
	if (msix->enabled)
		send_pending_locked(msix);
}

static void reset_locked(struct msix *msix)
{
	memset(msix->entry, 0, sizeof(msix->entry));
	for (unsigned vector = 0; vector < msix->count; vector++)
		msix->entry[vector][3] = ENTRY_MASKED;
	msix->pending = 0;
}

int msix_init(struct msix *msix, struct irq *irq, struct pci_device *device, unsigned count,
	      uint32_t table_offset, uint32_t pending_offset, struct reason *why)
{
	unsigned at = pci_add_capability(device, CAPABILITY_ID, CAPABILITY_BYTES);
	uint16_t control = (uint16_t)(count - 1);

	memcpy(device->config + at + 2, &control, sizeof(control));
	memcpy(device->config + at + 4, &table_offset, sizeof(table_offset));
	memcpy(device->config + at + 8, &pending_offset, sizeof(pending_offset));
	device->writable[at + 3] = (CONTROL_ENABLE | CONTROL_MASKED) >> 8;

	memset(msix, 0, sizeof(*msix));
	pthread_mutex_init(&msix->lock, NULL);
	msix->irq = irq;
	msix->count = count;
	msix->capability = at;
	for (unsigned vector = 0; vector < count; vector++) {
		int gsi = irq_add(irq, why);

		if (gsi < 0)
			return -1;
		msix->gsi[vector] = (unsigned)gsi;
	}
	reset_locked(msix);
	return 0;
}

void msix_configured(struct msix *msix, const struct pci_device *device)
{
	uint16_t control;

	memcpy(&control, device->config + msix->capability + 2, sizeof(control));
	pthread_mutex_lock(&msix->lock);
	msix->enabled = control & CONTROL_ENABLE;
	msix->masked = control & CONTROL_MASKED;
	update_all_locked(msix);
	pthread_mutex_unlock(&msix->lock);
}

void msix_reset(struct msix *msix)
{
	pthread_mutex_lock(&msix->lock);
	reset_locked(msix);
	pthread_mutex_unlock(&msix->lock);
}

static bool table_slice(const struct msix *msix, uint32_t offset, unsigned bytes)
{
	return (bytes == 4 || bytes == 8) && offset % bytes == 0 &&
	       offset + bytes <= msix->count * MSIX_ENTRY_BYTES;
}

uint64_t msix_table_read(struct msix *msix, uint32_t offset, unsigned bytes)
{
	uint64_t value = 0;

	if (!table_slice(msix, offset, bytes))
		return 0;
	pthread_mutex_lock(&msix->lock);
	memcpy(&value, (const uint8_t *)msix->entry + offset, bytes);
	pthread_mutex_unlock(&msix->lock);
	return value;
}

void msix_table_write(struct msix *msix, uint32_t offset, unsigned bytes, uint64_t value)
{
	if (!table_slice(msix, offset, bytes))
		return;
	pthread_mutex_lock(&msix->lock);
	memcpy((uint8_t *)msix->entry + offset, &value, bytes);
	update_route_locked(msix, offset / MSIX_ENTRY_BYTES);
	if (msix->enabled)
		send_pending_locked(msix);
	pthread_mutex_unlock(&msix->lock);
}

uint64_t msix_pending_read(struct msix *msix, uint32_t offset)
{
	pthread_mutex_lock(&msix->lock);
	uint64_t pending = offset < 8 ? (uint64_t)msix->pending >> (8 * offset) : 0;

	pthread_mutex_unlock(&msix->lock);
	return pending;
}

void msix_raise(struct msix *msix, unsigned vector)
{
	pthread_mutex_lock(&msix->lock);
	if (vector < msix->count && msix->enabled) {
		if (is_masked_locked(msix, vector))
			msix->pending |= 1u << vector;
		else
			irq_raise(msix->irq, msix->gsi[vector]);
	}
	pthread_mutex_unlock(&msix->lock);
}
