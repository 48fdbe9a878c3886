// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/virtqueue.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE
/*
 * Virtqueues under a driver made of random bytes: the input is guest memory, with the rings in it,
 * and a few bytes that choose addresses and size. Whatever it says, no access leaves guest memory
 * (the sanitizers watch its borders), every walk ends, and chains describe what they claim.
 */
#include <stdlib.h>
#include <string.h>

#include "virtqueue.h"

enum { MEMORY = 4096, SIZE_MAX_OFFERED = 16, POPS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_chain(const struct guest_memory *memory, const struct virtqueue_chain *chain)
{
	const uint8_t *start = memory->range[0].host;
	uint64_t out = 0, in = 0;

	check(chain->out_count + chain->in_count <= VIRTQUEUE_IOV_MAX);
	for (unsigned i = 0; i < chain->out_count + chain->in_count; i++) {
		const uint8_t *at = chain->iov[i].iov_base;

		check(chain->iov[i].iov_len && at >= start &&
		      at + chain->iov[i].iov_len <= start + MEMORY);
		*(i < chain->out_count ? &out : &in) += chain->iov[i].iov_len;
	}
	check(out == chain->out_bytes && in == chain->in_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct virtqueue queue;
	struct virtqueue_chain chain;
	uint8_t scratch[64], head[8] = {0};
	uint8_t *ram = calloc(1, MEMORY); /* on the heap, so that its ends are guarded */
	const struct guest_memory memory = {
		.count = 1, .range = {{.bytes = MEMORY, .host = ram}}, .bytes = MEMORY};

	memcpy(head, data, bytes < sizeof(head) ? bytes : sizeof(head));
	if (bytes > sizeof(head))
		memcpy(ram, data + sizeof(head),
		       bytes - sizeof(head) < MEMORY ? bytes - sizeof(head) : MEMORY);
	queue = (struct virtqueue){.memory = &memory, .size_max = SIZE_MAX_OFFERED};
	virtqueue_reset(&queue);
	queue.size = head[0];
	queue.event_index = head[1] & 1;
	queue.desc_gpa = head[2] * 16ull;
	queue.avail_gpa = head[3] * 16ull;
	queue.used_gpa = head[4] * 16ull;
	if (virtqueue_enable(&queue)) {
		for (unsigned i = 0; i < POPS; i++) {
			enum virtqueue_result result = virtqueue_pop(&queue, &chain);

			check((result == VIRTQUEUE_BROKEN) == queue.broken);
			if (result != VIRTQUEUE_CHAIN)
				break;
			check_chain(&memory, &chain);
			virtqueue_read(&chain, head[5], scratch, sizeof(scratch));
			virtqueue_write(&chain, head[6], scratch, sizeof(scratch));
			virtqueue_push(&queue, &chain, head[7]);
			virtqueue_should_interrupt(&queue);
			virtqueue_doorbell_on(&queue);
		}
	}
	free(ram);
	return 0;
}
