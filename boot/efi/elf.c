// SPDX-License-Identifier: MIT
/*
 * Checking the hypervisor's ELF image; see elf.h.
 *
 * Of ELF only what our linker script makes is accepted. The Multiboot2 header's magic must be where
 * a Multiboot2 loader looks for it, so that any other ELF program is refused before it is started.
 */
#include "elf.h"
#include <elf.h>
#include <stdbool.h>
#include <string.h>

#define MB2_MAGIC  0xe85250d6
#define MB2_SEARCH 32768
#define IMAGE_BASE 0x200000 /* linker.ld: LOAD_PHYS */

static bool has_multiboot2(const uint8_t *file, size_t bytes)
{
	for (size_t at = 0; at + 4 <= bytes && at < MB2_SEARCH; at += 8) {
		uint32_t magic;

		memcpy(&magic, file + at, sizeof(magic));
		if (magic == MB2_MAGIC)
			return true;
	}
	return false;
}

static const char *take_segment(const Elf64_Phdr *ph, size_t bytes, uint64_t entry,
				struct elf_image *out)
{
	uint64_t at = ph->p_paddr - IMAGE_BASE;

	if (ph->p_offset > bytes || ph->p_filesz > bytes - ph->p_offset)
		return "truncated: a segment ends behind the end of the file";
	if (ph->p_filesz > ph->p_memsz || ph->p_paddr < IMAGE_BASE || at > ELF_ROOM ||
	    ph->p_memsz > ELF_ROOM - at)
		return "not linked as Hornero is: a segment lies outside of its 2 MiB";
	if (out->n_segments == ELF_MAX_SEGMENTS)
		return "not linked as Hornero is: too many segments";
	out->segments[out->n_segments++] = (struct elf_segment){ph->p_offset, ph->p_filesz, at};
	if (at + ph->p_memsz > out->bytes)
		out->bytes = at + ph->p_memsz;
	if (entry >= ph->p_vaddr && entry - ph->p_vaddr < ph->p_filesz && (ph->p_flags & PF_X))
		out->entry = at + (entry - ph->p_vaddr);
	return NULL;
}

const char *elf_check(const void *file, size_t bytes, struct elf_image *out)
{
	Elf64_Ehdr eh;

	memset(out, 0, sizeof(*out));
	out->entry = UINT64_MAX;
	if (bytes < sizeof(eh))
		return "shorter than an ELF header";
	memcpy(&eh, file, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0)
		return "no ELF file (wrong magic)";
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh.e_machine != EM_X86_64 || eh.e_type != ET_EXEC)
		return "no ELF program for x86-64";
	if (!has_multiboot2(file, bytes))
		return "no Multiboot2 image (wrong magic)";
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phoff > bytes ||
	    eh.e_phnum > (bytes - eh.e_phoff) / sizeof(Elf64_Phdr))
		return "truncated: its table of segments is not in the file";
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		const char *problem;

		memcpy(&ph, (const uint8_t *)file + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		problem = ph.p_type == PT_LOAD ? take_segment(&ph, bytes, eh.e_entry, out) : NULL;
		if (problem)
			return problem;
	}
	return out->entry == UINT64_MAX ? "without an entry point in its code" : NULL;
}
