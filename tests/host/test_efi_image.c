// SPDX-License-Identifier: MIT
// sources: boot/efi/elf.c boot/efi/pe.c
/*
 * The two file formats that hornero.efi takes apart: the hypervisor's ELF, and its own PE image
 * with the sections of the one-file form. Each file is an allocation of exactly its size.
 */
#include "test.h"
#include <elf.h>
#include <boot/efi/elf.h>
#include <boot/efi/pe.h>

#define LINKED 0xffffffff80000000

static struct {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	uint8_t pad[8];
	uint32_t magic;
	uint8_t code[252];
	uint8_t data[64];
} file;

static struct elf_image image;

static void make_elf(void)
{
	memset(&file, 0, sizeof(file));
	memcpy(file.eh.e_ident, ELFMAG, SELFMAG);
	file.eh.e_ident[EI_CLASS] = ELFCLASS64;
	file.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	file.eh.e_machine = EM_X86_64;
	file.eh.e_type = ET_EXEC;
	file.eh.e_entry = LINKED + 0x10;
	file.eh.e_phoff = sizeof(file.eh);
	file.eh.e_phentsize = sizeof(file.ph[0]);
	file.eh.e_phnum = 2;
	file.magic = 0xe85250d6;
	file.ph[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, offsetof(typeof(file), magic),
				  LINKED,  0x200000,	256,
				  256,	   4096};
	file.ph[1] = (Elf64_Phdr){PT_LOAD,	   PF_R | PF_W, offsetof(typeof(file), data),
				  LINKED + 0x1000, 0x201000,	64,
				  0x2000,	   4096};
}

static const char *check(size_t bytes)
{
	void *copy = malloc(bytes);
	const char *problem;

	memcpy(copy, &file, bytes);
	problem = elf_check(copy, bytes, &image);
	free(copy);
	return problem;
}

TEST(elf_is_described)
{
	make_elf();
	CHECK_EQ(offsetof(typeof(file), magic) % 8, 0);
	CHECK_EQ(check(sizeof(file)), NULL);
	CHECK_EQ(image.n_segments, 2);
	CHECK_EQ(image.entry, 0x10);
	CHECK_EQ(image.bytes, 0x3000);
	CHECK_EQ(image.segments[1].at, 0x1000);
	CHECK_EQ(image.segments[1].offset, offsetof(typeof(file), data));
	CHECK_EQ(image.segments[1].file_bytes, 64);
}

TEST(elf_cut_anywhere_is_refused)
{
	make_elf();
	for (size_t bytes = 0; bytes < sizeof(file); bytes++)
		CHECK(check(bytes));
}

static void refused(const char *what)
{
	const char *problem = check(sizeof(file));

	CHECK(problem && strstr(problem, what));
	make_elf();
}

TEST(elf_lies)
{
	make_elf();
	file.eh.e_ident[1] = 'e';
	refused("wrong magic");
	file.magic++;
	refused("Multiboot2");
	file.eh.e_machine = EM_386;
	refused("x86-64");
	file.eh.e_entry = LINKED + 256;
	refused("entry point");
	file.ph[0].p_flags = PF_R;
	refused("entry point");
	file.eh.e_phnum = 100;
	refused("truncated");
	file.eh.e_phoff = UINT64_MAX - 8;
	refused("truncated");
	file.ph[1].p_offset = UINT64_MAX - 8;
	refused("truncated");
	file.ph[1].p_filesz = 0x3000;
	refused("truncated");
	file.ph[1].p_memsz = 63;
	refused("not linked");
	file.ph[1].p_memsz = UINT64_MAX - 8;
	refused("not linked");
	file.ph[1].p_memsz = 0x200000;
	refused("not linked");
	file.ph[1].p_paddr = 0x1ff000;
	refused("not linked");
}

static uint8_t pe[0x400];

static void put(size_t at, uint32_t v, size_t n)
{
	memcpy(pe + at, &v, n);
}

static void make_pe(void)
{
	memset(pe, 0, sizeof(pe));
	memcpy(pe, "MZ", 2);
	put(0x3c, 0x80, 4);
	memcpy(pe + 0x80, "PE\0\0", 4);
	put(0x86, 2, 2);
	put(0x94, 0x20, 2);
	memcpy(pe + 0xb8, ".hornero", 8);
	put(0xc0, 0x30, 4);
	put(0xc4, 0x200, 4);
	memcpy(pe + 0xe0, ".conf", 5);
	put(0xe8, 0x100, 4);
	put(0xec, 0x300, 4);
}

static bool find(const char *name, size_t bytes, size_t *at, size_t *size)
{
	uint8_t *copy = malloc(bytes);
	const void *data = copy;
	bool found;

	memcpy(copy, pe, bytes);
	found = pe_section(copy, bytes, name, &data, size);
	*at = (size_t)((const uint8_t *)data - copy);
	free(copy);
	return found;
}

TEST(pe_sections_are_found)
{
	size_t at, size;

	make_pe();
	CHECK(find(".hornero", sizeof(pe), &at, &size));
	CHECK_EQ(at, 0x200);
	CHECK_EQ(size, 0x30);
	CHECK(find(".conf", sizeof(pe), &at, &size));
	CHECK_EQ(at, 0x300);
	CHECK_EQ(size, 0x100);
	CHECK(!find(".con", sizeof(pe), &at, &size));
	CHECK(!find(".horneros", sizeof(pe), &at, &size));
	CHECK(!find("", sizeof(pe), &at, &size));
}

TEST(pe_that_lies_has_no_section)
{
	size_t at, size;

	make_pe();
	for (size_t bytes = 0; bytes < sizeof(pe); bytes++)
		CHECK(!find(".conf", bytes, &at, &size));
	put(0xec, 0xffffff00, 4);
	CHECK(!find(".conf", sizeof(pe), &at, &size));
	make_pe();
	put(0x3c, 0xffffffff, 4);
	CHECK(!find(".conf", sizeof(pe), &at, &size));
	make_pe();
	put(0x86, 0xffff, 2);
	CHECK(!find(".conf", sizeof(pe), &at, &size));
	make_pe();
	put(0x80, 0, 1);
	CHECK(!find(".conf", sizeof(pe), &at, &size));
}
