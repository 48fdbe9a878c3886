// SPDX-License-Identifier: MIT
/*
 * Reading the setup header and writing the zero page; see linux_image.h.
 *
 * Fields are named by their offsets in the documentation's table, in one enum each, so that the
 * code below reads as that table does.
 */
#include <string.h>

#include <linux_image.h>

enum setup_header {
	SETUP_SECTS = 0x1f1,
	SETUP_BOOT_FLAG = 0x1fe,
	SETUP_JUMP_LENGTH = 0x201,
	SETUP_MAGIC = 0x202,
	SETUP_VERSION = 0x206,
	SETUP_LOADER = 0x210,
	SETUP_LOADFLAGS = 0x211,
	SETUP_RAMDISK = 0x218,
	SETUP_RAMDISK_SIZE = 0x21c,
	SETUP_CMDLINE = 0x228,
	SETUP_INITRD_MAX = 0x22c,
	SETUP_ALIGNMENT = 0x230,
	SETUP_RELOCATABLE = 0x234,
	SETUP_XLOADFLAGS = 0x236,
	SETUP_CMDLINE_SIZE = 0x238,
	SETUP_PREF_ADDRESS = 0x258,
	SETUP_INIT_SIZE = 0x260,
	SETUP_END = 0x268,
};

enum zero_page {
	ZP_ACPI_RSDP = 0x070,
	ZP_EXT_RAMDISK = 0x0c0,
	ZP_EXT_RAMDISK_SIZE = 0x0c4,
	ZP_EXT_CMDLINE = 0x0c8,
	ZP_EFI_INFO = 0x1c0,
	ZP_E820_COUNT = 0x1e8,
	ZP_E820 = 0x2d0,
};

enum efi_descriptor {
	EFI_TYPE = 0,
	EFI_BASE = 8,
	EFI_PAGES = 24,
	EFI_DESC_END = 40,
};

#define BOOT_FLAG	 0xaa55
#define HEADER_MAGIC	 0x53726448u /* "HdrS" */
#define VERSION_64BIT	 0x020c
#define XLF_KERNEL_64	 1
#define LOADED_HIGH	 1
#define LOADER_UNDEFINED 0xff
#define EFI_LOADER_64	 0x34364c45u /* "EL64" */
#define EFI_RESERVED	 0
#define EFI_FREE	 7
#define VIDEO_VGA	 1
#define VIDEO_VESA	 0x23
#define VIDEO_EFI	 0x70

static uint64_t get(const void *base, size_t offset, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, (const uint8_t *)base + offset, bytes);
	return v;
}

static void put(void *base, size_t offset, uint64_t v, size_t bytes)
{
	memcpy((uint8_t *)base + offset, &v, bytes);
}

/* Both halves of @v, which the zero page keeps apart. */
static void put_split(void *base, size_t low, size_t high, uint64_t v)
{
	put(base, low, v, 4);
	put(base, high, v >> 32, 4);
}

const char *linux_image_parse(const void *data, uint64_t bytes, struct linux_image *img)
{
	uint64_t sects;

	if (bytes < SETUP_END)
		return "shorter than a setup header";
	if (get(data, SETUP_BOOT_FLAG, 2) != BOOT_FLAG || get(data, SETUP_MAGIC, 4) != HEADER_MAGIC)
		return "no bzImage (no setup header)";
	if (get(data, SETUP_VERSION, 2) < VERSION_64BIT)
		return "older than boot protocol 2.12";
	if (!(get(data, SETUP_LOADFLAGS, 1) & LOADED_HIGH) ||
	    !(get(data, SETUP_XLOADFLAGS, 2) & XLF_KERNEL_64))
		return "no 64-bit entry point (a 32-bit kernel?)";
	sects = get(data, SETUP_SECTS, 1);
	img->setup_bytes = ((sects ? sects : 4) + 1) * 512;
	if (img->setup_bytes >= bytes)
		return "truncated in its setup part";
	img->kernel_bytes = bytes - img->setup_bytes;
	img->pref_address = get(data, SETUP_PREF_ADDRESS, 8);
	img->init_size = get(data, SETUP_INIT_SIZE, 4);
	img->alignment = get(data, SETUP_ALIGNMENT, 4);
	img->relocatable = get(data, SETUP_RELOCATABLE, 1);
	img->initrd_max = get(data, SETUP_INITRD_MAX, 4);
	img->cmdline_max = (uint32_t)get(data, SETUP_CMDLINE_SIZE, 4);
	/* syssize counts 16-byte units of the kernel proper. */
	if (img->kernel_bytes < get(data, 0x1f4, 4) * 16)
		return "truncated";
	if (img->init_size < img->kernel_bytes || img->init_size > GIB || !img->alignment ||
	    (img->alignment & (img->alignment - 1)) || img->pref_address > 4 * GIB)
		return "its setup header makes no sense";
	return NULL;
}

static void fill_screen(void *zp, const struct linux_params *p)
{
	const struct boot_framebuffer *fb = p->fb;
	uint64_t bytes = (uint64_t)fb->pitch_bytes * fb->height;

	if (fb->type == FB_EGA_TEXT) {
		put(zp, 0x06, 3, 1); /* mode 3 */
		put(zp, 0x07, fb->width, 1);
		put(zp, 0x0e, fb->height, 1);
		put(zp, 0x0f, VIDEO_VGA, 1);
		put(zp, 0x10, 16, 2); /* font height */
	}
	if (fb->type != FB_RGB)
		return;
	put(zp, 0x0f, p->efi ? VIDEO_EFI : VIDEO_VESA, 1);
	put(zp, 0x12, fb->width, 2);
	put(zp, 0x14, fb->height, 2);
	put(zp, 0x16, fb->bpp, 2);
	put(zp, 0x18, fb->base.v, 4);
	/* VESA counts the frame buffer in 64 KiB, EFI in bytes. */
	put(zp, 0x1c, p->efi ? bytes : align_up(bytes, 65536) / 65536, 4);
	put(zp, 0x24, fb->pitch_bytes, 2);
	for (size_t i = 0; i < ARRAY_SIZE(fb->rgb); i++) {
		put(zp, 0x26 + 2 * i, fb->rgb[i].bits, 1);
		put(zp, 0x27 + 2 * i, fb->rgb[i].pos, 1);
	}
	put(zp, 0x36, fb->base.v >> 32 ? 2 : 0, 4); /* 64-bit base */
	put(zp, 0x3a, fb->base.v >> 32, 4);
}

static void fill_efi(void *zp, const struct linux_params *p)
{
	if (!p->efi)
		return;
	put(zp, ZP_EFI_INFO + 0x00, EFI_LOADER_64, 4);
	put_split(zp, ZP_EFI_INFO + 0x04, ZP_EFI_INFO + 0x18, p->efi->system_table.v);
	put(zp, ZP_EFI_INFO + 0x08, p->efi->desc_bytes, 4);
	put(zp, ZP_EFI_INFO + 0x0c, p->efi->desc_version, 4);
	put_split(zp, ZP_EFI_INFO + 0x10, ZP_EFI_INFO + 0x1c, p->efi_memmap);
	put(zp, ZP_EFI_INFO + 0x14, p->efi->memmap_bytes, 4);
}

/* Linux knows one kind of RAM. */
static bool fill_e820(void *zp, const struct linux_params *p)
{
	size_t n = 0;
	uint64_t end = 0;

	for (unsigned int i = 0; i < p->ranges; i++) {
		const struct mem_range *r = &p->map[i];
		enum mem_type type = mem_is_ram(r->type) ? MEM_RAM : r->type;
		size_t last = ZP_E820 + n * 20 - 20;

		if (n && type == get(zp, last + 16, 4) && r->base.v == end) {
			put(zp, last + 8, get(zp, last + 8, 8) + r->bytes, 8);
		} else {
			if (n++ == LINUX_E820_MAX)
				return false;
			put(zp, last + 20, r->base.v, 8);
			put(zp, last + 28, r->bytes, 8);
			put(zp, last + 36, type, 4);
		}
		end = r->base.v + r->bytes;
	}
	put(zp, ZP_E820_COUNT, n, 1);
	return true;
}

bool linux_params_fill(void *zp, const struct linux_params *p)
{
	/* The header ends where its own jump instruction says (offset 202h plus the byte at 201h).
	 */
	uint64_t header_end = SETUP_MAGIC + get(p->image, SETUP_JUMP_LENGTH, 1);

	memset(zp, 0, PAGE_SIZE);
	memcpy((uint8_t *)zp + SETUP_SECTS, (const uint8_t *)p->image + SETUP_SECTS,
	       max_u64(header_end, SETUP_END) - SETUP_SECTS);
	put(zp, SETUP_LOADER, LOADER_UNDEFINED, 1);
	put_split(zp, SETUP_RAMDISK, ZP_EXT_RAMDISK, p->initrd);
	put_split(zp, SETUP_RAMDISK_SIZE, ZP_EXT_RAMDISK_SIZE, p->initrd_bytes);
	put_split(zp, SETUP_CMDLINE, ZP_EXT_CMDLINE, p->cmdline);
	put(zp, ZP_ACPI_RSDP, p->rsdp, 8);
	fill_screen(zp, p);
	fill_efi(zp, p);
	return fill_e820(zp, p);
}

void linux_trim_efi_map(void *efi_map, uint32_t bytes, uint32_t desc_bytes,
			const struct mem_range *map, unsigned int ranges, struct mem_range taken)
{
	uint64_t taken_end = taken.base.v + taken.bytes;

	for (uint32_t at = 0; at + EFI_DESC_END <= bytes; at += desc_bytes) {
		uint64_t base = get(efi_map, at + EFI_BASE, 8), end = base;

		if (get(efi_map, at + EFI_TYPE, 4) != EFI_FREE)
			continue;
		for (unsigned int i = 0; i < ranges; i++)
			if (map[i].type == MEM_RAM && base - map[i].base.v < map[i].bytes)
				end = map[i].base.v + map[i].bytes;
		if (base < taken_end)
			end = min_u64(end, max_u64(base, taken.base.v));
		if (end > base)
			put(efi_map, at + EFI_PAGES,
			    min_u64(get(efi_map, at + EFI_PAGES, 8), (end - base) / PAGE_SIZE), 8);
		else
			put(efi_map, at + EFI_TYPE, EFI_RESERVED, 4);
	}
}
