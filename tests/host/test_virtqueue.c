// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/virtqueue.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE
/* The device's side of virtqueues, against a driver that behaves and one that does not. */
#include "test.h"

#include <linux/virtio_ring.h>

#include "virtqueue.h"

enum { SIZE = 8, DESC = 0x1000, AVAIL = 0x2000, USED = 0x3000, DATA = 0x4000, TABLE = 0x5000 };
enum { BYTES = 0x8000, HIGH = 0x1000 };
#define HIGH_GPA 0x100000000ull

static uint8_t low[BYTES], high[HIGH];
static const struct guest_memory memory = {
	.count = 2, .range = {{0, BYTES, low}, {HIGH_GPA, HIGH, high}}, .bytes = BYTES + HIGH};
static struct virtqueue queue;
static struct virtqueue_chain chain;

static struct vring_desc *desc(unsigned i)
{
	return (struct vring_desc *)(low + DESC) + i;
}

static uint16_t *avail(unsigned i)
{
	return (uint16_t *)(low + AVAIL) + i;
}

static uint16_t *used(unsigned i)
{
	return (uint16_t *)(low + USED) + i;
}

static void set_desc(void *table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	((struct vring_desc *)table)[i] = (struct vring_desc){addr, len, flags, next};
}

static void make_available(uint16_t head)
{
	avail(2)[avail(1)[0] % SIZE] = head;
	avail(1)[0]++;
}

static void start(bool event_index)
{
	queue = (struct virtqueue){.memory = &memory, .size_max = SIZE};
	virtqueue_reset(&queue);
	queue.desc_gpa = DESC;
	queue.avail_gpa = AVAIL;
	queue.used_gpa = USED;
	queue.event_index = event_index;
	CHECK(virtqueue_enable(&queue));
}

static void expect_broken(void)
{
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	CHECK(queue.broken);
	/* And it stays so until a reset, whatever the driver offers. */
	set_desc(desc(0), 0, DATA, 16, 0, 0);
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	CHECK(!virtqueue_doorbell_on(&queue));
	CHECK(!virtqueue_should_interrupt(&queue));
}

TEST(chain_out_and_in)
{
	uint8_t text[8];

	start(false);
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_EMPTY);
	memcpy(low + DATA, "abcdef", 6);
	set_desc(desc(0), 0, DATA, 4, VRING_DESC_F_NEXT, 2);
	set_desc(desc(0), 2, DATA + 4, 2, VRING_DESC_F_NEXT, 1);
	set_desc(desc(0), 1, DATA + 16, 8, VRING_DESC_F_WRITE, 0);
	make_available(0);
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	CHECK_EQ(chain.out_count, 2);
	CHECK_EQ(chain.in_count, 1);
	CHECK_EQ(chain.out_bytes, 6);
	CHECK_EQ(chain.in_bytes, 8);
	CHECK_EQ(virtqueue_read(&chain, 3, text, sizeof(text)), 3);
	CHECK_MEMEQ(text, "def", 3);
	CHECK_EQ(virtqueue_write(&chain, 2, "xyz", 3), 3);
	CHECK_MEMEQ(low + DATA + 18, "xyz", 3);
	CHECK_EQ(virtqueue_write(&chain, 7, "xyz", 3), 1);
	virtqueue_push(&queue, &chain, 5);
	CHECK_EQ(*used(1), 1);
	CHECK_EQ(((struct vring_used_elem *)used(2))->id, 0);
	CHECK_EQ(((struct vring_used_elem *)used(2))->len, 5);
	CHECK(virtqueue_should_interrupt(&queue));
	CHECK(!virtqueue_should_interrupt(&queue));
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_EMPTY);
}

TEST(unpop_gives_it_again)
{
	start(false);
	set_desc(desc(0), 3, DATA, 4, 0, 0);
	make_available(3);
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	virtqueue_unpop(&queue);
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	CHECK_EQ(chain.head, 3);
}

TEST(index_wraps)
{
	start(false);
	set_desc(desc(0), 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < 70000; i++) {
		make_available(0);
		CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
		virtqueue_push(&queue, &chain, 0);
		CHECK_EQ(*used(1), (uint16_t)(i + 1));
	}
}

TEST(empty_parts_are_skipped)
{
	start(false);
	set_desc(desc(0), 0, 0xdead0000, 0, VRING_DESC_F_NEXT, 1);
	set_desc(desc(0), 1, DATA, 4, 0, 0);
	make_available(0);
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	CHECK_EQ(chain.out_count, 1);
}

TEST(indirect)
{
	start(false);
	set_desc(low + TABLE, 0, DATA, 4, VRING_DESC_F_NEXT, 1);
	set_desc(low + TABLE, 1, HIGH_GPA, 8, VRING_DESC_F_WRITE, 0);
	set_desc(desc(0), 0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	make_available(0);
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	CHECK_EQ(chain.iov[1].iov_base, high);
}

TEST(broken_head_out_of_range)
{
	start(false);
	make_available(SIZE);
	expect_broken();
}

TEST(broken_next_out_of_range)
{
	start(false);
	set_desc(desc(0), 0, DATA, 4, VRING_DESC_F_NEXT, SIZE);
	make_available(0);
	expect_broken();
}

TEST(broken_loop)
{
	start(false);
	set_desc(desc(0), 0, DATA, 4, VRING_DESC_F_NEXT, 1);
	set_desc(desc(0), 1, DATA, 4, VRING_DESC_F_NEXT, 0);
	make_available(0);
	expect_broken();
}

TEST(broken_index_jumps)
{
	start(false);
	*avail(1) = SIZE + 1;
	expect_broken();
}

TEST(broken_address_outside)
{
	const uint64_t bad[][2] = {{BYTES, 1},	     {BYTES - 1, 2},   {HIGH_GPA - 1, 2},
				   {UINT64_MAX, 16}, {DATA, 1u << 31}, {HIGH_GPA + HIGH, 1}};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(low, 0, sizeof(low));
		start(false);
		set_desc(desc(0), 0, bad[i][0], (uint32_t)bad[i][1], 0, 0);
		make_available(0);
		expect_broken();
	}
}

TEST(broken_read_after_write)
{
	start(false);
	set_desc(desc(0), 0, DATA, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	set_desc(desc(0), 1, DATA, 4, 0, 0);
	make_available(0);
	expect_broken();
}

TEST(broken_indirect)
{
	const struct vring_desc bad[] = {
		{TABLE, 8, VRING_DESC_F_INDIRECT, 0},	    /* half a descriptor */
		{TABLE, 0, VRING_DESC_F_INDIRECT, 0},	    /* none */
		{BYTES - 16, 32, VRING_DESC_F_INDIRECT, 0}, /* partly outside */
		{TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(low, 0, sizeof(low));
		start(false);
		*desc(0) = bad[i];
		make_available(0);
		expect_broken();
	}
	memset(low, 0, sizeof(low));
	start(false);
	set_desc(low + TABLE, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	set_desc(desc(0), 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	make_available(0);
	expect_broken();
}

TEST(broken_too_many_parts)
{
	start(false);
	for (unsigned i = 0; i <= VIRTQUEUE_IOV_MAX; i++)
		set_desc(low + TABLE, i, DATA, 1, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	set_desc(low + TABLE, VIRTQUEUE_IOV_MAX + 1, DATA, 1, 0, 0);
	set_desc(desc(0), 0, TABLE, 16 * (VIRTQUEUE_IOV_MAX + 2), VRING_DESC_F_INDIRECT, 0);
	make_available(0);
	expect_broken();
}

TEST(refuses_bad_rings)
{
	const struct {
		uint16_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{0, DESC, AVAIL, USED},		 {6, DESC, AVAIL, USED},
		{SIZE * 2, DESC, AVAIL, USED},	 {SIZE, DESC + 8, AVAIL, USED},
		{SIZE, DESC, AVAIL + 1, USED},	 {SIZE, DESC, AVAIL, USED + 2},
		{SIZE, BYTES - 16, AVAIL, USED}, {SIZE, DESC, BYTES - 4, USED},
		{SIZE, DESC, AVAIL, BYTES - 8},	 {SIZE, DESC, AVAIL, UINT64_MAX - 3},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		queue = (struct virtqueue){.memory = &memory, .size_max = SIZE};
		queue.size = bad[i].size;
		queue.desc_gpa = bad[i].desc;
		queue.avail_gpa = bad[i].avail;
		queue.used_gpa = bad[i].used;
		CHECK(!virtqueue_enable(&queue));
		CHECK(queue.broken);
		CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_BROKEN);
	}
}

TEST(doorbell_by_flags)
{
	start(false);
	virtqueue_doorbell_off(&queue);
	CHECK_EQ(*used(0), VRING_USED_F_NO_NOTIFY);
	set_desc(desc(0), 0, DATA, 1, 0, 0);
	CHECK(!virtqueue_doorbell_on(&queue));
	CHECK_EQ(*used(0), 0);
	make_available(0);
	CHECK(virtqueue_doorbell_on(&queue));
	*avail(0) = VRING_AVAIL_F_NO_INTERRUPT;
	CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
	virtqueue_push(&queue, &chain, 0);
	CHECK(!virtqueue_should_interrupt(&queue));
}

TEST(event_index)
{
	uint16_t *avail_event = used(2) + 4 * SIZE, *used_event = avail(2) + SIZE;

	start(true);
	set_desc(desc(0), 0, DATA, 1, 0, 0);
	*used_event = 1; /* interrupt after the second one */
	for (unsigned i = 0; i < 3; i++) {
		make_available(0);
		CHECK_EQ(virtqueue_pop(&queue, &chain), VIRTQUEUE_CHAIN);
		virtqueue_push(&queue, &chain, 0);
		CHECK_EQ(virtqueue_should_interrupt(&queue), i == 1);
	}
	CHECK(!virtqueue_doorbell_on(&queue));
	CHECK_EQ(*avail_event, 3);
}
