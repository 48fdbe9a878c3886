// SPDX-License-Identifier: MIT
/*
 * The device's side of a virtio split virtqueue. Pure code, and everything it reads is hostile.
 *
 * Descriptors are copied once and then checked; buffers are handed out as pointers only where
 * all their bytes are guest memory. A ring that breaks the standard makes the queue `broken`: the
 * device then asks for a reset, and nothing more is read from it. Chains have at most
 * VIRTQUEUE_IOV_MAX parts. Packed rings are not offered.
 *
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, 2.7 "Split Virtqueues".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "guest_memory.h"

enum { VIRTQUEUE_SIZE_MAX = 256, VIRTQUEUE_IOV_MAX = 130 };

struct virtqueue {
	const struct guest_memory *memory;
	uint16_t size_max; /* what the device offers */
	uint16_t size;	   /* what the driver chose */
	uint64_t desc_gpa, avail_gpa, used_gpa;
	bool enabled;
	bool broken;
	bool event_index; /* VIRTIO_F_EVENT_IDX was accepted */
	uint16_t next_avail;
	uint16_t next_used;
	uint16_t interrupt_at; /* next_used when the driver was last considered for an interrupt */
	void *desc, *avail, *used;
};

/*
 * A request: `out` parts that the device reads, followed by `in` parts that it writes. After the
 * device consumed parts (virtqueue_read/write), `out`/`in` still describe the whole chain.
 */
struct virtqueue_chain {
	uint16_t head;
	unsigned out_count, in_count;
	uint64_t out_bytes, in_bytes;
	struct iovec iov[VIRTQUEUE_IOV_MAX]; /* out parts, then in parts */
};

enum virtqueue_result {
	VIRTQUEUE_EMPTY,
	VIRTQUEUE_CHAIN,
	VIRTQUEUE_BROKEN,
};

/* To the state after reset; keeps memory and size_max. */
void virtqueue_reset(struct virtqueue *queue);

/* Takes the addresses and the size into use; false (and broken) if they are not usable memory. */
bool virtqueue_enable(struct virtqueue *queue);

/* Next request the driver made available. */
enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Takes back the last popped chain: it will be popped again. */
void virtqueue_unpop(struct virtqueue *queue);

/* Gives a chain back, `written` bytes of its in parts being valid. */
void virtqueue_push(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t written);

/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtqueue_should_interrupt(struct virtqueue *queue);

/* Asks the driver not to ring the doorbell. */
void virtqueue_doorbell_off(struct virtqueue *queue);

/* Asks for the doorbell again; true when requests arrived meanwhile (pop again, do not wait). */
bool virtqueue_doorbell_on(struct virtqueue *queue);

/* Copies between flat memory and the out / in parts from byte `offset` on; returns bytes copied. */
size_t virtqueue_read(const struct virtqueue_chain *chain, uint64_t offset, void *to, size_t bytes);
size_t virtqueue_write(const struct virtqueue_chain *chain, uint64_t offset, const void *from,
		       size_t bytes);

/* Narrows the out (or in) parts to [offset, offset + bytes) into `iov`; returns their number. */
unsigned virtqueue_slice(const struct iovec *parts, unsigned count, uint64_t offset, uint64_t bytes,
			 struct iovec *iov);
