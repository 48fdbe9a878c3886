// SPDX-License-Identifier: MIT
/*
 * The pool's instance; see pool.h.
 */
#define LOG_TAG "pool"
#include <log.h>
#include <panic.h>
#include <pool.h>
#include <tlb.h>
#include <x86/mem.h>

struct owner_table pool;
struct lock pool_lock;

uint64_t pool_heap_bytes(uint64_t ram_top)
{
	return align_up(owner_table_bytes(ram_top), PAGE_SIZE);
}

void pool_init(void *table, uint64_t ram_top, const struct memory_split *s,
	       const struct mem_range *own, unsigned int n_own)
{
	int err = 0;

	owner_init(&pool, table, ram_top);
	for (unsigned int i = 0; i < s->ranges; i++)
		if (mem_is_ram(s->map[i].type))
			err |= owner_assign(&pool, s->map[i].base, s->map[i].bytes, OWNER_CONTROL);
	for (unsigned int i = 0; i < n_own; i++)
		err |= owner_assign(&pool, own[i].base, own[i].bytes, OWNER_HYPERVISOR);
	for (unsigned int i = 0; i < s->pools; i++)
		err |= owner_assign(&pool, s->pool[i].base, s->pool[i].bytes, OWNER_WAITING);
	BUG_ON(err);
	BUG_ON(owner_waiting(&pool) * FRAME_SIZE != s->pool_bytes);
}

unsigned int pool_scrub(unsigned int most)
{
	unsigned int done = 0;
	uint64_t epoch;
	hpa_t frame;

	while (done < most) {
		int err;

		lock(&pool_lock);
		err = owner_scrub_take(&pool, &tlb_debt, &frame, &epoch);
		unlock(&pool_lock);
		if (err)
			break;
		window_scrub_frame(frame);
		lock(&pool_lock);
		err = owner_scrub_done(&pool, frame);
		unlock(&pool_lock);
		BUG_ON(err);
		done++;
	}
	return done;
}

uint64_t pool_free_bytes(void)
{
	uint64_t frames;

	lock(&pool_lock);
	frames = owner_free(&pool) + owner_waiting(&pool);
	unlock(&pool_lock);
	return frames * FRAME_SIZE;
}
