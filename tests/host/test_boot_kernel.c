// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/boot.c control-domain/vmm/boot_linux.c control-domain/vmm/boot_pvh.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE
/* The kernel loaders: good images land where they should, bad ones are refused with their reason.
 */
#include "test.h"

#include <asm/bootparam.h>
#include <elf.h>

#include "boot.h"
#include "layout.h"

enum { MIB = 1 << 20, SETUP_SECTORS = 4, PAYLOAD = 8192, IMAGE = 5 * 512 + PAYLOAD };

static uint8_t *ram;
static struct guest_memory memory;
static uint8_t image[IMAGE], initrd_bytes[5000];
static struct boot_start start;
static struct reason why;

static bool read_bytes(const struct boot_file *file, uint64_t offset, void *to, uint64_t bytes)
{
	CHECK(offset + bytes <= file->bytes);
	memcpy(to, (const uint8_t *)file->data + offset, bytes);
	return true;
}

static struct boot_file kernel = {.path = "k", .read = read_bytes, .data = image};
static struct boot_file initrd = {.path = "i", .read = read_bytes, .data = initrd_bytes};

static struct setup_header *header(void)
{
	return (struct setup_header *)(image + offsetof(struct boot_params, hdr));
}

static void set_memory(uint64_t bytes)
{
	ram = realloc(ram, bytes);
	CHECK(ram);
	memset(ram, 0xee, bytes);
	memory = (struct guest_memory){
		.count = 1, .range = {{.bytes = bytes, .host = ram}}, .bytes = bytes};
}

/* A bzImage like Linux's, and 64 MiB to put it into. */
static void make_linux(void)
{
	set_memory(64 * MIB);
	memset(image, 0x90, sizeof(image));
	memset(header(), 0, sizeof(*header()));
	*header() = (struct setup_header){
		.setup_sects = SETUP_SECTORS,
		.syssize = PAYLOAD / 16,
		.boot_flag = 0xaa55,
		.header = 0x53726448,
		.version = 0x020f,
		.xloadflags = XLF_KERNEL_64,
		.kernel_alignment = 2 * MIB,
		.relocatable_kernel = 1,
		.initrd_addr_max = 0x7fffffff,
		.cmdline_size = 2047,
		.pref_address = 16 * MIB,
		.init_size = 20 * MIB,
	};
	kernel.bytes = IMAGE;
	initrd.bytes = sizeof(initrd_bytes);
	memset(initrd_bytes, 0x77, sizeof(initrd_bytes));
}

static int load(const char *cmdline, bool with_initrd)
{
	struct boot_request request = {.memory = &memory,
				       .kernel = &kernel,
				       .initrd = with_initrd ? &initrd : NULL,
				       .cmdline = cmdline,
				       .rsdp = 0xe0000};

	return boot_load(&request, &start, &why);
}

static void expect_refused(const char *text)
{
	CHECK_EQ(load("", true), -1);
	if (!strstr(why.text, text))
		test_fail(__FILE__, __LINE__, "refused with \"%s\", not \"...%s...\"", why.text,
			  text);
}

TEST(linux_whole)
{
	make_linux();
	CHECK_EQ(load("console=hvc0", true), 0);
	CHECK_EQ(start.protocol, BOOT_LINUX64);
	CHECK_EQ(start.entry, 16 * MIB + 0x200);
	CHECK_MEMEQ(ram + 16 * MIB, image + 5 * 512, PAYLOAD);

	const struct boot_params *params = (struct boot_params *)(ram + start.argument);

	CHECK_STREQ((char *)ram + params->hdr.cmd_line_ptr, "console=hvc0");
	CHECK_EQ(params->hdr.ramdisk_size, sizeof(initrd_bytes));
	CHECK_MEMEQ(ram + params->hdr.ramdisk_image, initrd_bytes, sizeof(initrd_bytes));
	CHECK(params->hdr.ramdisk_image % 4096 == 0);
	CHECK_EQ(params->acpi_rsdp_addr, 0xe0000);
	/* The map covers all memory but the ranges of the ACPI tables, and reserves those. */
	uint64_t usable = 0;

	for (unsigned i = 0; i < params->e820_entries; i++)
		if (params->e820_table[i].type == 1)
			usable += params->e820_table[i].size;
	CHECK_EQ(usable, 64 * MIB - (MIB - LAYOUT_EBDA_BASE));
	/* Identity map: the entry for 16 MiB. */
	const uint64_t *tables = (uint64_t *)(ram + LAYOUT_PAGE_TABLES);

	CHECK_EQ(tables[0] & ~0xfffull, LAYOUT_PAGE_TABLES + 4096);
	CHECK_EQ(tables[512] & ~0xfffull, LAYOUT_PAGE_TABLES + 8192);
	CHECK_EQ(tables[1024 + 8], (16 * MIB) | 0x83);
}

TEST(linux_small_memory)
{
	make_linux();
	set_memory(24 * MIB);
	CHECK_EQ(load("", true), 0);
	CHECK_EQ(start.entry, 2 * MIB + 0x200);
	header()->relocatable_kernel = 0;
	expect_refused("needs 20.0 MiB");
	header()->relocatable_kernel = 1;
	set_memory(20 * MIB);
	expect_refused("the VM has 20.0 MiB");
}

TEST(linux_refused)
{
	make_linux();
	kernel.bytes = 100;
	expect_refused("100 bytes are too few");
	make_linux();
	header()->header = 0;
	expect_refused("neither a bzImage nor an ELF");
	make_linux();
	header()->version = 0x020b;
	expect_refused("boot protocol 2.11");
	make_linux();
	header()->xloadflags = 0;
	expect_refused("without 64-bit entry");
	make_linux();
	kernel.bytes = IMAGE - 1;
	expect_refused("truncated");
	make_linux();
	header()->syssize = 0xffffffff;
	expect_refused("truncated");
	make_linux();
	header()->init_size = 4096;
	expect_refused("inconsistent");
	make_linux();
	initrd.bytes = 40 * MIB;
	expect_refused("do not fit between the kernel's end at 36.0 MiB and 64.0 MiB");
	make_linux();
	header()->initrd_addr_max = 36 * MIB;
	expect_refused("do not fit");
	make_linux();
	header()->cmdline_size = 3;
	CHECK_EQ(load("four", false), -1);
	CHECK(strstr(why.text, "4 characters, this kernel takes 3"));
}

/* An ELF kernel: one segment at 2 MiB, one note. */
static struct elf_kernel {
	Elf64_Ehdr head;
	Elf64_Phdr segment[2];
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint32_t entry;
	} note;
	uint8_t code[16];
} elf;

static void make_pvh(void)
{
	set_memory(64 * MIB);
	elf = (struct elf_kernel){
		.head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64},
			 .e_machine = EM_X86_64,
			 .e_phoff = offsetof(struct elf_kernel, segment),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 2},
		.segment = {{.p_type = PT_LOAD,
			     .p_offset = offsetof(struct elf_kernel, code),
			     .p_paddr = 2 * MIB,
			     .p_filesz = 16,
			     .p_memsz = 4096},
			    {.p_type = PT_NOTE,
			     .p_offset = offsetof(struct elf_kernel, note),
			     .p_filesz = sizeof(elf.note)}},
		.note = {.head = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
			 .name = "Xen",
			 .entry = 2 * MIB + 4},
		.code = {1, 2, 3, 4, 5},
	};
	kernel.data = &elf;
	kernel.bytes = sizeof(elf);
	initrd.bytes = sizeof(initrd_bytes);
}

TEST(pvh_whole)
{
	make_pvh();
	CHECK_EQ(load("hello", true), 0);
	CHECK_EQ(start.protocol, BOOT_PVH);
	CHECK_EQ(start.entry, 2 * MIB + 4);
	CHECK_MEMEQ(ram + 2 * MIB, elf.code, 16);
	CHECK_EQ(ram[2 * MIB + 16], 0); /* was 0xee: the part without file contents is cleared */

	const uint32_t *info = (uint32_t *)(ram + start.argument);
	const uint64_t *wide = (uint64_t *)(ram + start.argument);

	CHECK_EQ(info[0], 0x336ec578);
	CHECK_EQ(info[3], 1);
	CHECK_STREQ((char *)ram + wide[3], "hello");
	CHECK_EQ(wide[4], 0xe0000);
	const uint64_t *module = (uint64_t *)(ram + wide[2]);

	CHECK_EQ(module[1], sizeof(initrd_bytes));
	CHECK_MEMEQ(ram + module[0], initrd_bytes, sizeof(initrd_bytes));
}

TEST(pvh_refused)
{
	make_pvh();
	elf.head.e_machine = EM_386;
	expect_refused("not an ELF file for x86-64");
	make_pvh();
	elf.head.e_phoff = UINT64_MAX - 8;
	expect_refused("not within the file");
	make_pvh();
	elf.segment[0].p_filesz = 5000;
	expect_refused("truncated");
	make_pvh();
	elf.segment[0].p_memsz = 63 * MIB;
	expect_refused("does not fit into 64 MiB");
	make_pvh();
	elf.segment[0].p_paddr = 0x7000; /* over our own structures */
	expect_refused("does not fit");
	make_pvh();
	elf.segment[0].p_paddr = UINT64_MAX - 100;
	expect_refused("does not fit");
	make_pvh();
	elf.note.head.n_type = 17;
	expect_refused("no PVH entry note");
	make_pvh();
	elf.note.head.n_namesz = UINT32_MAX;
	expect_refused("no PVH entry note");
	make_pvh();
	elf.segment[1].p_filesz = sizeof(elf.note) - 1;
	expect_refused("no PVH entry note");
}
