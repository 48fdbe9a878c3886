// SPDX-License-Identifier: MIT
/*
 * Walking the Multiboot2 information block.
 *
 * The block comes from outside, so no size in it is believed: a tag must lie in the block, an array
 * in its tag, a string must end in its tag. What a boot cannot do without (memory map) is an error;
 * a tag that repeats or is unknown is harmless. Everything needed later is copied into struct
 * boot_info.
 */
#include "mb2.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_LOADER = 2,
	TAG_MODULE = 3,
	TAG_MEMMAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_EFI64 = 12,
	TAG_RSDP1 = 14,
	TAG_RSDP2 = 15,
	TAG_EFI_MEMMAP = 17,
	TAGS
};

static const struct {
	const char *name;
	uint32_t least; /* bytes after type and size */
} tags[TAGS] = {
	[TAG_MODULE] = {"module", 9},
	[TAG_MEMMAP] = {"memory map", 8},
	[TAG_FRAMEBUFFER] = {"framebuffer", 24},
	[TAG_EFI64] = {"EFI system table", 8},
	[TAG_RSDP1] = {"ACPI root pointer", 20},
	[TAG_RSDP2] = {"ACPI root pointer", 36},
	[TAG_EFI_MEMMAP] = {"EFI memory map", 8},
};

struct tag {
	uint32_t type, bytes; /* header included */
};
static_assert(sizeof(struct tag) == 8, "Multiboot2");

struct walk {
	const uint8_t *block;
	struct boot_info *out;
	char *error;
	size_t error_bytes;
};

static bool __printf(2, 3) fail(const struct walk *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!*w->error) /* the first one is told */
		vsnprintf(w->error, w->error_bytes, fmt, ap);
	va_end(ap);
	return false;
}

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool copy_string(const struct walk *w, char *to, size_t to_bytes, const uint8_t *from,
			size_t bytes, const char *what)
{
	const uint8_t *end = memchr(from, 0, bytes);

	if (!end)
		return fail(w, "the %s does not end inside its tag", what);
	if ((size_t)(end - from) >= to_bytes)
		return fail(w, "the %s has %lu characters, at most %zu are allowed", what,
			    (size_t)(end - from), to_bytes - 1);
	memcpy(to, from, (size_t)(end - from) + 1);
	return true;
}

static bool take_module(const struct walk *w, const uint8_t *p, uint32_t n)
{
	static const char *const roles[MODULE_ROLES] = {"kernel", "initramfs", "microcode"};
	uint32_t start = u32_at(p), end = u32_at(p + 4);
	char text[sizeof(w->out->modules[0].cmdline)], *rest = text, *role;

	if (!copy_string(w, text, sizeof(text), p + 8, n - 8, "command line of a module"))
		return false;
	role = cut_word(&rest, " ");
	for (int i = 0; i < MODULE_ROLES; i++) {
		struct boot_module *m = &w->out->modules[i];

		if (!role || strcmp(role, roles[i]) != 0)
			continue;
		if (end < start)
			return fail(w, "the module '%s' ends (%#x) before it starts (%#x)", role,
				    end, start);
		m->base = HPA(start);
		m->bytes = end - start;
		while (*rest == ' ')
			rest++;
		snprintf(m->cmdline, sizeof(m->cmdline), "%s", rest);
		return true;
	}
	return fail(
		w,
		"the module '%.40s' has none of the roles kernel, initramfs, microcode as the first word "
		"after its file name",
		role ? role : "");
}

static bool add_range(const struct walk *w, uint64_t base, uint64_t bytes, enum mem_type type)
{
	struct boot_info *out = w->out;

	if (out->n_ranges == BOOT_MAX_RANGES)
		return fail(w, "the memory map has more than %u entries", BOOT_MAX_RANGES);
	out->ranges[out->n_ranges++] = (struct mem_range){HPA(base), bytes, type};
	return true;
}

static bool take_memmap(const struct walk *w, const uint8_t *p, uint32_t n)
{
	uint32_t entry = u32_at(p);

	if (entry < 20 || entry % 4 || (n > 8 && entry > n - 8))
		return fail(w, "the memory map has entries of %u bytes in a tag of %u", entry,
			    n + 8);
	for (uint32_t at = 8; n - at >= entry; at += entry) {
		uint32_t type = u32_at(p + at + 16);

		if (!add_range(w, u64_at(p + at), u64_at(p + at + 8),
			       type <= MEM_BAD ? (enum mem_type)type : MEM_RESERVED))
			return false;
	}
	return true;
}

/*
 * What the firmware's own map says beyond the one above: boot services stay the control domain's
 * (their data holds tables that Linux reads, and Linux maps both until it has told the firmware its
 * addresses), and nothing but RAM is used. Source: UEFI Specification 2.10, "EFI Boot Services"
 * (7.2).
 */
static bool take_efi_memmap(const struct walk *w, const uint8_t *p, uint32_t n, hpa_t pa)
{
	static const enum mem_type types[] = {
		[1] = MEM_RAM, /* loader code and data, free memory: as the other map says */
		[2] = MEM_RAM, [3] = MEM_FIRMWARE, [4] = MEM_FIRMWARE, [7] = MEM_RAM,
		[8] = MEM_BAD, [9] = MEM_ACPI,	   [10] = MEM_NVS,
	};
	uint32_t entry = u32_at(p);

	if (entry < 40 || entry % 8)
		return fail(w, "the EFI memory map has entries of %u bytes", entry);
	w->out->efi.desc_bytes = entry;
	w->out->efi.desc_version = u32_at(p + 4);
	w->out->efi.memmap = HPA(pa.v + 8);
	w->out->efi.memmap_bytes = n - 8;
	for (uint32_t at = 8; n - at >= entry; at += entry) {
		uint32_t type = u32_at(p + at);
		uint64_t pages = min_u64(u64_at(p + at + 24), BIT64(40));
		enum mem_type t = type < ARRAY_SIZE(types) ? types[type] : 0;

		if (t != MEM_RAM &&
		    !add_range(w, u64_at(p + at + 8), pages * PAGE_SIZE, t ? t : MEM_RESERVED))
			return false;
	}
	return true;
}

static bool take_framebuffer(const struct walk *w, const uint8_t *p, uint32_t n)
{
	struct boot_framebuffer *fb = &w->out->fb;

	fb->base = HPA(u64_at(p));
	fb->pitch_bytes = u32_at(p + 8);
	fb->width = u32_at(p + 12);
	fb->height = u32_at(p + 16);
	fb->bpp = p[20];
	fb->type = p[21] <= FB_EGA_TEXT ? (enum fb_type)p[21] : FB_NONE;
	if (fb->type != FB_RGB)
		return true;
	if (n < 24 + sizeof(fb->rgb))
		return fail(w, "the framebuffer tag lacks its colour fields");
	memcpy(&fb->rgb, p + 24, sizeof(fb->rgb));
	return true;
}

static bool take_tag(const struct walk *w, uint32_t type, const uint8_t *p, uint32_t n, hpa_t pa)
{
	struct boot_info *out = w->out;

	if (type < TAGS && n < tags[type].least)
		return fail(w, "a tag (%s) has only %u bytes", tags[type].name, n + 8);
	switch (type) {
	case TAG_CMDLINE:
		return copy_string(w, out->cmdline, sizeof(out->cmdline), p, n,
				   "hypervisor's command line");
	case TAG_LOADER:
		return copy_string(w, out->loader, sizeof(out->loader), p, n, "loader's name");
	case TAG_MODULE:
		return take_module(w, p, n);
	case TAG_MEMMAP:
		return take_memmap(w, p, n);
	case TAG_FRAMEBUFFER:
		return take_framebuffer(w, p, n);
	case TAG_EFI64:
		out->efi.system_table = HPA(u64_at(p));
		break;
	case TAG_EFI_MEMMAP:
		return take_efi_memmap(w, p, n, pa);
	case TAG_RSDP1:
	case TAG_RSDP2:
		if (type == TAG_RSDP2 || !out->rsdp.v)
			out->rsdp = pa;
		break;
	}
	return true;
}

bool mb2_parse(const void *block, uint64_t limit, hpa_t pa, struct boot_info *out, char *error,
	       size_t error_bytes)
{
	struct walk w = {block, out, error, error_bytes};
	uint32_t total, at = 8;
	bool good = true;

	memset(out, 0, sizeof(*out));
	*error = 0;
	out->fb.type = FB_NONE;
	if (limit < 8)
		return fail(&w, "the block has no header");
	total = u32_at(w.block);
	if (total < 16 || total > limit || total > MB2_MAX_BYTES)
		return fail(&w, "the block says that it has %u bytes", total);
	out->block = pa;
	out->block_bytes = total;
	for (;;) {
		struct tag tag;

		if (at > total - sizeof(tag))
			return fail(&w, "the block of %u bytes has no end tag", total);
		memcpy(&tag, w.block + at, sizeof(tag));
		if (tag.bytes < sizeof(tag) || tag.bytes > total - at)
			return fail(&w, "tag %u at offset %u of %u has a size of %u", tag.type, at,
				    total, tag.bytes);
		if (tag.type == TAG_END)
			break;
		/* After a bad one too: where the screen is, it can be told. */
		good &= take_tag(&w, tag.type, w.block + at + sizeof(tag),
				 tag.bytes - (uint32_t)sizeof(tag), HPA(pa.v + at + sizeof(tag)));
		at = (uint32_t)align_up(at + tag.bytes, 8);
	}
	if (!out->n_ranges)
		return fail(&w, "the block has no memory map");
	return good;
}
