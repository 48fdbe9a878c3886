// SPDX-License-Identifier: MIT
/*
 * The log of dirty pages: exactly those that the guest has written since it was last asked,
 * whatever is done to the region meanwhile. The guest writes where we tell it to.
 */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096u
#define SLOT  1u
#define FIRST 0x100000u /* below 2 MiB, so that the region has both small and large pages */
#define PAGES 1100u	/* not a multiple of 64 */
#define WORDS ((PAGES + 63) / 64)

typedef uint64_t bitmap_t[WORDS];

static int get_log(struct client *c, uint32_t slot, void *bitmap)
{
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};

	return ioctl(c->vm, KVM_GET_DIRTY_LOG, &log) ? errno : 0;
}

static int clear_log(struct client *c, uint64_t first, uint32_t pages, void *bitmap)
{
	struct kvm_clear_dirty_log log = {
		.slot = SLOT, .first_page = first, .num_pages = pages, .dirty_bitmap = bitmap};

	return ioctl(c->vm, KVM_CLEAR_DIRTY_LOG, &log) ? errno : 0;
}

static void set_bit(bitmap_t bitmap, unsigned int page)
{
	bitmap[page / 64] |= 1ull << page % 64;
}

/* The guest stands at its port, asking for the address to write. */
static void touch(struct client *c, unsigned int page)
{
	answer_io(c, FIRST + page * PAGE + page % 1024 * 4);
	if (client_run(c, 0) != KVM_EXIT_IO)
		must(-1, "the guest that writes");
}

static void expect_log(struct client *c, const bitmap_t wanted, const char *name)
{
	bitmap_t got;
	unsigned int extra = 0, missing = 0;
	int err;

	memset(got, 0x55, sizeof(got));
	err = get_log(c, SLOT, got);
	for (unsigned int i = 0; i < WORDS; i++) {
		extra += (unsigned int)__builtin_popcountll(got[i] & ~wanted[i]);
		missing += (unsigned int)__builtin_popcountll(wanted[i] & ~got[i]);
	}
	report(!err && !extra && !missing, name, "errno %d, %u too many, %u missing", err, extra,
	       missing);
}

/* The region of slot 0 becomes three: the one in the middle is the one to be logged. */
static void split_memory(struct client *c, uint32_t flags)
{
	const uint32_t end = FIRST + PAGES * PAGE;

	client_region(c, 0, 0, 0, NULL, 0);
	client_region(c, 0, 0, FIRST, c->memory, 0);
	client_region(c, SLOT, FIRST, PAGES * PAGE, c->memory + FIRST, flags);
	client_region(c, 2, end, MEMORY_BYTES - end, c->memory + end, 0);
}

static void create(struct client *c, uint32_t flags)
{
	client_create(c, 1, guest_toucher);
	split_memory(c, flags);
	if (client_run(c, 0) != KVM_EXIT_IO)
		must(-1, "the guest that writes");
}

static void set_flags(struct client *c, uint32_t flags)
{
	client_region(c, SLOT, FIRST, PAGES * PAGE, c->memory + FIRST, flags);
}

static void check_exactness(void)
{
	bitmap_t none = {0}, some = {0};
	struct client c;

	create(&c, KVM_MEM_LOG_DIRTY_PAGES);
	expect_log(&c, none, "nothing is dirty at first");
	for (unsigned int page = 0; page < PAGES; page += 37) {
		touch(&c, page);
		set_bit(some, page);
	}
	touch(&c, PAGES - 1);
	set_bit(some, PAGES - 1);
	expect_log(&c, some, "the pages written are dirty");
	expect_log(&c, none, "and told once");
	for (unsigned int round = 0; round < 50; round++)
		touch(&c, 37);
	memset(some, 0, sizeof(some));
	set_bit(some, 37);
	expect_log(&c, some, "a page written again is dirty again");
	c.memory[FIRST + 5 * PAGE] = 1;
	expect_log(&c, none, "writes of the process are not the guest's");
	report(*(uint32_t *)(c.memory + FIRST + 37 * PAGE + 37 * 4) == 51, "no write was lost",
	       "%u", *(uint32_t *)(c.memory + FIRST + 37 * PAGE + 37 * 4));
	client_destroy(&c);
}

/* Logging that begins and ends under a guest that has written before. */
static void check_switching(void)
{
	bitmap_t none = {0}, some = {0};
	struct client c;

	create(&c, 0);
	for (unsigned int page = 0; page < PAGES; page += 7)
		touch(&c, page);
	report(get_log(&c, SLOT, some) == ENOENT, "a region that is not logged", "errno %d", errno);
	set_flags(&c, KVM_MEM_LOG_DIRTY_PAGES);
	expect_log(&c, none, "what was written before does not count");
	touch(&c, 7);
	touch(&c, 1000);
	set_bit(some, 7);
	set_bit(some, 1000);
	expect_log(&c, some, "what is written then does");
	touch(&c, 8);
	set_flags(&c, 0);
	report(get_log(&c, SLOT, some) == ENOENT, "logging ends", "errno %d", errno);
	touch(&c, 9);
	set_flags(&c, KVM_MEM_LOG_DIRTY_PAGES);
	expect_log(&c, none, "and begins anew with nothing");
	report(get_log(&c, 0xffff, some) == EINVAL, "no such slot", "errno %d", errno);
	touch(&c, 3);
	report(get_log(&c, SLOT, (void *)8) == EFAULT, "nowhere to put it", "errno %d", errno);
	client_region(&c, SLOT, 0, 0, NULL, 0);
	report(get_log(&c, SLOT, some) == ENOENT, "the log goes with its region", "errno %d",
	       errno);
	client_destroy(&c);
}

/* What the kernel writes for the guest, carrying out an instruction. */
static void check_emulated(void)
{
	struct client c;
	uint64_t word = 0;
	int reason;

	client_create(&c, 1, guest_strings);
	client_region(&c, 0, 0, 0, NULL, 0);
	client_region(&c, 0, 0, 64 * PAGE, c.memory, KVM_MEM_LOG_DIRTY_PAGES);
	reason = client_run(&c, 0);
	while (reason == KVM_EXIT_IO && c.run[0]->io.direction == KVM_EXIT_IO_OUT)
		reason = client_run(&c, 0);
	must(get_log(&c, 0, &word) ? -1 : 0, "KVM_GET_DIRTY_LOG");
	while (reason == KVM_EXIT_IO)
		reason = client_run(&c, 0);
	word = 0;
	must(get_log(&c, 0, &word) ? -1 : 0, "KVM_GET_DIRTY_LOG");
	report(word == 1 << 5, "string input dirties the page it goes to", "%llx",
	       (unsigned long long)word);
	client_destroy(&c);
}

static void *run_on(void *client)
{
	while (client_run(client, 0) == -1 && errno == EINTR)
		;
	return NULL;
}

/* A guest that writes all the while: when its count has moved on since the log was read, so is the
 * page dirty when it is read again. */
static void check_running(void)
{
	const unsigned int page = (0x400000 - FIRST) / PAGE;
	unsigned int round, missed = 0;
	volatile uint32_t *count;
	struct client c;
	pthread_t thread;
	bitmap_t got;
	uint32_t before;

	client_create(&c, 1, guest_writer);
	split_memory(&c, 0);
	count = (volatile uint32_t *)(c.memory + 0x400000);
	pthread_create(&thread, NULL, run_on, &c);
	while (!*count)
		;
	for (round = 0; round < 200; round++) {
		if (round % 50 == 0) {
			set_flags(&c, 0);
			set_flags(&c, KVM_MEM_LOG_DIRTY_PAGES);
		}
		must(get_log(&c, SLOT, got) ? -1 : 0, "KVM_GET_DIRTY_LOG");
		before = *count;
		while (*count - before < 2)
			;
		must(get_log(&c, SLOT, got) ? -1 : 0, "KVM_GET_DIRTY_LOG");
		missed += !(got[page / 64] >> page % 64 & 1);
	}
	report(!missed, "no write is missed while the guest runs", "%u of %u", missed, round);
	c.memory[0x4000] = 1;
	pthread_join(thread, NULL);
	client_destroy(&c);
}

void check_dirty(void)
{
	check_exactness();
	check_switching();
	check_emulated();
	check_running();
}

/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
void check_dirty_by_hand(void)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {2}};
	bitmap_t none = {0}, some = {0}, one = {0}, all;
	struct client c;

	memset(all, 0xff, sizeof(all));
	all[WORDS - 1] = (1ull << PAGES % 64) - 1;
	create(&c, 0);
	report(ioctl(c.kvm, KVM_CHECK_EXTENSION, cap.cap) == 3, "dirty log by hand is offered",
	       "%d", ioctl(c.kvm, KVM_CHECK_EXTENSION, cap.cap));
	report(ioctl(c.vm, KVM_ENABLE_CAP, &cap) && errno == EINVAL,
	       "all set at first only by hand", "errno %d", errno);
	cap.args[0] = 1;
	must(ioctl(c.vm, KVM_ENABLE_CAP, &cap), "KVM_ENABLE_CAP");
	set_flags(&c, KVM_MEM_LOG_DIRTY_PAGES);
	touch(&c, 3);
	touch(&c, 700);
	set_bit(some, 3);
	set_bit(some, 700);
	expect_log(&c, some, "dirty log by hand");
	expect_log(&c, some, "is not cleared by reading it");
	set_bit(one, 3);
	report(!clear_log(&c, 0, 64, one), "a part is cleared", "errno %d", errno);
	memset(some, 0, sizeof(some));
	set_bit(some, 700);
	expect_log(&c, some, "no more than that");
	touch(&c, 3);
	set_bit(some, 3);
	expect_log(&c, some, "and dirty when it is written again");
	report(clear_log(&c, 1, 64, one) == EINVAL, "parts begin at a word", "errno %d", errno);
	report(clear_log(&c, 0, 63, one) == EINVAL, "and end at one", "errno %d", errno);
	report(clear_log(&c, 64, PAGES, one) == EINVAL, "and within the region", "errno %d", errno);
	report(!clear_log(&c, 1088, PAGES - 1088, all + 17), "or at its end", "errno %d", errno);
	report(!clear_log(&c, 0, PAGES, all), "all of it is cleared", "errno %d", errno);
	expect_log(&c, none, "nothing is left");
	set_flags(&c, 0);
	cap.args[0] = 3;
	must(ioctl(c.vm, KVM_ENABLE_CAP, &cap), "KVM_ENABLE_CAP");
	set_flags(&c, KVM_MEM_LOG_DIRTY_PAGES);
	expect_log(&c, all, "all is dirty at first, if that was asked for");
	client_destroy(&c);
}
