// SPDX-License-Identifier: MIT
/*
 * The Multiboot2 information block. Pure: compiled into host tests.
 */
#pragma once

#include <boot_info.h>

#define MB2_MAX_BYTES (1 * MIB) /* a sane block is a few KiB; an EFI map makes it tens */

/**
 * Digest the block at @block, of which at most @limit bytes may be read, into @out.
 * @pa is the block's physical address. False: not usable, and @error (of @error_bytes) says in a
 * sentence what was found.
 * Source: Multiboot2 Specification 2.0, "Boot information".
 */
bool mb2_parse(const void *block, uint64_t limit, hpa_t pa, struct boot_info *out, char *error,
	       size_t error_bytes) __must_use;
