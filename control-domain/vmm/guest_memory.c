// SPDX-License-Identifier: MIT
/*
 * Where guest memory comes from. Under Hornero: frames of the guest pool, which the driver hands
 * out as a file. On Linux's KVM: private anonymous memory on huge pages where the kernel has them,
 * left out of core dumps. Either is reserved whole, so a refusal comes here, once, with the
 * numbers, and not as an out-of-memory kill in the middle of the guest's work.
 */
#include "guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm.h"
#include "layout.h"
#include "vmm/abi/ioctl.h"

#define HUGE_PAGE_BYTES (2ull << 20)
#define MIB		((double)(1ull << 20))

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

static int map_ordinary(uint8_t **host, uint64_t bytes, struct reason *why)
{
	uint64_t available = host_memory_available();

	if (available && bytes > available)
		return reason_set(
			why,
			"memory: the guest needs %.1f MiB, available are %.1f MiB; give it "
			"less, or stop another one",
			(double)bytes / MIB, (double)available / MIB);
	*host = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (*host == MAP_FAILED)
		return reason_set(why, "memory: cannot map %.1f MiB: %s", (double)bytes / MIB,
				  strerror(errno));
	*host += -(uintptr_t)*host & (HUGE_PAGE_BYTES - 1);
	/* Advice only: without huge pages the guest is slower, with dumps cores are larger. */
	madvise(*host, bytes, MADV_HUGEPAGE);
	madvise(*host, bytes, MADV_DONTDUMP);
	return 0;
}

static int refuse_pool(uint64_t bytes, int error, struct reason *why)
{
	int fd = open(HORNERO_DEVICE, O_RDONLY | O_CLOEXEC);
	struct hv_info info;
	bool known = fd >= 0 && !ioctl(fd, HORNERO_INFO, &info);

	close(fd);
	if (error == ENOMEM && known)
		return reason_set(
			why,
			"memory: the guest needs %.1f MiB of the guest pool, free are %.1f "
			"of %.1f MiB; give it less, or stop another one",
			(double)bytes / MIB, (double)info.pool_free_bytes / MIB,
			(double)info.pool_bytes / MIB);
	return reason_set(why, "memory: %.1f MiB of the guest pool: %s; see hornero info",
			  (double)bytes / MIB, strerror(error));
}

static int map_pool(uint8_t **host, const struct kvm *kvm, uint64_t bytes, struct reason *why)
{
	int fd = ioctl(kvm->vm_fd, HORNERO_CREATE_POOL_FILE, &bytes);

	if (fd < 0)
		return refuse_pool(bytes, errno, why);
	*host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int error = errno;

	close(fd);
	return *host == MAP_FAILED ? refuse_pool(bytes, error, why) : 0;
}

int guest_memory_map(struct guest_memory *memory, const struct kvm *kvm, uint64_t bytes,
		     struct reason *why)
{
	uint64_t low = bytes < LAYOUT_LOW_END ? bytes : LAYOUT_LOW_END;
	uint8_t *host;

	if (kvm_extension(kvm, KVM_CAP_HORNERO) ? map_pool(&host, kvm, bytes, why)
						: map_ordinary(&host, bytes, why))
		return -1;
	*memory = (struct guest_memory){.bytes = bytes, .count = 1};
	memory->range[0] = (struct guest_range){.gpa = 0, .bytes = low, .host = host};
	if (bytes > low)
		memory->range[memory->count++] = (struct guest_range){
			.gpa = LAYOUT_HIGH_BASE, .bytes = bytes - low, .host = host + low};
	return 0;
}
