// SPDX-License-Identifier: MIT
/*
 * Loading Linux; see linux_boot.h.
 *
 * GRUB leaves the modules anywhere, also where the kernel has to go. So the order is: choose every
 * place first, each clear of all that is still needed; write the small tables; move the initramfs;
 * move the kernel last. Nothing may lie within the kernel's [address, address + init_size).
 */
#define LOG_TAG "linux"
#include <string.h>

#include <linux_boot.h>
#include <linux_image.h>
#include <log.h>
#include <memmap.h>
#include <panic.h>
#include <x86/mem.h>

#define LOW_LIMIT	   (1 * MIB)
#define HIGH_LIMIT	   (4 * GIB)
#define IDENTITY_GIBS	   4
#define TABLE_PAGES	   (2 + IDENTITY_GIBS)
#define ENTRY_64	   0x200 /* offset of the 64-bit entry point in the kernel proper */
#define PAGE_PRESENT_WRITE 3
#define PAGE_LARGE	   BIT64(7)

/* One block: zero page, GDT, page tables, then command line, then the EFI memory map. */
enum { PAGE_ZERO, PAGE_GDT, PAGE_TABLES, PAGE_CMDLINE = PAGE_TABLES + TABLE_PAGES, PAGE_EFI };

static const uint64_t boot_gdt[4] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};

static struct mem_range range_of(uint64_t base, uint64_t bytes)
{
	return (struct mem_range){HPA(base), bytes, MEM_RESERVED};
}

static void check_kernel(const struct boot_module *m, struct linux_image *img)
{
	const char *problem;

	if (!m->bytes)
		machine_refuse(
			"a kernel for the control domain",
			"Found: no boot module whose command line begins with 'kernel'.\n"
			"Add 'module2 /boot/vmlinuz kernel ...' after 'multiboot2' in grub.cfg.");
	problem = linux_image_parse(boot_map(m->base, m->bytes), m->bytes, img);
	if (problem)
		machine_refuse("a Linux kernel (bzImage, 64-bit) for the control domain",
			       "Found: a module of %lu bytes that is %s.\n"
			       "Give GRUB's module2 an unmodified vmlinuz, whole.",
			       m->bytes, problem);
	if (strlen(m->cmdline) > img->cmdline_max)
		machine_refuse("a shorter command line for the control domain's kernel",
			       "Found: %lu characters; the kernel takes %u.", strlen(m->cmdline),
			       img->cmdline_max);
}

static uint64_t place(const struct memory_split *s, const struct mem_range *avoid, unsigned int n,
		      uint64_t bytes, uint64_t align, uint64_t limit, const char *what)
{
	uint64_t at = memmap_place(s->map, s->ranges, avoid, n, bytes, align, LOW_LIMIT, limit);

	if (!at)
		machine_refuse(
			"memory to load the control domain",
			"Needed: %lu KiB in one piece for %s; the control domain has %lu MiB in all.\n"
			"Raise control_mem= on the hypervisor's command line, or use a smaller initramfs.",
			bytes / KIB, what, s->control_bytes / MIB);
	return at;
}

static uint64_t kernel_address(const struct memory_split *s, const struct linux_image *img)
{
	if (split_is_control(s, img->pref_address, img->init_size))
		return img->pref_address;
	if (!img->relocatable)
		machine_refuse(
			"free memory where the control domain's kernel must run",
			"Needed: %lu MiB at %#lx, which is not RAM; the kernel is not relocatable.",
			img->init_size / MIB, img->pref_address);
	return place(s, NULL, 0, img->init_size, img->alignment, HIGH_LIMIT, "the kernel");
}

/* Identity map of the first 4 GiB with 2 MiB pages, at @pa (mapped at @t). */
static void build_tables(uint64_t *t, uint64_t pa)
{
	uint64_t *pointers = t + 512, *directory = t + 1024;

	t[0] = (pa + PAGE_SIZE) | PAGE_PRESENT_WRITE;
	for (unsigned int i = 0; i < IDENTITY_GIBS; i++)
		pointers[i] = (pa + (2 + i) * PAGE_SIZE) | PAGE_PRESENT_WRITE;
	for (uint64_t i = 0; i < IDENTITY_GIBS * 512; i++)
		directory[i] = i * FRAME_SIZE | PAGE_PRESENT_WRITE | PAGE_LARGE;
}

void linux_load(const struct boot_info *boot, const struct memory_split *s, uint64_t rsdp,
		struct linux_start *out)
{
	const struct boot_module *kernel = &boot->modules[MODULE_KERNEL];
	const struct boot_module *initrd = &boot->modules[MODULE_INITRAMFS];
	uint64_t block_bytes = PAGE_EFI * PAGE_SIZE + align_up(boot->efi.memmap_bytes, PAGE_SIZE);
	struct linux_image img;
	struct mem_range avoid[6];
	unsigned int n = 0;

	check_kernel(kernel, &img);

	uint64_t kernel_at = kernel_address(s, &img), initrd_at = 0;

	avoid[n++] = range_of(kernel_at, img.init_size);
	avoid[n++] = range_of(kernel->base.v, kernel->bytes);
	avoid[n++] = range_of(boot->efi.memmap.v, boot->efi.memmap_bytes);
	if (initrd->bytes) {
		initrd_at = place(s, avoid, n, initrd->bytes, PAGE_SIZE,
				  min_u64(img.initrd_max + 1, HIGH_LIMIT), "the initramfs");
		avoid[n++] = range_of(initrd_at, initrd->bytes);
		avoid[n++] = range_of(initrd->base.v, initrd->bytes);
	}

	uint64_t block_at = place(s, avoid, n, block_bytes, PAGE_SIZE, HIGH_LIMIT, "boot tables");
	uint8_t *block = boot_map(HPA(block_at), block_bytes);
	struct linux_params params = {
		.image = boot_map(kernel->base, kernel->bytes),
		.map = s->map,
		.ranges = s->ranges,
		.cmdline = block_at + PAGE_CMDLINE * PAGE_SIZE,
		.initrd = initrd_at,
		.initrd_bytes = initrd->bytes,
		.rsdp = rsdp,
		.fb = &boot->fb,
		.efi = boot->efi.system_table.v ? &boot->efi : NULL,
		.efi_memmap = block_at + PAGE_EFI * PAGE_SIZE,
	};

	memset(block, 0, block_bytes);
	if (!linux_params_fill(block + PAGE_ZERO * PAGE_SIZE, &params))
		machine_refuse("a simpler memory map",
			       "Found: %u ranges; Linux's zero page has room for %u.", s->ranges,
			       LINUX_E820_MAX);
	memcpy(block + PAGE_GDT * PAGE_SIZE, boot_gdt, sizeof(boot_gdt));
	build_tables((uint64_t *)(block + PAGE_TABLES * PAGE_SIZE),
		     block_at + PAGE_TABLES * PAGE_SIZE);
	memcpy(block + PAGE_CMDLINE * PAGE_SIZE, kernel->cmdline, strlen(kernel->cmdline) + 1);
	if (boot->efi.memmap_bytes) {
		memcpy(block + PAGE_EFI * PAGE_SIZE,
		       boot_map(boot->efi.memmap, boot->efi.memmap_bytes), boot->efi.memmap_bytes);
		linux_trim_efi_map(block + PAGE_EFI * PAGE_SIZE, boot->efi.memmap_bytes,
				   boot->efi.desc_bytes, s->map, s->ranges,
				   range_of(block_at, block_bytes));
	}

	if (initrd->bytes)
		memmove(boot_map(HPA(initrd_at), initrd->bytes),
			boot_map(initrd->base, initrd->bytes), initrd->bytes);
	memmove(boot_map(HPA(kernel_at), img.kernel_bytes),
		boot_map(HPA(kernel->base.v + img.setup_bytes), img.kernel_bytes),
		img.kernel_bytes);
	log_info("kernel at %#lx (%lu KiB), initramfs at %#lx (%lu KiB)", kernel_at,
		 img.kernel_bytes / KIB, initrd_at, initrd->bytes / KIB);

	*out = (struct linux_start){
		.rip = kernel_at + ENTRY_64,
		.zero_page = block_at + PAGE_ZERO * PAGE_SIZE,
		.cr3 = block_at + PAGE_TABLES * PAGE_SIZE,
		.gdt = block_at + PAGE_GDT * PAGE_SIZE,
	};
}
