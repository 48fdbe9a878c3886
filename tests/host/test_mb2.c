// SPDX-License-Identifier: MIT
// sources: boot/mb2.c vmm/cmdline.c vmm/memmap.c vmm/split.c
/*
 * The Multiboot2 walk, on well-formed blocks and on every way of lying that a size field offers.
 * Each block is an allocation of exactly its size, so that the address sanitizer sees one byte too
 * far.
 */
#include "test.h"
#include <boot/mb2.h>
#include <log.h>
#include <memmap.h>
#include <split.h>

/* cmdline.c's, which is linked for its words */
void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	CHECK(!level && !tag && !fmt);
}

static uint8_t build[65536];
static uint32_t used;
static struct boot_info info;
static char error[200];

static void start(void)
{
	memset(build, 0, sizeof(build));
	used = 8;
}

static void add(uint32_t type, const void *body, uint32_t n)
{
	uint32_t head[2] = {type, n + 8};

	memcpy(build + used, head, 8);
	memcpy(build + used + 8, body, n);
	used = (used + 8 + n + 7) & ~7U;
}

static void add_map(uint32_t entry_bytes, unsigned int n)
{
	static uint8_t body[16384];
	uint32_t head[2] = {entry_bytes, 0};

	memset(body, 0, sizeof(body));
	memcpy(body, head, 8);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t range[2] = {i * 0x100000, 0x100000};
		uint32_t type = 1 + i % 2 * 19;

		memcpy(body + 8 + i * entry_bytes, range, 16);
		memcpy(body + 8 + i * entry_bytes + 16, &type, 4);
	}
	add(6, body, 8 + n * entry_bytes);
}

static void add_module(uint32_t from, uint32_t to, const char *text)
{
	uint8_t body[4096];
	uint32_t head[2] = {from, to};

	memcpy(body, head, 8);
	strcpy((char *)body + 8, text);
	add(3, body, 8 + (uint32_t)strlen(text) + 1);
}

/* Parse what was built, as a block that says it has @total bytes and really has @real. */
static bool parse_sizes(uint32_t total, uint32_t real)
{
	uint8_t *block = malloc(real);
	bool ok;

	memcpy(build, &total, 4);
	memcpy(block, build, real);
	error[0] = 0;
	ok = mb2_parse(block, real, HPA(0x10000), &info, error, sizeof(error));
	free(block);
	return ok;
}

static bool finish(void)
{
	add(0, "", 0);
	return parse_sizes(used, used);
}

static bool complains(const char *word)
{
	return strstr(error, word) != NULL;
}

TEST(a_whole_block)
{
	uint8_t fb[32] = {0};
	uint64_t system_table = 0x7e000000;

	start();
	add(1, "loglevel=debug", 15);
	add(2, "GRUB 2.06", 10);
	add_map(24, 3);
	add_module(0x200000, 0x300000, "kernel console=ttyS0 quiet");
	add_module(0x400000, 0x400000, "initramfs");
	fb[20] = 32;
	fb[21] = 1;
	fb[24] = 16;
	add(8, fb, 30);
	add(12, &system_table, 8);
	CHECK(finish());
	CHECK(!strcmp(info.cmdline, "loglevel=debug"));
	CHECK(!strcmp(info.loader, "GRUB 2.06"));
	CHECK_EQ(info.n_ranges, 3);
	CHECK_EQ(info.ranges[2].base.v, 0x200000);
	CHECK_EQ(info.ranges[1].type, MEM_RESERVED);
	CHECK_EQ(info.modules[MODULE_KERNEL].base.v, 0x200000);
	CHECK_EQ(info.modules[MODULE_KERNEL].bytes, 0x100000);
	CHECK(!strcmp(info.modules[MODULE_KERNEL].cmdline, "console=ttyS0 quiet"));
	CHECK(!strcmp(info.modules[MODULE_INITRAMFS].cmdline, ""));
	CHECK_EQ(info.modules[MODULE_MICROCODE].bytes, 0);
	CHECK_EQ(info.fb.type, FB_RGB);
	CHECK_EQ(info.fb.rgb[0].pos, 16);
	CHECK_EQ(info.efi.system_table.v, system_table);
	CHECK_EQ(info.block.v, 0x10000);
	CHECK_EQ(info.block_bytes, used);
}

TEST(the_newer_root_pointer_wins)
{
	uint8_t rsdp[36] = {0};

	start();
	add_map(24, 1);
	add(14, rsdp, 20);
	CHECK(finish());
	CHECK(info.rsdp.v != 0);
	start();
	add(15, rsdp, 36);
	add(14, rsdp, 20);
	add_map(24, 1);
	CHECK(finish());
	CHECK_EQ(info.rsdp.v, 0x10000 + 16);
}

TEST(no_memory_map)
{
	start();
	add(2, "x", 2);
	CHECK(!finish());
	CHECK(complains("no memory map"));
	start();
	add_map(24, 0);
	CHECK(!finish());
	CHECK(complains("no memory map"));
}

/* Which the refusal needs, whatever came before. */
TEST(screen_is_found_behind_a_bad_tag)
{
	uint8_t fb[24] = {0};

	fb[21] = FB_EGA_TEXT;
	start();
	add_map(0, 0);
	add(8, fb, 24);
	add_module(0x300000, 0x200000, "kernel");
	CHECK(!finish());
	CHECK(complains("entries of 0 bytes"));
	CHECK_EQ(info.fb.type, FB_EGA_TEXT);
}

TEST(nonsense_total)
{
	start();
	add_map(24, 1);
	add(0, "", 0);
	CHECK(!parse_sizes(0, used));
	CHECK(!parse_sizes(15, used));
	CHECK(!parse_sizes(used + 1, used));
	CHECK(!parse_sizes(0xffffffff, used));
	CHECK(complains("4294967295"));
	CHECK(!parse_sizes(used, 7));
}

TEST(no_end_tag)
{
	start();
	add_map(24, 1);
	CHECK(!parse_sizes(used, used));
	CHECK(complains("no end tag"));
	CHECK(!parse_sizes(used - 8, used - 8));
}

TEST(nonsense_tag_size)
{
	static const uint32_t sizes[] = {0, 1, 7, 1000, 0x7fffffff, 0xfffffff8, 0xffffffff};

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		start();
		add(2, "x", 2);
		memcpy(build + 12, &sizes[i], 4);
		add_map(24, 1);
		CHECK(!finish());
		CHECK(complains("tag 2"));
	}
}

TEST(every_tag_cut_short)
{
	static const uint32_t types[] = {1, 2, 3, 6, 8, 12, 14, 15, 17};
	uint8_t body[40];

	memset(body, 'x', sizeof(body));
	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		start();
		add(types[i], body, 7);
		add_map(24, 1);
		CHECK(!finish());
		CHECK(error[0]);
	}
}

TEST(strings_without_end_or_too_long)
{
	static char text[3000];

	memset(text, 'a', sizeof(text) - 1);
	start();
	add(1, "abc", 3);
	add_map(24, 1);
	CHECK(!finish());
	CHECK(complains("does not end"));
	start();
	add(1, text, sizeof(text));
	add_map(24, 1);
	CHECK(!finish());
	CHECK(complains("2999 characters"));
	start();
	add_map(24, 1);
	add_module(0, 1, text);
	CHECK(!finish());
}

TEST(nonsense_memory_map)
{
	static const uint32_t entries[] = {0, 4, 16, 22, 0x10000, 0xffffffff};

	for (unsigned int i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		start();
		add_map(24, 2);
		memcpy(build + 16, &entries[i], 4);
		CHECK(!finish());
		CHECK(complains("entries of"));
	}
	start();
	add_map(24, BOOT_MAX_RANGES);
	CHECK(finish());
	CHECK_EQ(info.n_ranges, BOOT_MAX_RANGES);
	start();
	add_map(24, BOOT_MAX_RANGES + 1);
	CHECK(!finish());
}

TEST(modules_that_cannot_be)
{
	start();
	add_map(24, 1);
	add_module(0x200000, 0x100000, "kernel");
	CHECK(!finish());
	CHECK(complains("before it starts"));
	start();
	add_map(24, 1);
	add_module(0x200000, 0x300000, "kernels");
	CHECK(!finish());
	CHECK(complains("none of the roles"));
	start();
	add_map(24, 1);
	add_module(0x200000, 0x300000, "kern");
	CHECK(!finish());
	start();
	add_map(24, 1);
	add(3, "12345678", 8);
	CHECK(!finish());
	CHECK(complains("(module) has only 16 bytes"));
}

struct efi_desc {
	uint32_t type, pad;
	uint64_t base, virtual, pages, attribute, more; /* firmware may make them longer */
};

static void add_efi(const struct efi_desc *d, uint32_t n)
{
	uint8_t body[8 + 16 * sizeof(*d)];
	uint32_t head[2] = {sizeof(*d), 1};

	memcpy(body, head, 8);
	memcpy(body + 8, d, n * sizeof(*d));
	add(17, body, 8 + n * (uint32_t)sizeof(*d));
}

static void add_ram(uint64_t base, uint64_t end)
{
	struct __packed {
		uint32_t entry, version;
		uint64_t base, bytes;
		uint32_t type, zero;
	} body = {24, 0, base, end - base, 1, 0};

	add(6, &body, sizeof(body));
}

/* The one range of the cleaned map that @pa lies in. */
static const struct mem_range *range_at(const struct mem_range *m, unsigned int n, uint64_t pa)
{
	for (unsigned int i = 0; i < n; i++)
		if (pa >= m[i].base.v && pa < m[i].base.v + m[i].bytes)
			return &m[i];
	return NULL;
}

/* GRUB says "RAM" of everything that the firmware may let go of. What its boot services hold is not
 * to be ours or a guest's all the same, and what runs on must not be touched. */
TEST(efi_boot_services_stay_with_the_control_domain)
{
	static const struct efi_desc efi[] = {
		{3, 0, 0x1000, 0, 15, 0xf, 0},	      /* boot services code */
		{7, 0, 0x10000, 0, 0x90, 0xf, 0},     /* free */
		{2, 0, 2 * MIB, 0, 512, 0xf, 0},      /* loader data: a module */
		{7, 0, 4 * MIB, 0, 0x3c00, 0xf, 0},   /* free */
		{4, 0, 64 * MIB, 0, 0x1000, 0xf, 0},  /* boot services data: ESRT, MEMATTR */
		{7, 0, 80 * MIB, 0, 0x6800, 0xf, 0},  /* free */
		{5, 0, 184 * MIB, 0, 0x100, 0xf, 0},  /* runtime services code */
		{6, 0, 185 * MIB, 0, 0x100, 0xf, 0},  /* runtime services data */
		{9, 0, 186 * MIB, 0, 0x100, 0xf, 0},  /* ACPI tables */
		{10, 0, 187 * MIB, 0, 0x100, 0xf, 0}, /* ACPI NVS */
		{8, 0, 188 * MIB, 0, 0x100, 0xf, 0},  /* unusable */
		{14, 0, 189 * MIB, 0, 0x100, 0xf, 0}, /* persistent */
		{0x80000000, 0, 190 * MIB, 0, 0x100, 0xf, 0},
		{4, 0, 191 * MIB, 0, 0x100, 0xf, 0}, /* boot services data */
	};
	static const struct {
		uint64_t pa;
		enum mem_type type;
	} wanted[] = {
		{0x1000, MEM_FIRMWARE},	   {0x10000, MEM_RAM},	      {2 * MIB, MEM_RAM},
		{63 * MIB, MEM_RAM},	   {64 * MIB, MEM_FIRMWARE},  {80 * MIB, MEM_RAM},
		{184 * MIB, MEM_RESERVED}, {185 * MIB, MEM_RESERVED}, {186 * MIB, MEM_ACPI},
		{187 * MIB, MEM_NVS},	   {188 * MIB, MEM_BAD},      {189 * MIB, MEM_RESERVED},
		{190 * MIB, MEM_RESERVED}, {191 * MIB, MEM_FIRMWARE}, {192 * MIB - 1, MEM_FIRMWARE},
	};
	static struct memory_split s;
	const struct mem_range none = {HPA(0), 0, MEM_RESERVED};
	unsigned int n;

	for (int efi_first = 0; efi_first < 2; efi_first++) {
		start();
		if (efi_first)
			add_efi(efi, ARRAY_SIZE(efi));
		add_ram(0, 192 * MIB); /* the lie: all of it */
		if (!efi_first)
			add_efi(efi, ARRAY_SIZE(efi));
		CHECK(finish());
		n = memmap_clean(info.ranges, info.n_ranges, BOOT_MAX_RANGES);
		for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++)
			CHECK_EQ(range_at(info.ranges, n, wanted[i].pa)->type, wanted[i].type);
		CHECK_EQ(memmap_ram_top(info.ranges, n), 192 * MIB);
		CHECK_EQ(memmap_ram_bytes(info.ranges, n), (192 - 7) * MIB);

		/* the hypervisor's heap: the highest free place, and none other */
		CHECK_EQ(memmap_place(info.ranges, n, &none, 1, PAGE_SIZE, PAGE_SIZE, MIB, 4 * GIB),
			 184 * MIB - PAGE_SIZE);
		CHECK_EQ(memmap_place(info.ranges, n, &none, 1, PAGE_SIZE, PAGE_SIZE, 64 * MIB,
				      80 * MIB),
			 0);
		/* borrowed below 1 MiB, it may be theirs */
		CHECK_EQ(memmap_place(info.ranges, n, &none, 1, PAGE_SIZE, PAGE_SIZE, PAGE_SIZE,
				      0x10000),
			 0xf000);

		CHECK(split_memory(info.ranges, n, &none, 1, 32 * MIB, &s));
		CHECK(s.pool_bytes > 100 * MIB);
		for (unsigned int i = 0; i < s.pools; i++)
			for (uint64_t pa = s.pool[i].base.v;
			     pa < s.pool[i].base.v + s.pool[i].bytes; pa += PAGE_SIZE)
				CHECK_EQ(range_at(info.ranges, n, pa)->type, MEM_RAM);
		CHECK_EQ(s.control_bytes + s.pool_bytes, (192 - 7) * MIB);
		CHECK_EQ(range_at(s.map, s.ranges, 64 * MIB)->type, MEM_FIRMWARE);
	}
}

TEST(nonsense_efi_map)
{
	static const uint32_t entries[] = {0, 8, 36, 44, 0xfffffff9};
	struct efi_desc d = {4, 0, MIB, 0, UINT64_MAX, 0, 0};

	for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++) {
		start();
		add_map(24, 1);
		add_efi(&d, 1);
		memcpy(build + used - 8 - sizeof(d), &entries[i], 4);
		CHECK(!finish());
		CHECK(complains("entries of"));
	}
	start();
	add_map(24, 1);
	add_efi(&d, 1); /* pages beyond all memory: no wrap to something small */
	CHECK(finish());
	CHECK(info.ranges[1].bytes >= BIT64(52));
}

/* Every byte of a good block replaced, one at a time, by values that hurt: no access may leave it.
 */
TEST(corrupted_anywhere)
{
	static const uint8_t values[] = {0, 1, 7, 0x7f, 0x80, 0xff};
	unsigned int accepted = 0;
	uint32_t n;

	start();
	add(1, "a=b", 4);
	add_map(24, 2);
	add_module(0x200000, 0x300000, "kernel");
	add(0, "", 0);
	n = used;
	memcpy(build, &n, 4);
	for (uint32_t i = 4; i < n; i++) {
		for (unsigned int v = 0; v < sizeof(values); v++) {
			uint8_t was = build[i];

			build[i] = values[v];
			accepted += parse_sizes(n, n);
			build[i] = was;
		}
	}
	CHECK(accepted > 0);
	CHECK(accepted < (n - 4) * sizeof(values));
}
