// SPDX-License-Identifier: MIT
/*
 * Where guest memory comes from. On Linux's KVM: private anonymous memory on huge pages where the
 * kernel has them, left out of core dumps. The mapping is reserved whole, so the check against
 * what the machine can give is arithmetic done here, once, with the numbers in the message, and
 * not an out-of-memory kill in the middle of the guest's work.
 */
#include "guest_memory.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "layout.h"

#define HUGE_PAGE_BYTES (2ull << 20)
#define MIB		(1ull << 20)

/* MemAvailable of /proc/meminfo in bytes; 0 when it cannot be read (then nothing is refused). */
static uint64_t host_memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib << 10;
}

int guest_memory_map(struct guest_memory *memory, uint64_t bytes, struct reason *why)
{
	uint64_t available = host_memory_available();

	if (available && bytes > available)
		return reason_set(
			why,
			"memory: the guest needs %.1f MiB, available are %.1f MiB; give it "
			"less, or stop another one",
			(double)bytes / MIB, (double)available / MIB);

	uint8_t *host = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (host == MAP_FAILED)
		return reason_set(why, "memory: cannot map %.1f MiB: %s", (double)bytes / MIB,
				  strerror(errno));
	host += -(uintptr_t)host & (HUGE_PAGE_BYTES - 1);
	/* Advice only: without huge pages the guest is slower, with dumps cores are larger. */
	madvise(host, bytes, MADV_HUGEPAGE);
	madvise(host, bytes, MADV_DONTDUMP);

	uint64_t low = bytes < LAYOUT_LOW_END ? bytes : LAYOUT_LOW_END;

	*memory = (struct guest_memory){.bytes = bytes, .count = 1};
	memory->range[0] = (struct guest_range){.gpa = 0, .bytes = low, .host = host};
	if (bytes > low)
		memory->range[memory->count++] = (struct guest_range){
			.gpa = LAYOUT_HIGH_BASE, .bytes = bytes - low, .host = host + low};
	return 0;
}
