// SPDX-License-Identifier: MIT
/*
 * Writing a Multiboot2 information block, the counterpart of boot/mb2.h. Pure.
 *
 * The caller brings the room; when it does not suffice, block_end() says so and nothing was written
 * past it.
 * Source: Multiboot2 Specification 2.0, "Boot information".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tags that need nothing but their bytes. */
enum { BLOCK_EFI64 = 12, BLOCK_RSDP1 = 14, BLOCK_RSDP2 = 15, BLOCK_LOAD_BASE = 21 };

struct block {
	uint8_t *at;
	size_t room, used;
	bool full;
};

/* A picture of 32 bits a pixel (direct colour): position and size of each colour in bits. */
struct block_picture {
	uint64_t base;
	uint32_t pitch_bytes, width, height;
	uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
};

/* The firmware's memory map as GetMemoryMap() gives it. */
struct block_efi_map {
	const void *descriptors;
	uint32_t bytes, desc_bytes, desc_version;
};

/** Begin a block in @room bytes at @at (8-aligned). */
void block_begin(struct block *b, void *at, size_t room);

/** Add tag @type with @bytes bytes at @body. */
void block_add(struct block *b, uint32_t type, const void *body, size_t bytes);

/** Add the hypervisor's command line and the loader's name. */
void block_add_strings(struct block *b, const char *cmdline, const char *loader);

/** Add a module at [@start, @end) whose command line is "@role @cmdline". */
void block_add_module(struct block *b, uint32_t start, uint32_t end, const char *role,
		      const char *cmdline);

/** Add the framebuffer @p. */
void block_add_picture(struct block *b, const struct block_picture *p);

/**
 * Add the memory map twice: as the firmware gave it, and as E820 ranges, adjacent ones of one kind
 * merged. Boot services' memory counts as RAM: it is free once they have ended.
 */
void block_add_memory(struct block *b, const struct block_efi_map *map);

/** End the block; its size in bytes, or 0 if the room did not suffice. */
size_t block_end(struct block *b);
