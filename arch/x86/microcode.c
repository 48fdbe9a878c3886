// SPDX-License-Identifier: MIT
/*
 * Finding the update for a CPU. See microcode.h.
 */
#include <x86/microcode.h>

#define DEFAULT_DATA_BYTES   2000u
#define DEFAULT_TOTAL_BYTES  2048u
#define EXTENSION_HEAD_WORDS 5u /* count, checksum, reserved */
#define EXTENSION_WORDS	     3u /* signature, platforms, checksum */

static uint32_t data_bytes(const struct microcode_header *h)
{
	return h->data_bytes ? h->data_bytes : DEFAULT_DATA_BYTES;
}

/* Size of the update at @h, which has @left bytes; 0 if it is none. */
static uint64_t update_bytes(const struct microcode_header *h, uint64_t left)
{
	const uint32_t *words = (const uint32_t *)h;
	uint64_t total;
	uint32_t sum = 0;

	if (left < sizeof(*h))
		return 0;
	total = h->data_bytes ? h->total_bytes : DEFAULT_TOTAL_BYTES;
	if (h->version != 1 || h->loader != 1 || total > left || !is_aligned(total, KIB) ||
	    !is_aligned(data_bytes(h), 4) || sizeof(*h) + data_bytes(h) > total)
		return 0;
	for (uint64_t i = 0; i < total / sizeof(*words); i++)
		sum += words[i];
	return sum ? 0 : total;
}

static bool is_for(const struct microcode_header *h, uint64_t total,
		   const struct microcode_cpu *cpu)
{
	const uint32_t *words = (const uint32_t *)h;
	uint64_t at = (sizeof(*h) + data_bytes(h)) / sizeof(*words), end = total / sizeof(*words);
	uint32_t count = at + EXTENSION_HEAD_WORDS < end ? words[at] : 0;

	if (h->signature == cpu->signature && (h->platforms & BIT64(cpu->platform)))
		return true;
	for (at += EXTENSION_HEAD_WORDS; count && at + EXTENSION_WORDS <= end; count--) {
		if (words[at] == cpu->signature && (words[at + 1] & BIT64(cpu->platform)))
			return true;
		at += EXTENSION_WORDS;
	}
	return false;
}

const struct microcode_header *microcode_find(const void *file, uint64_t bytes,
					      const struct microcode_cpu *cpu, uint64_t *wrong)
{
	const struct microcode_header *best = NULL;
	uint32_t newest = cpu->revision;
	uint64_t total;

	for (*wrong = 0; *wrong < bytes; *wrong += total) {
		const void *at = (const uint8_t *)file + *wrong;
		const struct microcode_header *h = at;

		total = update_bytes(h, bytes - *wrong);
		if (!total)
			break;
		if (is_for(h, total, cpu) && (int32_t)h->revision > (int32_t)newest) {
			best = h;
			newest = h->revision;
		}
	}
	return best;
}
