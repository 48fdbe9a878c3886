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
	hpa_t dirt;

	while (done < most) {
		int err;

		lock(&pool_lock);
		err = owner_scrub_take(&pool, &tlb_debt, &dirt, &epoch);
		unlock(&pool_lock);
		if (err)
			break;
		window_scrub(dirt, FRAME_SIZE - dirt.v % FRAME_SIZE);
		lock(&pool_lock);
		err = owner_scrub_done(&pool, HPA(align_down(dirt.v, FRAME_SIZE)));
		unlock(&pool_lock);
		BUG_ON(err);
		done++;
	}
	return done;
}

int pool_scrub_part(void)
{
	uint64_t epoch;
	hpa_t dirt;
	int err;

	lock(&pool_lock);
	err = owner_scrub_take(&pool, &tlb_debt, &dirt, &epoch);
	unlock(&pool_lock);
	if (err)
		return err;
	window_scrub(dirt, SCRUB_PART);
	dirt.v += SCRUB_PART;
	lock(&pool_lock);
	err = is_aligned(dirt.v, FRAME_SIZE) ? owner_scrub_done(&pool, HPA(dirt.v - FRAME_SIZE))
					     : owner_scrub_leave(&pool, dirt);
	unlock(&pool_lock);
	BUG_ON(err);
	return 0;
}

uint64_t pool_free_bytes(uint64_t *dirty)
{
	uint64_t clean;

	lock(&pool_lock);
	clean = owner_free(&pool) * FRAME_SIZE;
	*dirty = owner_waiting(&pool) * FRAME_SIZE;
	unlock(&pool_lock);
	return clean + *dirty;
}
