// SPDX-License-Identifier: MIT
// sources: vmm/linux_image.c
/*
 * Taking a bzImage apart and telling it about the machine. The image is made up here; Debian's real
 * one is what every boot test uses.
 */
#include "test.h"
#include <linux_image.h>

#define IMAGE_BYTES (64 * 1024)

static uint8_t image[IMAGE_BYTES];
static struct linux_image out;

static void put(size_t at, uint64_t v, size_t n)
{
	memcpy(image + at, &v, n);
}

static void make(void)
{
	memset(image, 0, sizeof(image));
	put(0x1f1, 4, 1);			     /* setup sectors */
	put(0x1f4, (IMAGE_BYTES - 5 * 512) / 16, 4); /* kernel proper, in paragraphs */
	put(0x1fe, 0xaa55, 2);
	put(0x200, 0x66eb, 2); /* jump to 268h */
	memcpy(image + 0x202, "HdrS", 4);
	put(0x206, 0x20f, 2);
	put(0x211, 1, 1);
	put(0x22c, 0x7fffffff, 4);
	put(0x230, 0x200000, 4);
	put(0x234, 1, 1);
	put(0x236, 1, 2);
	put(0x238, 2047, 4);
	put(0x258, 0x1000000, 8);
	put(0x260, 0x3000000, 4);
}

TEST(a_good_image)
{
	make();
	CHECK(!linux_image_parse(image, IMAGE_BYTES, &out));
	CHECK_EQ(out.setup_bytes, 5 * 512);
	CHECK_EQ(out.kernel_bytes, IMAGE_BYTES - 5 * 512);
	CHECK_EQ(out.pref_address, 0x1000000);
	CHECK_EQ(out.init_size, 0x3000000);
	CHECK_EQ(out.cmdline_max, 2047);
	CHECK(out.relocatable);
}

TEST(what_is_wrong_is_named)
{
	static const struct {
		size_t at, n;
		uint64_t v;
		const char *says;
	} cases[] = {
		{0x1fe, 2, 0, "no bzImage"},
		{0x202, 4, 0, "no bzImage"},
		{0x206, 2, 0x20b, "older"},
		{0x236, 2, 0, "64-bit"},
		{0x211, 1, 0, "64-bit"},
		{0x1f1, 1, 255, "setup part"},
		{0x1f4, 4, IMAGE_BYTES, "truncated"},
		{0x260, 4, 0, "no sense"},
		{0x230, 4, 3, "no sense"},
		{0x230, 4, 0, "no sense"},
		{0x258, 8, ~UINT64_C(0), "no sense"},
		{0x260, 4, 0xffffffff, "no sense"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *problem;

		make();
		put(cases[i].at, cases[i].v, cases[i].n);
		problem = linux_image_parse(image, IMAGE_BYTES, &out);
		if (!problem || !strstr(problem, cases[i].says))
			test_fail(__FILE__, __LINE__, "case %zu says '%s', not '%s'", i,
				  problem ? problem : "fine", cases[i].says);
	}
}

TEST(every_truncation_is_refused)
{
	make();
	for (uint64_t n = 0; n < IMAGE_BYTES; n += 16) {
		uint8_t *copy = malloc(n ? n : 1); /* so that ASan sees a read beyond it */

		memcpy(copy, image, n);
		CHECK(linux_image_parse(copy, n, &out) != NULL);
		free(copy);
	}
}

static uint8_t zp[4096];

static uint64_t get(size_t at, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, zp + at, n);
	return v;
}

TEST(the_zero_page)
{
	const struct mem_range map[] = {{HPA(0), 0x9f000, MEM_RAM}, {HPA(GIB), MIB, MEM_RESERVED}};
	struct boot_framebuffer fb = {.type = FB_EGA_TEXT, .width = 80, .height = 25};
	struct linux_params p = {.image = image,
				 .map = map,
				 .ranges = 2,
				 .cmdline = UINT64_C(0x123456000),
				 .initrd = UINT64_C(0x198765000),
				 .initrd_bytes = 0x4321,
				 .rsdp = 0xf0000,
				 .fb = &fb};

	make();
	memset(zp, 0xff, sizeof(zp));
	CHECK(linux_params_fill(zp, &p));
	CHECK_EQ(get(0x202, 4), 0x53726448);
	CHECK_EQ(get(0x1ef, 1), 0); /* the sentinel of a zeroed page */
	CHECK_EQ(get(0x210, 1), 0xff);
	CHECK_EQ(get(0x228, 4), 0x23456000);
	CHECK_EQ(get(0xc8, 4), 1);
	CHECK_EQ(get(0x218, 4), 0x98765000);
	CHECK_EQ(get(0xc0, 4), 1);
	CHECK_EQ(get(0x21c, 4), 0x4321);
	CHECK_EQ(get(0x70, 8), 0xf0000);
	CHECK_EQ(get(0x1e8, 1), 2);
	CHECK_EQ(get(0x2d0, 8), 0);
	CHECK_EQ(get(0x2d0 + 16, 4), MEM_RAM);
	CHECK_EQ(get(0x2d0 + 20, 8), GIB);
	CHECK_EQ(get(0x2d0 + 28, 8), MIB);
	CHECK_EQ(get(0x06, 1), 3);
	CHECK_EQ(get(0x0f, 1), 1);
	CHECK_EQ(get(0x1c0, 4), 0); /* no EFI */
}

/* RAM of boot services is RAM for Linux; neighbours count once. */
TEST(the_memory_map)
{
	static struct mem_range map[2 * LINUX_E820_MAX + 2];
	struct boot_framebuffer fb = {.type = FB_NONE};
	struct linux_params p = {.image = image, .map = map, .fb = &fb};

	make();
	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		map[i] = (struct mem_range){HPA((i + i / 2) * MIB), MIB,
					    i % 2 ? MEM_FIRMWARE : MEM_RAM};
	p.ranges = 2 * LINUX_E820_MAX;
	CHECK(linux_params_fill(zp, &p));
	CHECK_EQ(get(0x1e8, 1), LINUX_E820_MAX);
	CHECK_EQ(get(0x2d0 + 20, 8), 3 * MIB);
	CHECK_EQ(get(0x2d0 + 28, 8), 2 * MIB);
	CHECK_EQ(get(0x2d0 + 36, 4), MEM_RAM);
	CHECK_EQ(get(0x2d0 + 20 * LINUX_E820_MAX, 8), 0);
	p.ranges++;
	CHECK(!linux_params_fill(zp, &p));
}

TEST(efi_and_a_high_framebuffer)
{
	struct boot_framebuffer fb = {.type = FB_RGB,
				      .base = HPA(UINT64_C(0x4000000000)),
				      .pitch_bytes = 4096,
				      .width = 1024,
				      .height = 768,
				      .bpp = 32,
				      .rgb = {{16, 8}}};
	struct boot_efi efi = {.system_table = HPA(UINT64_C(0x17f001000)),
			       .memmap_bytes = 480,
			       .desc_bytes = 48,
			       .desc_version = 1};
	struct linux_params p = {.image = image, .fb = &fb, .efi = &efi, .efi_memmap = 0x5000};

	make();
	CHECK(linux_params_fill(zp, &p));
	CHECK_EQ(get(0x0f, 1), 0x70);
	CHECK_EQ(get(0x18, 4), 0);
	CHECK_EQ(get(0x3a, 4), 0x40);
	CHECK_EQ(get(0x36, 4), 2);
	CHECK_EQ(get(0x1c, 4), 4096 * 768);
	CHECK_EQ(get(0x27, 1), 16);
	CHECK(!memcmp(zp + 0x1c0, "EL64", 4));
	CHECK_EQ(get(0x1c4, 4), 0x7f001000);
	CHECK_EQ(get(0x1d8, 4), 1);
	CHECK_EQ(get(0x1c8, 4), 48);
	CHECK_EQ(get(0x1d4, 4), 480);
}

/* A descriptor of 48 bytes, as firmware has them. */
struct descriptor {
	uint32_t type, pad;
	uint64_t base, virtual, pages, attributes, more;
};

static void trim(struct descriptor *d, unsigned int n, uint64_t taken, uint64_t taken_bytes)
{
	static const struct mem_range map[] = {{HPA(0x1000), 0x9f000, MEM_RAM},
					       {HPA(0x100000), 0x1ff00000, MEM_RAM},
					       {HPA(0x20000000), 0x10000000, MEM_RESERVED},
					       {HPA(0x30000000), 0x1000000, MEM_RAM}};

	linux_trim_efi_map(d, n * sizeof(*d), sizeof(*d), map, 4,
			   (struct mem_range){HPA(taken), taken_bytes, MEM_RESERVED});
}

TEST(efi_memory_is_free_only_where_e820_has_ram)
{
	struct descriptor d[] = {
		{.type = 7, .base = 0x1000, .pages = 0x10},	  /* all RAM */
		{.type = 7, .base = 0x1000000, .pages = 0x2f000}, /* reaches into the pool */
		{.type = 7, .base = 0x21000000, .pages = 0x10},	  /* all pool */
		{.type = 7, .base = 0x30000000, .pages = 0x1000}, /* RAM again */
		{.type = 7, .base = 0x80000000, .pages = 1},	  /* E820 has nothing there */
		{.type = 4, .base = 0x1f000000, .pages = 0x2000}, /* not free: not touched */
	};
	static const struct {
		uint32_t type;
		uint64_t pages;
	} want[] = {{7, 0x10}, {7, 0x1f000}, {0, 0x10}, {7, 0x1000}, {0, 1}, {4, 0x2000}};

	trim(d, 6, 0, 0);
	for (unsigned int i = 0; i < 6; i++) {
		CHECK_EQ(d[i].type, want[i].type);
		CHECK_EQ(d[i].pages, want[i].pages);
	}
}

TEST(efi_memory_is_not_free_where_the_boot_tables_lie)
{
	struct descriptor d[] = {
		{.type = 7, .base = 0x1000000, .pages = 0x1000}, /* ends before them */
		{.type = 7, .base = 0x2000000, .pages = 0x2000}, /* has them inside */
		{.type = 7, .base = 0x3001000, .pages = 0x10},	 /* begins inside them */
		{.type = 7, .base = 0x3010000, .pages = 0x10},	 /* begins where they end */
	};

	trim(d, 4, 0x3000000, 0x10000);
	CHECK_EQ(d[0].pages, 0x1000);
	CHECK_EQ(d[1].pages, 0x1000);
	CHECK_EQ(d[1].type, 7);
	CHECK_EQ(d[2].type, 0);
	CHECK_EQ(d[3].type, 7);
	CHECK_EQ(d[3].pages, 0x10);
}

TEST(efi_map_that_ends_early_is_not_overrun)
{
	struct descriptor d[2] = {{.type = 7, .base = 0x1000, .pages = 1},
				  {.type = 7, .base = 0x80000000, .pages = 1}};

	linux_trim_efi_map(d, sizeof(d) - 16, sizeof(d[0]), NULL, 0, (struct mem_range){0});
	CHECK_EQ(d[0].type, 0);
	CHECK_EQ(d[1].type, 7);
}
