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
