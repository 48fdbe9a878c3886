// SPDX-License-Identifier: MIT
/*
 * SHA-256, and the list of digests that a one-file image carries of its sections. Pure.
 *
 * The list is text as sha256sum(1) writes it: 64 hexadecimal digits, blanks, the section's name.
 * Source: FIPS 180-4, "SHA-256".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

/** The digest of @bytes bytes at @data to @out. */
void sha256(const void *data, size_t bytes, uint8_t out[SHA256_BYTES]);

/** Whether the list of @list_bytes bytes at @list has the digest of the @bytes bytes at @data for
 * @name. */
bool sha256_listed(const void *list, size_t list_bytes, const char *name, const void *data,
		   size_t bytes);
