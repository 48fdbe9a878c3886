// SPDX-License-Identifier: MIT
/*
 * SHA-256 as FIPS 180-4 has it, for speed of reading; see sha256.h.
 */
#include "sha256.h"
#include <string.h>

#define BLOCK 64

struct state {
	uint32_t h[8];
};

static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2};

static uint32_t rotate(uint32_t v, unsigned int by)
{
	return v >> by | v << (32 - by);
}

static uint32_t sum(uint32_t v, unsigned int a, unsigned int b, unsigned int c)
{
	return rotate(v, a) ^ rotate(v, b) ^ rotate(v, c);
}

static uint32_t mix(uint32_t v, unsigned int a, unsigned int b, unsigned int shift)
{
	return rotate(v, a) ^ rotate(v, b) ^ v >> shift;
}

static void schedule(const uint8_t *block, uint32_t w[64])
{
	for (unsigned int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (unsigned int i = 16; i < 64; i++)
		w[i] = mix(w[i - 2], 17, 19, 10) + w[i - 7] + mix(w[i - 15], 7, 18, 3) + w[i - 16];
}

static void take_block(struct state *s, const uint8_t *block)
{
	uint32_t w[64], v[8];

	schedule(block, w);
	memcpy(v, s->h, sizeof(v));
	for (unsigned int i = 0; i < 64; i++) {
		uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
		uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
		uint32_t t1 = v[7] + sum(v[4], 6, 11, 25) + choice + constants[i] + w[i];
		uint32_t t2 = sum(v[0], 2, 13, 22) + majority;

		for (unsigned int k = 7; k; k--)
			v[k] = v[k - 1];
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (unsigned int i = 0; i < 8; i++)
		s->h[i] += v[i];
}

void sha256(const void *data, size_t bytes, uint8_t out[SHA256_BYTES])
{
	uint8_t last[2 * BLOCK] = {0};
	const uint8_t *at = data;
	size_t left = bytes, tail;
	struct state s;

	memcpy(s.h, first, sizeof(s.h));
	for (; left >= BLOCK; left -= BLOCK, at += BLOCK)
		take_block(&s, at);
	if (left)
		memcpy(last, at, left);
	last[left] = 0x80;
	tail = left + 9 > BLOCK ? 2 * BLOCK : BLOCK;
	for (unsigned int i = 0; i < 8; i++)
		last[tail - 1 - i] = (uint8_t)((uint64_t)bytes * 8 >> 8 * i);
	for (size_t done = 0; done < tail; done += BLOCK)
		take_block(&s, last + done);
	for (unsigned int i = 0; i < SHA256_BYTES; i++)
		out[i] = (uint8_t)(s.h[i / 4] >> (24 - 8 * (i % 4)));
}

static bool digest_is(const char *digits, const uint8_t digest[SHA256_BYTES])
{
	static const char hex[] = "0123456789abcdef";

	for (unsigned int i = 0; i < SHA256_BYTES; i++)
		if (digits[2 * i] != hex[digest[i] >> 4] ||
		    digits[2 * i + 1] != hex[digest[i] & 15])
			return false;
	return true;
}

bool sha256_listed(const void *list, size_t list_bytes, const char *name, const void *data,
		   size_t bytes)
{
	const char *line = list, *end = line + list_bytes, *next;
	size_t digits = 2 * SHA256_BYTES, name_bytes = strlen(name);
	uint8_t digest[SHA256_BYTES];

	sha256(data, bytes, digest);
	for (; line < end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		next = next ? next : end;
		if ((size_t)(next - line) == digits + 2 + name_bytes &&
		    memcmp(line + digits + 2, name, name_bytes) == 0)
			return digest_is(line, digest);
	}
	return false;
}
