// SPDX-License-Identifier: MIT
// sources: boot/mb2.c vmm/cmdline.c
/*
 * Multiboot2 information blocks of random bytes, in an allocation of exactly their size. What is
 * taken lies in the block and its strings end; what is refused has a reason.
 */
#include <stdlib.h>
#include <string.h>

#include <boot/mb2.h>
#include <log.h>

#define AT 0x10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(bool true_thing)
{
	if (!true_thing)
		abort();
}

/* cmdline.c's, which is linked for its words */
void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	demand(!level && !tag && !fmt);
}

static bool inside(const struct boot_info *b, hpa_t pa, uint64_t bytes)
{
	return pa.v >= AT && bytes <= b->block_bytes && pa.v - AT <= b->block_bytes - bytes;
}

static void check(const struct boot_info *b, size_t bytes)
{
	demand(b->block.v == AT && b->block_bytes <= bytes);
	demand(memchr(b->cmdline, 0, sizeof(b->cmdline)) &&
	       memchr(b->loader, 0, sizeof(b->loader)));
	demand(b->n_ranges && b->n_ranges <= BOOT_MAX_RANGES);
	for (int i = 0; i < MODULE_ROLES; i++) {
		const struct boot_module *m = &b->modules[i];

		demand(memchr(m->cmdline, 0, sizeof(m->cmdline)) &&
		       m->base.v + m->bytes <= UINT32_MAX);
	}
	demand(!b->efi.memmap_bytes ||
	       (b->efi.desc_bytes && inside(b, b->efi.memmap, b->efi.memmap_bytes)));
	demand(!b->rsdp.v || inside(b, b->rsdp, 20));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct boot_info info;
	char error[200] = "";
	uint32_t total = (uint32_t)bytes;
	uint8_t *block = malloc(bytes ? bytes : 1);

	memcpy(block, data, bytes);
	/* most blocks shall get past their first number */
	if (bytes >= 8 && data[4])
		memcpy(block, &total, sizeof(total));
	if (mb2_parse(block, bytes, HPA(AT), &info, error, sizeof(error)))
		check(&info, bytes);
	else
		demand(*error && memchr(error, 0, sizeof(error)));
	free(block);
	return 0;
}
