// SPDX-License-Identifier: MIT
/*
 * Writing a Multiboot2 information block; see block.h.
 *
 * Tags are 8-aligned, their size excludes the padding. An EFI memory descriptor may be longer than
 * the structure we know (desc_bytes says how long), so it is read by offsets.
 */
#include "block.h"
#include <string.h>

enum {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_LOADER = 2,
	TAG_MODULE = 3,
	TAG_MEMMAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_EFI_MEMMAP = 17
};
enum { DESC_TYPE = 0, DESC_START = 8, DESC_PAGES = 24, DESC_END = 40 };
enum { RAM = 1, RESERVED = 2, ACPI = 3, NVS = 4, BAD = 5 };

#define EFI_PAGE_SHIFT 12
#define DIRECT_COLOUR  1

struct range {
	uint64_t base, bytes;
	uint32_t type, zero;
};
_Static_assert(sizeof(struct range) == 24, "Multiboot2");

static void put(struct block *b, const void *from, size_t bytes)
{
	if (b->full || bytes > b->room - b->used) {
		b->full = true;
		return;
	}
	if (!bytes)
		return;
	memcpy(b->at + b->used, from, bytes);
	b->used += bytes;
}

static void put_u32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

/* Begins a tag; returns where, for end_tag(). */
static size_t begin_tag(struct block *b, uint32_t type)
{
	size_t at = b->used;

	put_u32(b, type);
	put_u32(b, 0);
	return at;
}

static void end_tag(struct block *b, size_t at)
{
	static const uint8_t padding[8];
	uint32_t bytes = (uint32_t)(b->used - at);

	if (b->full)
		return;
	memcpy(b->at + at + 4, &bytes, sizeof(bytes));
	put(b, padding, -b->used & 7);
}

void block_begin(struct block *b, void *at, size_t room)
{
	*b = (struct block){.at = at, .room = room};
	put_u32(b, 0);
	put_u32(b, 0);
}

void block_add(struct block *b, uint32_t type, const void *body, size_t bytes)
{
	size_t at = begin_tag(b, type);

	put(b, body, bytes);
	end_tag(b, at);
}

void block_add_strings(struct block *b, const char *cmdline, const char *loader)
{
	block_add(b, TAG_CMDLINE, cmdline, strlen(cmdline) + 1);
	block_add(b, TAG_LOADER, loader, strlen(loader) + 1);
}

void block_add_module(struct block *b, uint32_t start, uint32_t end, const char *role,
		      const char *cmdline)
{
	size_t at = begin_tag(b, TAG_MODULE);

	put_u32(b, start);
	put_u32(b, end);
	put(b, role, strlen(role));
	put(b, " ", 1);
	put(b, cmdline, strlen(cmdline) + 1);
	end_tag(b, at);
}

void block_add_picture(struct block *b, const struct block_picture *p)
{
	const uint8_t kind[4] = {32, DIRECT_COLOUR};
	const uint8_t colours[] = {p->red_pos,	  p->red_size, p->green_pos,
				   p->green_size, p->blue_pos, p->blue_size};
	size_t at = begin_tag(b, TAG_FRAMEBUFFER);

	put(b, &p->base, sizeof(p->base));
	put_u32(b, p->pitch_bytes);
	put_u32(b, p->width);
	put_u32(b, p->height);
	put(b, kind, sizeof(kind));
	put(b, colours, sizeof(colours));
	end_tag(b, at);
}

/* UEFI Specification 2.10, "Memory Type Usage after ExitBootServices()" */
static uint32_t e820_type(uint32_t efi_type)
{
	switch (efi_type) {
	case 1: /* loader's code and data, boot services' code and data, free memory */
	case 2:
	case 3:
	case 4:
	case 7:
		return RAM;
	case 8:
		return BAD;
	case 9:
		return ACPI;
	case 10:
		return NVS;
	default:
		return RESERVED;
	}
}

static void put_ranges(struct block *b, const struct block_efi_map *map)
{
	struct range last = {0};

	for (uint32_t at = 0; map->bytes - at >= map->desc_bytes; at += map->desc_bytes) {
		const uint8_t *d = (const uint8_t *)map->descriptors + at;
		struct range r = {0};
		uint32_t type;

		memcpy(&type, d + DESC_TYPE, sizeof(type));
		memcpy(&r.base, d + DESC_START, sizeof(r.base));
		memcpy(&r.bytes, d + DESC_PAGES, sizeof(r.bytes));
		r.bytes <<= EFI_PAGE_SHIFT;
		r.type = e820_type(type);
		if (last.bytes && last.type == r.type && last.base + last.bytes == r.base) {
			last.bytes += r.bytes;
			continue;
		}
		if (last.bytes)
			put(b, &last, sizeof(last));
		last = r;
	}
	if (last.bytes)
		put(b, &last, sizeof(last));
}

void block_add_memory(struct block *b, const struct block_efi_map *map)
{
	size_t at;

	if (map->desc_bytes < DESC_END) {
		b->full = true; /* no map that the UEFI specification knows */
		return;
	}
	at = begin_tag(b, TAG_MEMMAP);
	put_u32(b, sizeof(struct range));
	put_u32(b, 0);
	put_ranges(b, map);
	end_tag(b, at);
	at = begin_tag(b, TAG_EFI_MEMMAP);
	put_u32(b, map->desc_bytes);
	put_u32(b, map->desc_version);
	put(b, map->descriptors, map->bytes);
	end_tag(b, at);
}

size_t block_end(struct block *b)
{
	uint32_t total;

	block_add(b, TAG_END, NULL, 0);
	if (b->full)
		return 0;
	total = (uint32_t)b->used;
	memcpy(b->at, &total, sizeof(total));
	return b->used;
}
