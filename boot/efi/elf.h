// SPDX-License-Identifier: MIT
/*
 * The hypervisor's ELF image: is it one, and what goes where? Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_SEGMENTS 8
#define ELF_ROOM	 0x200000 /* linker.ld: the image fits one 2 MiB page */

struct elf_segment {
	uint64_t offset, file_bytes; /* in the file */
	uint64_t at; /* from the start of the image in memory; what lies between is 0 */
};

struct elf_image {
	struct elf_segment segments[ELF_MAX_SEGMENTS];
	unsigned int n_segments;
	uint64_t entry; /* from the start of the image */
	uint64_t bytes; /* in memory, at most ELF_ROOM */
};

/**
 * Check the file of @bytes bytes at @file and describe it in @out.
 * Returns NULL, or what is wrong in a few words.
 */
const char *elf_check(const void *file, size_t bytes, struct elf_image *out);
