// SPDX-License-Identifier: MIT
/*
 * From loaded files to the hypervisor's entry point.
 *
 * All memory is taken before the last look at the memory map, because taking more would change it;
 * then the block is written, boot services end, and jump.S goes to the entry point in the state
 * that Multiboot2 promises. After ExitBootServices() nothing can be printed: all checks come first.
 */
#include "app.h"
#include "block.h"
#include "elf.h"
#include "jump.h"

#define LOADER	    "hornero.efi"
#define BLOCK_BYTES 0x40000
#define MAP_BYTES   0x20000
#define RSDP1_BYTES 20
#define RSDP2_BYTES 36
#define EXIT_TRIES  3

struct start {
	const struct conf_entry *entry;
	struct piece kernel, initramfs, microcode;
	EFI_PHYSICAL_ADDRESS image, block, map, page;
	uint64_t entry_offset;
	bool have_picture;
	struct block_picture picture;
};

/* The highest free 2 MiB-aligned place below 4 GiB, as our header asks a loader for. */
static EFI_PHYSICAL_ADDRESS find_place(void)
{
	UINTN n, key, desc_bytes;
	UINT32 version;
	uint8_t *map = (uint8_t *)LibMemoryMap(&n, &key, &desc_bytes, &version);
	EFI_PHYSICAL_ADDRESS best = 0;

	for (UINTN i = 0; map && i < n; i++) {
		EFI_MEMORY_DESCRIPTOR *d = (void *)(map + i * desc_bytes);
		UINT64 end = d->PhysicalStart + (d->NumberOfPages << EFI_PAGE_SHIFT), at;

		if (d->Type != EfiConventionalMemory)
			continue;
		end = end > BELOW_4G + 1 ? BELOW_4G + 1 : end;
		if (end < 2 * ELF_ROOM) /* never the lowest 2 MiB */
			continue;
		at = (end - ELF_ROOM) & ~(UINT64)(ELF_ROOM - 1);
		if (at >= d->PhysicalStart && at > best)
			best = at;
	}
	if (map)
		FreePool(map);
	return best;
}

static bool load_hypervisor(const struct app *app, struct start *s)
{
	const char *name = s->entry->hypervisor, *problem;
	struct elf_image elf;
	struct piece file;
	uint8_t *to;

	if (!files_load(app, "hypervisor", name, &file))
		return false;
	problem = elf_check((void *)(UINTN)file.at, file.bytes, &elf);
	if (problem) {
		Print(L"hornero.efi: the hypervisor %a (%ld bytes) is %a\n", name,
		      (UINT64)file.bytes, problem);
		return false;
	}
	s->image = find_place();
	if (!s->image || EFI_ERROR(BS->AllocatePages(AllocateAddress, EfiLoaderCode,
						     EFI_SIZE_TO_PAGES(ELF_ROOM), &s->image))) {
		Print(L"hornero.efi: no memory for the hypervisor: 2 MiB, aligned to 2 MiB, below "
		      L"4 GiB are needed\n");
		return false;
	}
	to = (uint8_t *)(UINTN)s->image;
	ZeroMem(to, ELF_ROOM);
	for (unsigned int i = 0; i < elf.n_segments; i++)
		CopyMem(to + elf.segments[i].at, (uint8_t *)(UINTN)file.at + elf.segments[i].offset,
			elf.segments[i].file_bytes);
	s->entry_offset = elf.entry;
	return true;
}

static bool load_modules(const struct app *app, struct start *s)
{
	const struct conf_entry *e = s->entry;

	return files_load(app, "kernel", e->kernel, &s->kernel) &&
	       (!e->initramfs || files_load(app, "initramfs", e->initramfs, &s->initramfs)) &&
	       (!e->microcode || files_load(app, "microcode", e->microcode, &s->microcode));
}

static bool take_memory(struct start *s)
{
	s->block = s->map = s->page = BELOW_4G;
	if (!EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiLoaderData,
					 EFI_SIZE_TO_PAGES(BLOCK_BYTES), &s->block)) &&
	    !EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiLoaderData,
					 EFI_SIZE_TO_PAGES(MAP_BYTES), &s->map)) &&
	    !EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiLoaderCode, 1, &s->page)))
		return true;
	Print(L"hornero.efi: no memory below 4 GiB for the boot information\n");
	return false;
}

static void colour(UINT32 mask, uint8_t *pos, uint8_t *size)
{
	for (*pos = 0; *pos < 32 && !(mask >> *pos & 1);)
		(*pos)++;
	for (*size = 0; *pos + *size < 32 && (mask >> (*pos + *size) & 1);)
		(*size)++;
}

static void find_picture(struct start *s)
{
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;
	EFI_PIXEL_BITMASK masks = {0xff, 0xff00, 0xff0000, 0};
	struct block_picture *p = &s->picture;

	if (EFI_ERROR(LibLocateProtocol(&GraphicsOutputProtocol, (void **)&gop))) {
		Print(L"hornero.efi: this firmware has no graphics (no GOP): look at the serial "
		      L"port\n");
		return;
	}
	mode = gop->Mode->Info;
	if (mode->PixelFormat == PixelBlueGreenRedReserved8BitPerColor)
		masks = (EFI_PIXEL_BITMASK){0xff0000, 0xff00, 0xff, 0};
	else if (mode->PixelFormat == PixelBitMask)
		masks = mode->PixelInformation;
	else if (mode->PixelFormat != PixelRedGreenBlueReserved8BitPerColor) {
		Print(L"hornero.efi: this firmware's graphics have no frame buffer: look at the "
		      L"serial port\n");
		return;
	}
	p->base = gop->Mode->FrameBufferBase;
	p->width = mode->HorizontalResolution;
	p->height = mode->VerticalResolution;
	p->pitch_bytes = mode->PixelsPerScanLine * 4;
	colour(masks.RedMask, &p->red_pos, &p->red_size);
	colour(masks.GreenMask, &p->green_pos, &p->green_size);
	colour(masks.BlueMask, &p->blue_pos, &p->blue_size);
	s->have_picture = true;
}

static void add_module(struct block *b, const struct piece *m, const char *role,
		       const char *cmdline)
{
	if (m->bytes)
		block_add_module(b, (uint32_t)m->at, (uint32_t)(m->at + m->bytes), role, cmdline);
}

static void add_rsdp(struct block *b)
{
	EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
	void *rsdp;

	if (!EFI_ERROR(LibGetSystemConfigurationTable(&acpi2, &rsdp)))
		block_add(b, BLOCK_RSDP2, rsdp, RSDP2_BYTES);
	if (!EFI_ERROR(LibGetSystemConfigurationTable(&acpi1, &rsdp)))
		block_add(b, BLOCK_RSDP1, rsdp, RSDP1_BYTES);
}

static bool write_block(const struct start *s, const struct block_efi_map *map)
{
	uint64_t system_table = (UINTN)ST;
	uint32_t base = (uint32_t)s->image;
	struct block b;

	block_begin(&b, (void *)(UINTN)s->block, BLOCK_BYTES);
	block_add_strings(&b, s->entry->cmdline, LOADER);
	add_module(&b, &s->kernel, "kernel", s->entry->kernel_cmdline);
	add_module(&b, &s->initramfs, "initramfs", "");
	add_module(&b, &s->microcode, "microcode", "");
	if (s->have_picture)
		block_add_picture(&b, &s->picture);
	add_rsdp(&b);
	block_add(&b, BLOCK_EFI64, &system_table, sizeof(system_table));
	block_add(&b, BLOCK_LOAD_BASE, &base, sizeof(base));
	block_add_memory(&b, map);
	return block_end(&b);
}

/* The firmware may change its map between our look and its end, but then says so: look again. */
static EFI_STATUS leave(const struct app *app, const struct start *s)
{
	EFI_STATUS status = EFI_SUCCESS;

	for (int i = 0; i < EXIT_TRIES; i++) {
		UINTN bytes = MAP_BYTES, key, desc_bytes;
		UINT32 version;

		status = BS->GetMemoryMap(&bytes, (void *)(UINTN)s->map, &key, &desc_bytes,
					  &version);
		if (EFI_ERROR(status))
			return status;
		if (!write_block(s, &(struct block_efi_map){(void *)(UINTN)s->map, (uint32_t)bytes,
							    (uint32_t)desc_bytes, version}))
			return EFI_BUFFER_TOO_SMALL;
		status = BS->ExitBootServices(app->handle, key);
		if (!EFI_ERROR(status))
			return status;
	}
	return status;
}

void start_entry(const struct app *app, const struct conf_entry *entry)
{
	struct start s = {.entry = entry};
	EFI_STATUS status;

	Print(L"hornero.efi: loading %a\n", entry->title);
	if (!load_hypervisor(app, &s) || !load_modules(app, &s) || !take_memory(&s))
		return;
	find_picture(&s);
	status = leave(app, &s);
	if (EFI_ERROR(status)) {
		Print(L"hornero.efi: the firmware does not let go of the machine: %r\n", status);
		return;
	}
	jump_to(s.page, (uint32_t)(s.image + s.entry_offset), (uint32_t)s.block);
}
