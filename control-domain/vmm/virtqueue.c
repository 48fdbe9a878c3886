// SPDX-License-Identifier: MIT
/*
 * Rings in memory shared with the guest. Indices are read with acquire and published with release
 * order; flags and event indices need a full barrier between our write and our read (the same
 * argument as in the standard: one of the two sides sees the other's). All fields are little
 * endian, as is every machine this runs on.
 */
#include "virtqueue.h"

#include <linux/virtio_ring.h>
#include <string.h>

#define RING_FLAGS_OFFSET 0
#define RING_INDEX_OFFSET 2
#define RING_ITEMS_OFFSET 4

static uint16_t load16(const void *base, size_t offset)
{
	return __atomic_load_n((const uint16_t *)((const uint8_t *)base + offset),
			       __ATOMIC_ACQUIRE);
}

static void store16(void *base, size_t offset, uint16_t value)
{
	__atomic_store_n((uint16_t *)((uint8_t *)base + offset), value, __ATOMIC_RELEASE);
}

static size_t avail_event_offset(const struct virtqueue *queue) /* in the used ring */
{
	return RING_ITEMS_OFFSET + sizeof(struct vring_used_elem) * queue->size;
}

static size_t used_event_offset(const struct virtqueue *queue) /* in the available ring */
{
	return RING_ITEMS_OFFSET + sizeof(uint16_t) * queue->size;
}

void virtqueue_reset(struct virtqueue *queue)
{
	*queue = (struct virtqueue){
		.memory = queue->memory, .size_max = queue->size_max, .size = queue->size_max};
}

bool virtqueue_enable(struct virtqueue *queue)
{
	uint64_t size = queue->size;

	/* A power of two, so that index wrap-around and ring wrap-around coincide. */
	bool usable = size && size <= queue->size_max && !(size & (size - 1)) &&
		      queue->desc_gpa % 16 == 0 && queue->avail_gpa % 2 == 0 &&
		      queue->used_gpa % 4 == 0;

	queue->desc =
		guest_memory_at(queue->memory, queue->desc_gpa, size * sizeof(struct vring_desc));
	queue->avail = guest_memory_at(queue->memory, queue->avail_gpa, 6 + 2 * size);
	queue->used = guest_memory_at(queue->memory, queue->used_gpa, 6 + 8 * size);
	if (!usable || !queue->desc || !queue->avail || !queue->used) {
		queue->broken = true;
		return false;
	}
	queue->enabled = true;
	return true;
}

static enum virtqueue_result give_up(struct virtqueue *queue)
{
	queue->broken = true;
	return VIRTQUEUE_BROKEN;
}

static bool add_part(const struct virtqueue *queue, const struct vring_desc *desc,
		     struct virtqueue_chain *chain)
{
	bool in = desc->flags & VRING_DESC_F_WRITE;
	unsigned at = chain->out_count + chain->in_count;

	if (!desc->len)
		return true;
	if (at == VIRTQUEUE_IOV_MAX || (!in && chain->in_count))
		return false;
	void *base = guest_memory_at(queue->memory, desc->addr, desc->len);

	if (!base)
		return false;
	chain->iov[at] = (struct iovec){.iov_base = base, .iov_len = desc->len};
	if (in) {
		chain->in_count++;
		chain->in_bytes += desc->len;
	} else {
		chain->out_count++;
		chain->out_bytes += desc->len;
	}
	return true;
}

/* The table that an indirect descriptor names; NULL unless it is whole guest memory. */
static const void *indirect_table(const struct virtqueue *queue, const struct vring_desc *desc)
{
	if ((desc->flags & VRING_DESC_F_NEXT) || !desc->len || desc->len % sizeof(*desc))
		return NULL;
	return guest_memory_at(queue->memory, desc->addr, desc->len);
}

/*
 * Follows the chain from descriptor `index`, or the indirect table that it names. A table has at
 * most `size` steps, so a loop ends.
 */
static bool walk(const struct virtqueue *queue, uint32_t index, struct virtqueue_chain *chain)
{
	const struct vring_desc *table = queue->desc;
	uint32_t size = queue->size;
	bool indirect = false;

	for (uint32_t steps = 0; steps < size && index < size; steps++) {
		struct vring_desc desc;

		memcpy(&desc, table + index, sizeof(desc));
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			/* Not within another table, nor at the end of a chain. */
			if (indirect || steps || !(table = indirect_table(queue, &desc)))
				return false;
			indirect = true;
			size = desc.len / sizeof(desc);
			index = 0;
			steps = UINT32_MAX; /* starts again at 0 */
			continue;
		}
		if (!add_part(queue, &desc, chain))
			return false;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		index = desc.next;
	}
	return false;
}

enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	if (!queue->enabled || queue->broken)
		return VIRTQUEUE_BROKEN;

	uint16_t waiting = (uint16_t)(load16(queue->avail, RING_INDEX_OFFSET) - queue->next_avail);

	if (!waiting)
		return VIRTQUEUE_EMPTY;
	if (waiting > queue->size)
		return give_up(queue);

	unsigned slot = queue->next_avail & (queue->size - 1);

	chain->head = load16(queue->avail, RING_ITEMS_OFFSET + 2 * slot);
	chain->out_count = chain->in_count = 0;
	chain->out_bytes = chain->in_bytes = 0;
	if (!walk(queue, chain->head, chain))
		return give_up(queue);
	queue->next_avail++;
	return VIRTQUEUE_CHAIN;
}

void virtqueue_unpop(struct virtqueue *queue)
{
	queue->next_avail--;
}

void virtqueue_push(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t written)
{
	if (!queue->enabled || queue->broken)
		return;
	struct vring_used_elem item = {.id = chain->head, .len = written};
	unsigned slot = queue->next_used & (queue->size - 1);

	memcpy((uint8_t *)queue->used + RING_ITEMS_OFFSET + sizeof(item) * slot, &item,
	       sizeof(item));
	queue->next_used++;
	store16(queue->used, RING_INDEX_OFFSET, queue->next_used);
}

bool virtqueue_should_interrupt(struct virtqueue *queue)
{
	if (!queue->enabled || queue->broken)
		return false;
	uint16_t before = queue->interrupt_at;

	queue->interrupt_at = queue->next_used;
	if (before == queue->next_used)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queue->event_index)
		return !(load16(queue->avail, RING_FLAGS_OFFSET) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(load16(queue->avail, used_event_offset(queue)), queue->next_used,
				before);
}

void virtqueue_doorbell_off(struct virtqueue *queue)
{
	/* With event indices the stale index does it: it names a request that came long ago. */
	if (queue->enabled && !queue->broken && !queue->event_index)
		store16(queue->used, RING_FLAGS_OFFSET, VRING_USED_F_NO_NOTIFY);
}

bool virtqueue_doorbell_on(struct virtqueue *queue)
{
	if (!queue->enabled || queue->broken)
		return false;
	if (queue->event_index)
		store16(queue->used, avail_event_offset(queue), queue->next_avail);
	else
		store16(queue->used, RING_FLAGS_OFFSET, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16(queue->avail, RING_INDEX_OFFSET) != queue->next_avail;
}

unsigned virtqueue_slice(const struct iovec *parts, unsigned count, uint64_t offset, uint64_t bytes,
			 struct iovec *iov)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count && bytes; i++) {
		if (offset >= parts[i].iov_len) {
			offset -= parts[i].iov_len;
			continue;
		}
		uint64_t here = parts[i].iov_len - offset;

		if (here > bytes)
			here = bytes;
		iov[used++] = (struct iovec){.iov_base = (uint8_t *)parts[i].iov_base + offset,
					     .iov_len = here};
		bytes -= here;
		offset = 0;
	}
	return used;
}

size_t virtqueue_read(const struct virtqueue_chain *chain, uint64_t offset, void *to, size_t bytes)
{
	struct iovec iov[VIRTQUEUE_IOV_MAX];
	unsigned count = virtqueue_slice(chain->iov, chain->out_count, offset, bytes, iov);
	size_t done = 0;

	for (unsigned i = 0; i < count; i++) {
		memcpy((uint8_t *)to + done, iov[i].iov_base, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	return done;
}

size_t virtqueue_write(const struct virtqueue_chain *chain, uint64_t offset, const void *from,
		       size_t bytes)
{
	struct iovec iov[VIRTQUEUE_IOV_MAX];
	unsigned count =
		virtqueue_slice(chain->iov + chain->out_count, chain->in_count, offset, bytes, iov);
	size_t done = 0;

	for (unsigned i = 0; i < count; i++) {
		memcpy(iov[i].iov_base, (const uint8_t *)from + done, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	return done;
}
