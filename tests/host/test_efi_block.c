// SPDX-License-Identifier: MIT
// sources: boot/efi/block.c boot/mb2.c vmm/cmdline.c vmm/memmap.c
/*
 * The block that hornero.efi writes, read back by the hypervisor's own walk: what went in comes
 * out.
 */
#include "test.h"
#include <boot/efi/block.h>
#include <boot/mb2.h>
#include <log.h>
#include <memmap.h>

/* cmdline.c's, which is linked for its words */
void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	CHECK(!level && !tag && !fmt);
}

#define DESC 48 /* as real firmware: longer than the specification's 40 */

static _Alignas(8) uint8_t room[4096];
static struct block block;
static struct boot_info info;
static char error[200];

static uint8_t efi_map[8 * DESC];

static struct block_efi_map make_map(void)
{
	static const uint64_t rows[][3] = {
		{7, 0, 0x80},	  {4, 0x80000, 0x20}, {7, 0x100000, 0x100}, {5, 0x200000, 0x10},
		{9, 0x210000, 1}, {10, 0x211000, 1},  {8, 0x212000, 1},	    {11, 0xfee00000, 1},
	};

	for (unsigned int i = 0; i < 8; i++) {
		memcpy(efi_map + i * DESC, &rows[i][0], 4);
		memcpy(efi_map + i * DESC + 8, &rows[i][1], 8);
		memcpy(efi_map + i * DESC + 24, &rows[i][2], 8);
	}
	return (struct block_efi_map){efi_map, sizeof(efi_map), DESC, 1};
}

static void fill(size_t bytes)
{
	const struct block_picture picture = {0xc0000000, 4096, 1024, 768, 16, 8, 8, 8, 0, 8};
	struct block_efi_map map = make_map();
	uint64_t table = 0x3fe01018;
	uint32_t base = 0x3fc00000;
	uint8_t rsdp[36] = "RSD PTR ";

	block_begin(&block, room, bytes);
	block_add_strings(&block, "loglevel=debug", "hornero.efi");
	block_add_module(&block, 0x1000, 0x2345, "kernel", "console=ttyS0 quiet");
	block_add_module(&block, 0x5000, 0x6000, "initramfs", "");
	block_add_picture(&block, &picture);
	block_add(&block, BLOCK_RSDP1, rsdp, 20);
	block_add(&block, BLOCK_RSDP2, rsdp, 36);
	block_add(&block, BLOCK_EFI64, &table, sizeof(table));
	block_add(&block, BLOCK_LOAD_BASE, &base, sizeof(base));
	block_add_memory(&block, &map);
}

TEST(what_went_in_comes_out)
{
	size_t bytes;

	fill(sizeof(room));
	bytes = block_end(&block);
	CHECK(bytes);
	if (!mb2_parse(room, bytes, HPA(0x10000), &info, error, sizeof(error)))
		test_fail(__FILE__, __LINE__, "%s", error);
	CHECK_EQ(info.block_bytes, bytes);
	CHECK_STREQ(info.cmdline, "loglevel=debug");
	CHECK_STREQ(info.loader, "hornero.efi");
	CHECK_EQ(info.modules[MODULE_KERNEL].base.v, 0x1000);
	CHECK_EQ(info.modules[MODULE_KERNEL].bytes, 0x1345);
	CHECK_STREQ(info.modules[MODULE_KERNEL].cmdline, "console=ttyS0 quiet");
	CHECK_EQ(info.modules[MODULE_INITRAMFS].bytes, 0x1000);
	CHECK_EQ(info.modules[MODULE_MICROCODE].bytes, 0);
	CHECK_EQ(info.fb.type, FB_RGB);
	CHECK_EQ(info.fb.base.v, 0xc0000000);
	CHECK_EQ(info.fb.pitch_bytes, 4096);
	CHECK_EQ(info.fb.width, 1024);
	CHECK_EQ(info.fb.height, 768);
	CHECK_EQ(info.fb.bpp, 32);
	CHECK_EQ(info.fb.rgb[0].pos, 16);
	CHECK_EQ(info.fb.rgb[1].pos, 8);
	CHECK_EQ(info.fb.rgb[2].pos, 0);
	CHECK_EQ(info.fb.rgb[2].bits, 8);
	CHECK_EQ(info.efi.system_table.v, 0x3fe01018);
	CHECK(info.rsdp.v);
	CHECK_MEMEQ(room + (info.rsdp.v - 0x10000), "RSD PTR ", 8);
}

TEST(both_memory_maps)
{
	static const struct {
		uint64_t base, bytes;
		enum mem_type type;
	} wanted[] = {
		{0, 0x80000, MEM_RAM},	       {0x80000, 0x20000, MEM_FIRMWARE},
		{0x100000, 0x100000, MEM_RAM}, {0x200000, 0x10000, MEM_RESERVED},
		{0x210000, 0x1000, MEM_ACPI},  {0x211000, 0x1000, MEM_NVS},
		{0x212000, 0x1000, MEM_BAD},   {0xfee00000, 0x1000, MEM_RESERVED},
	};

	fill(sizeof(room));
	CHECK(mb2_parse(room, block_end(&block), HPA(0x10000), &info, error, sizeof(error)));
	info.n_ranges = memmap_clean(info.ranges, info.n_ranges, BOOT_MAX_RANGES);
	CHECK_EQ(info.n_ranges, ARRAY_SIZE(wanted));
	for (unsigned int i = 0; i < info.n_ranges; i++) {
		CHECK_EQ(info.ranges[i].base.v, wanted[i].base);
		CHECK_EQ(info.ranges[i].bytes, wanted[i].bytes);
		CHECK_EQ(info.ranges[i].type, wanted[i].type);
	}
	CHECK_EQ(info.efi.desc_bytes, DESC);
	CHECK_EQ(info.efi.desc_version, 1);
	CHECK_EQ(info.efi.memmap_bytes, sizeof(efi_map));
	CHECK_MEMEQ(room + (info.efi.memmap.v - 0x10000), efi_map, sizeof(efi_map));
}

TEST(too_little_room_is_said_and_kept)
{
	size_t need;

	fill(sizeof(room));
	need = block_end(&block);
	for (size_t bytes = 0; bytes < need; bytes++) {
		memset(room, 0xcc, sizeof(room));
		fill(bytes);
		CHECK_EQ(block_end(&block), 0);
		for (size_t i = bytes; i < sizeof(room); i++)
			CHECK_EQ(room[i], 0xcc);
	}
	fill(need);
	CHECK_EQ(block_end(&block), need);
}

TEST(descriptors_too_short_are_refused)
{
	struct block_efi_map map = make_map();

	map.desc_bytes = 24;
	block_begin(&block, room, sizeof(room));
	block_add_memory(&block, &map);
	CHECK_EQ(block_end(&block), 0);
}
