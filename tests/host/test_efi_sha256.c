// SPDX-License-Identifier: MIT
// sources: boot/efi/sha256.c
/*
 * SHA-256 against the published examples (NIST, "SHA256.pdf" and CAVP), around the border of a
 * block, and the list of digests in a one-file image: found by the whole name, and only there.
 */
#include <boot/efi/sha256.h>
#include "test.h"

#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TWO   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"

static bool is(const char *text, const char *digits)
{
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	sha256(text, strlen(text), digest);
	for (unsigned int i = 0; i < SHA256_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return !strcmp(hex, digits);
}

TEST(published_examples)
{
	CHECK(is("", EMPTY));
	CHECK(is("abc", ABC));
	CHECK(is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", TWO));
}

TEST(lengths_around_a_block)
{
	static const struct {
		size_t bytes;
		const char *digits;
	} of_a[] = {
		{55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
		{56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
		{63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
		{64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
		{65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
		{1000, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"},
	};
	char text[1001];

	for (size_t i = 0; i < sizeof(of_a) / sizeof(of_a[0]); i++) {
		memset(text, 'a', of_a[i].bytes);
		text[of_a[i].bytes] = 0;
		CHECK(is(text, of_a[i].digits));
	}
}

TEST(list_is_searched_by_whole_names)
{
	static const char list[] = EMPTY "  .lin\n" ABC "  .linux\n" TWO "  .initrd";

	CHECK(sha256_listed(list, strlen(list), ".linux", "abc", 3));
	CHECK(sha256_listed(list, strlen(list), ".lin", "", 0));
	CHECK(!sha256_listed(list, strlen(list), ".linux", "abd", 3));
	CHECK(!sha256_listed(list, strlen(list), ".linu", "abc", 3));
	CHECK(!sha256_listed(list, strlen(list), ".initrd", "abc", 3));
	CHECK(!sha256_listed(list, 0, ".linux", "abc", 3));
}

TEST(list_of_garbage_lists_nothing)
{
	static const char *const lists[] = {
		"\n\n\n", ABC, ABC "\n", ABC "  ", "ba  .linux\n", " " ABC " .linux\n"};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		CHECK(!sha256_listed(lists[i], strlen(lists[i]), ".linux", "abc", 3));
}
