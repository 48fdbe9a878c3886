// SPDX-License-Identifier: MIT
// sources: control-domain/vmm/boot.c control-domain/vmm/boot_linux.c control-domain/vmm/boot_pvh.c
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE
/*
 * Kernel images of random bytes (bzImage, or ELF for PVH), with an initramfs and a command line of
 * any size: the last bytes of the input say which. A loader may refuse, and says why, or load; it
 * reads only within the files, writes only guest memory (which ends at a guarded border), an entry
 * that it returns is in memory, and the initramfs lies whole where nothing of the kernel does.
 */
#include <stdlib.h>
#include <string.h>

#include "boot.h"

#define MEMORY	    (4u << 20)
#define CMDLINE_MAX 8192
#define PATTERN	    0xa5
#define SIZES_BYTES 6
#define LOADS_MAX   16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t *ram;
static const uint8_t *initrd_at;
static struct {
	const uint8_t *at;
	uint64_t bytes;
} loaded[LOADS_MAX]; /* pieces of the kernel in guest memory */
static unsigned int loads;

static bool read_kernel(const struct boot_file *file, uint64_t offset, void *to, uint64_t bytes)
{
	if (offset > file->bytes || bytes > file->bytes - offset)
		abort();
	memcpy(to, (const uint8_t *)file->data + offset, bytes);
	if ((const uint8_t *)to >= ram && (const uint8_t *)to < ram + MEMORY && loads < LOADS_MAX) {
		loaded[loads].at = to;
		loaded[loads++].bytes = bytes;
	}
	return true;
}

/* An odd path: a file that cannot be read to its end. */
static bool read_initrd(const struct boot_file *file, uint64_t offset, void *to, uint64_t bytes)
{
	if (offset > file->bytes || bytes > file->bytes - offset)
		abort();
	memset(to, PATTERN, bytes);
	if (bytes == file->bytes)
		initrd_at = to;
	return *(const bool *)file->data;
}

static void check_initrd(const struct boot_file *initrd)
{
	if (!initrd->bytes)
		return;
	if (initrd_at < ram || initrd_at + initrd->bytes > ram + MEMORY)
		abort();
	for (uint64_t i = 0; i < initrd->bytes; i++)
		if (initrd_at[i] != PATTERN)
			abort(); /* something was written over it */
	for (unsigned int i = 0; i < loads; i++)
		if (initrd_at < loaded[i].at + loaded[i].bytes &&
		    loaded[i].at < initrd_at + initrd->bytes)
			abort(); /* or it over the kernel */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static char cmdline[CMDLINE_MAX];
	const uint8_t *sizes = bytes > SIZES_BYTES ? data + bytes - SIZES_BYTES : NULL;
	bool readable = !sizes || sizes[5] != 1;
	struct boot_file kernel = {.path = "k", .bytes = bytes, .read = read_kernel, .data = data};
	struct boot_file initrd = {
		.path = "i", .bytes = 32, .read = read_initrd, .data = &readable};
	struct guest_memory memory = {.count = 1, .range = {{.bytes = MEMORY}}, .bytes = MEMORY};
	struct boot_request request = {
		.memory = &memory, .kernel = &kernel, .initrd = &initrd, .cmdline = cmdline};
	struct boot_start start;
	struct reason why = {"-"};

	if (!ram)
		ram = malloc(MEMORY);
	memory.range[0].host = ram;
	loads = 0;
	memset(cmdline, 0, sizeof(cmdline));
	if (sizes) {
		initrd.bytes = (uint64_t)(sizes[0] | sizes[1] << 8 | sizes[2] << 16) % (2 * MEMORY);
		memset(cmdline, 'x', (sizes[3] | sizes[4] << 8) % CMDLINE_MAX);
	}
	if (sizes && sizes[5] == 2)
		request.initrd = NULL;
	if (boot_load(&request, &start, &why)) {
		if (!strcmp(why.text, "-"))
			abort(); /* a refusal says why */
		return 0;
	}
	if (!readable && request.initrd && initrd.bytes)
		abort();
	if (start.protocol == BOOT_LINUX64 && start.entry >= MEMORY)
		abort();
	if (request.initrd)
		check_initrd(&initrd);
	return 0;
}
