// SPDX-License-Identifier: MIT
/*
 * Pool files as their process sees them: zero at first, the same memory through every mapping and
 * at every offset whatever is touched first, not inherited, not private, not beyond the end. On
 * another driver than Hornero's there is nothing to check.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/ioctl.h"

#define PAGE_BYTES	      4096ul
#define POOL_BYTES	      (6ul << 20)
#define PAGES		      (POOL_BYTES / PAGE_BYTES)
#define ODD_OFFSET	      (9 * PAGE_BYTES)	/* within what is mapped around a touched page */
#define ORDER(i)	      ((i)*641 % PAGES) /* each page once, far from the one before */
#define MAP(at, n, flags, fd) mmap(NULL, n, PROT_READ | PROT_WRITE, flags, fd, (off_t)(at))

static uint64_t *word(uint8_t *map, uint64_t page)
{
	return (uint64_t *)(map + page * PAGE_BYTES + page % 512 * 8);
}

/* Pages of @map, which begins at page @first of the file, that do not hold their own number. */
static unsigned int wrong(uint8_t *map, uint64_t first, uint64_t expect)
{
	unsigned int n = 0;

	for (uint64_t i = 0; i < PAGES; i++)
		if (ORDER(i) >= first)
			n += *(uint64_t *)(map + (ORDER(i) - first) * PAGE_BYTES +
					   ORDER(i) % 512 * 8) != (expect ? ORDER(i) + expect : 0);
	return n;
}

static void check_inheritance(uint8_t *map)
{
	int status = 0;
	pid_t child = fork();

	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile uint8_t *)map = 1;
		_exit(0);
	}
	waitpid(child, &status, 0);
	report(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "pool file is not inherited",
	       "the child ended with %x", status);
}

void check_pool(void)
{
	int kvm = must(open("/dev/kvm", O_RDWR), "/dev/kvm"), vm, fd;
	uint8_t *whole, *odd, *again;
	uint64_t bytes = POOL_BYTES;
	void *map;

	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_HORNERO) <= 0) {
		report(true, "no pool files here", "%s", "");
		close(kvm);
		return;
	}
	vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	fd = must(ioctl(vm, HORNERO_CREATE_POOL_FILE, &bytes), "pool file");
	whole = MAP(0, POOL_BYTES, MAP_SHARED, fd);
	odd = MAP(ODD_OFFSET, POOL_BYTES - ODD_OFFSET, MAP_SHARED, fd);
	must(whole == MAP_FAILED || odd == MAP_FAILED ? -1 : 0, "mmap of a pool file");
	report(!wrong(odd, ODD_OFFSET / PAGE_BYTES, 0), "pool file starts as zero",
	       "there are words that do not");
	for (uint64_t i = 0; i < PAGES; i++)
		*word(whole, ORDER(PAGES - 1 - i)) = ORDER(PAGES - 1 - i) + 7;
	report(!wrong(whole, 0, 7) && !wrong(odd, ODD_OFFSET / PAGE_BYTES, 7),
	       "pool file is the same through every mapping", "%u and %u pages differ",
	       wrong(whole, 0, 7), wrong(odd, ODD_OFFSET / PAGE_BYTES, 7));
	again = MAP(0, POOL_BYTES, MAP_SHARED, fd);
	report(again != MAP_FAILED && !munmap(whole, POOL_BYTES) && !wrong(again, 0, 7),
	       "pool file outlives a mapping", "its words are gone");
	check_inheritance(again);
	map = MAP(0, POOL_BYTES, MAP_PRIVATE, fd);
	report(map == MAP_FAILED, "pool file has no private mapping", "it was made");
	map = MAP(PAGE_BYTES, POOL_BYTES, MAP_SHARED, fd);
	report(map == MAP_FAILED, "pool file has an end", "a mapping goes beyond it");
	map = mremap(again, POOL_BYTES, POOL_BYTES + PAGE_BYTES, MREMAP_MAYMOVE);
	report(map == MAP_FAILED, "mapping of a pool file does not grow", "it did");
	munmap(again, POOL_BYTES);
	munmap(odd, POOL_BYTES - ODD_OFFSET);
	close(fd);
	close(vm);
	close(kvm);
}
