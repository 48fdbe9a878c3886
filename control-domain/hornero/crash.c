// SPDX-License-Identifier: MIT
/*
 * The crash record where there is no hypervisor to ask: Linux was started on the bare machine after
 * a warm reset, kept off the upper part of memory by mem= (the rescue entry of boot/disk.grub).
 * The record is looked for page by page in what the firmware called RAM. Linux refuses to show
 * pages that it uses itself; those are passed over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crash.h"

#define FIRMWARE_MAP "/sys/firmware/memmap"
#define PAGE	     4096u
#define LOWEST	     (16ull << 20) /* the hypervisor's own memory lies above */
#define LIMIT	     (4ull << 30)  /* and below */
#define REFUSED_SKIP (2ull << 20)

const struct crash_record *crash_find(crash_read_fn *read, void *arg, uint64_t from, uint64_t to)
{
	static struct crash_record record;
	uint64_t magic, step;

	for (; from + sizeof(record) <= to; from += step) {
		step = PAGE;
		if (!read(arg, from, &magic, sizeof(magic)))
			step = REFUSED_SKIP - from % REFUSED_SKIP;
		else if (magic == CRASH_RECORD_MAGIC && read(arg, from, &record, sizeof(record)) &&
			 crash_record_whole(&record))
			return &record;
	}
	return NULL;
}

/* Memory that mem= keeps Linux off can be mapped from /dev/mem, not read. @address: of a page. */
static bool read_memory(void *arg, uint64_t address, void *buffer, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, *(int *)arg, (off_t)address);

	if (at == MAP_FAILED)
		return false;
	memcpy(buffer, at, bytes);
	munmap(at, bytes);
	return true;
}

/* The first line of FIRMWARE_MAP/@range/@name. */
static bool range_word(const char *range, const char *name, char word[64])
{
	char path[512];
	FILE *file;
	bool got;

	snprintf(path, sizeof(path), FIRMWARE_MAP "/%s/%s", range, name);
	file = fopen(path, "re");
	got = file && fgets(word, 64, file);
	if (file)
		fclose(file);
	return got;
}

/* Look in one range of the firmware's map, if it is RAM. */
static const struct crash_record *find_in(int fd, const char *range)
{
	char start[64], end[64], type[64];
	uint64_t from, to;

	if (!range_word(range, "type", type) || strncmp(type, "System RAM", 10) ||
	    !range_word(range, "start", start) || !range_word(range, "end", end))
		return NULL;
	from = (strtoull(start, NULL, 16) + PAGE - 1) / PAGE * PAGE;
	to = strtoull(end, NULL, 16) + 1;
	return crash_find(read_memory, &fd, from < LOWEST ? LOWEST : from, to > LIMIT ? LIMIT : to);
}

const char *crash_in_memory(void)
{
	const struct crash_record *found = NULL;
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	DIR *folder = opendir(FIRMWARE_MAP);
	struct dirent *entry;

	while (fd >= 0 && folder && !found && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			found = find_in(fd, entry->d_name);
	if (folder)
		closedir(folder);
	if (fd >= 0)
		close(fd);
	return found ? found->text : NULL;
}
