// SPDX-License-Identifier: MIT
/*
 * What a console said: a ring of bytes that keeps the newest, addressed by position in the stream.
 *
 * Positions count bytes since the start of the VM and never wrap (64 bits). Readers keep their own
 * position and ask what they missed. Pure; callers lock.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct scrollback {
	uint8_t *data;
	size_t bytes; /* a power of two */
	uint64_t end; /* position after the newest byte */
};

/* Position of the oldest byte that is still there. */
static inline uint64_t scrollback_start(const struct scrollback *ring)
{
	return ring->end > ring->bytes ? ring->end - ring->bytes : 0;
}

static inline void scrollback_append(struct scrollback *ring, const uint8_t *data, size_t bytes)
{
	if (bytes > ring->bytes) { /* only the tail can stay */
		ring->end += bytes - ring->bytes;
		data += bytes - ring->bytes;
		bytes = ring->bytes;
	}
	size_t at = ring->end & (ring->bytes - 1);
	size_t first = ring->bytes - at < bytes ? ring->bytes - at : bytes;

	memcpy(ring->data + at, data, first);
	memcpy(ring->data, data + first, bytes - first);
	ring->end += bytes;
}

/* Contiguous bytes from `position` (in [start, end]) on; the rest comes with the next call. */
static inline const uint8_t *scrollback_peek(const struct scrollback *ring, uint64_t position,
					     size_t *bytes)
{
	size_t at = position & (ring->bytes - 1);
	size_t left = (size_t)(ring->end - position);

	*bytes = ring->bytes - at < left ? ring->bytes - at : left;
	return ring->data + at;
}
