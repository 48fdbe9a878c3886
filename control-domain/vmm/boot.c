// SPDX-License-Identifier: MIT
/*
 * What both formats need: files, the memory map, places for initramfs and command line.
 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"

#define PAGE_BYTES 4096ull
#define MIB	   (double)(1 << 20)
#define READ_MAX   (1ull << 30) /* one pread() takes less than 2 GiB */

static bool read_fd(const struct boot_file *file, uint64_t offset, void *to, uint64_t bytes)
{
	while (bytes) {
		size_t now = bytes < READ_MAX ? (size_t)bytes : READ_MAX;
		ssize_t done = pread(file->fd, to, now, (off_t)offset);

		if (done <= 0)
			return false;
		to = (uint8_t *)to + done;
		offset += (uint64_t)done;
		bytes -= (uint64_t)done;
	}
	return true;
}

int boot_file_open(struct boot_file *file, const char *what, const char *path, struct reason *why)
{
	struct stat status;

	*file = (struct boot_file){.path = path, .read = read_fd};
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		return reason_set(why, "%s %s: %s", what, path, strerror(errno));
	if (fstat(file->fd, &status) || !S_ISREG(status.st_mode)) {
		close(file->fd);
		return reason_set(why, "%s %s is not a regular file", what, path);
	}
	file->bytes = (uint64_t)status.st_size;
	return 0;
}

/*
 * Where firmware's reset vector would be: real-mode code that resets the VM. Linux jumps there to
 * reboot a machine with reduced ACPI hardware and without EFI (reboot_type BIOS).
 */
static void write_reset_vector(const struct guest_memory *memory)
{
	const uint8_t code[] = {
		0xba,
		PORT_POWER_RESET & 0xff,
		PORT_POWER_RESET >> 8, /* mov dx, port */
		0xb0,
		POWER_RESET_VALUE, /* mov al, value */
		0xee,		   /* out dx, al */
		0xf4,		   /* hlt */
		0xeb,
		0xfd, /* jmp to hlt */
	};
	void *to = guest_memory_at(memory, LAYOUT_RESET_VECTOR, sizeof(code));

	if (to)
		memcpy(to, code, sizeof(code));
}

int boot_load(const struct boot_request *request, struct boot_start *start, struct reason *why)
{
	const struct boot_file *kernel = request->kernel;
	uint8_t magic[4];

	write_reset_vector(request->memory);
	if (kernel->bytes >= sizeof(magic) && kernel->read(kernel, 0, magic, sizeof(magic)) &&
	    !memcmp(magic, "\177ELF", sizeof(magic)))
		return boot_load_pvh(request, start, why);
	return boot_load_linux(request, start, why);
}

unsigned boot_memory_map(const struct guest_memory *memory, struct boot_region *regions)
{
	unsigned count = 0;

	regions[count++] = (struct boot_region){0, LAYOUT_EBDA_BASE, BOOT_REGION_RAM};
	regions[count++] =
		(struct boot_region){LAYOUT_ACPI_BASE, LAYOUT_ACPI_BYTES, BOOT_REGION_RESERVED};
	regions[count++] = (struct boot_region){
		LAYOUT_KERNEL_MIN, memory->range[0].bytes - LAYOUT_KERNEL_MIN, BOOT_REGION_RAM};
	regions[count++] =
		(struct boot_region){LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES, BOOT_REGION_RESERVED};
	for (unsigned i = 1; i < memory->count; i++)
		regions[count++] = (struct boot_region){memory->range[i].gpa,
							memory->range[i].bytes, BOOT_REGION_RAM};
	return count;
}

int boot_place_initrd(const struct boot_request *request, uint64_t floor, uint64_t limit,
		      uint64_t *base, uint64_t *bytes, struct reason *why)
{
	const struct boot_file *initrd = request->initrd;
	uint64_t end = request->memory->range[0].bytes;

	*base = *bytes = 0;
	if (!initrd)
		return 0;
	if (end > limit)
		end = limit;
	if (floor > end || initrd->bytes > end - floor)
		return reason_set(why,
				  "initrd %s: %.1f MiB do not fit between the kernel's end at %.1f "
				  "MiB and %.1f MiB; give the VM more memory or use a smaller one",
				  initrd->path, (double)initrd->bytes / MIB, (double)floor / MIB,
				  (double)end / MIB);

	uint64_t at = (end - initrd->bytes) & ~(PAGE_BYTES - 1);

	if (at < floor)
		at = floor; /* less than a page is missing for alignment; kernels do not need it */
	void *to = guest_memory_at(request->memory, at, initrd->bytes);

	if (!to || !initrd->read(initrd, 0, to, initrd->bytes))
		return reason_set(why, "initrd %s cannot be read whole (%llu bytes)", initrd->path,
				  (unsigned long long)initrd->bytes);
	*base = at;
	*bytes = initrd->bytes;
	return 0;
}

int boot_place_cmdline(const struct boot_request *request, uint64_t limit, struct reason *why)
{
	uint64_t bytes = strlen(request->cmdline);
	char *to = guest_memory_at(request->memory, LAYOUT_CMDLINE, LAYOUT_CMDLINE_BYTES);

	if (limit >= LAYOUT_CMDLINE_BYTES)
		limit = LAYOUT_CMDLINE_BYTES - 1;
	if (!to || bytes > limit)
		return reason_set(why, "command line: %llu characters, this kernel takes %llu",
				  (unsigned long long)bytes, (unsigned long long)limit);
	memcpy(to, request->cmdline, bytes + 1);
	return 0;
}
