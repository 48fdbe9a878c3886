// SPDX-License-Identifier: MIT
/*
 * The log: a ring of fixed slots, and whoever shows it.
 *
 * A writer reserves a slot with one atomic addition, formats its line into it, and commits it by
 * storing its sequence number. Nobody waits: an NMI that interrupts a writer writes its own slot.
 * Showing is a separate step: whoever can take the console turn shows all committed lines in order;
 * who cannot, leaves it to the owner of the turn. A reader knows from the sequence number that a
 * slot was overwritten under its hands.
 *
 * Formatting is newlib's integer-only vsnprintf. Read next: vmm/panic.c.
 */
#include <log.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <platform.h>
#include <x86/asm.h>

#define EARLY_SLOTS  96
#define MAX_CONSOLES 3
#define LIMIT_BURST  5

struct slot {
	uint64_t seq; /* 1 + its number; 0 while it is being written */
	uint64_t tsc;
	uint32_t level;
	char text[236]; /* longer lines are cut */
};
static_assert(sizeof(struct slot) == 256, "log slot");

static struct slot early_ring[EARLY_SLOTS];
static struct slot *ring = early_ring;
static uint64_t ring_slots = EARLY_SLOTS;
static uint64_t next_seq;

static const struct console *consoles[MAX_CONSOLES];
static unsigned int n_consoles;
static bool consoles_ours = true;
static uint32_t turn_taken;
static uint64_t shown;
static enum log_level console_level = LOG_INFO;

static uint64_t tsc_zero;
static void (*on_emergency)(void); /* boot code: there is no console yet */

static const char *const level_names[] = {"error ", "warn ", "", "debug "};

/* Slot @seq as a line of text into @buf of @n bytes, with time and level. Returns 0 if the slot is
 * not there (yet, or any more). */
static size_t slot_format(uint64_t seq, char *buf, size_t n, enum log_level *level)
{
	const struct slot *s = &ring[seq % ring_slots];
	struct slot copy;
	uint64_t us;
	int len;

	if (__atomic_load_n(&s->seq, __ATOMIC_ACQUIRE) != seq + 1)
		return 0;
	copy = *s;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&s->seq, __ATOMIC_RELAXED) != seq + 1)
		return 0;
	*level = copy.level & 3;
	us = (copy.tsc - tsc_zero) * 1000 / platform.tsc_khz;
	len = snprintf(buf, n, "[%3lu.%06lu] %s%.*s\n", us / 1000000, us % 1000000,
		       level_names[*level], (int)sizeof(copy.text), copy.text);
	return (size_t)len < n ? (size_t)len : 0;
}

static void show(const struct console *c, uint64_t seq)
{
	char buf[LOG_LINE_BYTES];
	enum log_level level;
	size_t len = slot_format(seq, buf, sizeof(buf), &level);

	if (len && level <= console_level)
		c->write(c, buf, len);
}

static uint64_t oldest(uint64_t head)
{
	return head > ring_slots ? head - ring_slots : 0;
}

/* Show what is new, if nobody else is at it. */
static void show_new(void)
{
	while (consoles_ours && n_consoles) {
		uint64_t head = log_head();

		if (shown >= head || __atomic_exchange_n(&turn_taken, 1, __ATOMIC_ACQUIRE))
			return;
		shown = max_u64(shown, oldest(head));
		/* What is not committed, its writer shows when it comes by here. */
		for (; shown < head &&
		       __atomic_load_n(&ring[shown % ring_slots].seq, __ATOMIC_ACQUIRE) > shown;
		     shown++)
			for (unsigned int i = 0; i < n_consoles; i++)
				show(consoles[i], shown);
		__atomic_store_n(&turn_taken, 0, __ATOMIC_RELEASE);
		if (shown < head)
			return;
	}
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	uint64_t tsc = rdtsc(), seq = __atomic_fetch_add(&next_seq, 1, __ATOMIC_RELAXED);
	struct slot *s = &ring[seq % ring_slots];
	va_list ap;
	int n;

	if (!tsc_zero)
		tsc_zero = tsc;
	__atomic_store_n(&s->seq, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	s->tsc = tsc;
	s->level = level;
	n = snprintf(s->text, sizeof(s->text), "%s: ", tag);
	va_start(ap, fmt);
	vsnprintf(s->text + n, sizeof(s->text) - (size_t)n, fmt, ap);
	va_end(ap);
	__atomic_store_n(&s->seq, seq + 1, __ATOMIC_RELEASE);
	show_new();
}

bool log_allowed(struct log_limit *limit)
{
	uint64_t now = rdtsc();
	uint32_t lost;

	if (now - limit->window_start_tsc < platform.tsc_khz * 1000) {
		if (__atomic_fetch_add(&limit->in_window, 1, __ATOMIC_RELAXED) < LIMIT_BURST)
			return true;
		__atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
		return false;
	}
	limit->window_start_tsc = now;
	__atomic_store_n(&limit->in_window, 1, __ATOMIC_RELAXED);
	lost = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
	if (lost)
		log_line(LOG_WARN, "log", "%u similar lines were suppressed", lost);
	return true;
}

uint64_t log_head(void)
{
	return __atomic_load_n(&next_seq, __ATOMIC_ACQUIRE);
}

size_t log_read(uint64_t *pos, char *buf, size_t n)
{
	uint64_t head = log_head();
	size_t done = 0;

	if (*pos < oldest(head) || *pos > head)
		*pos = oldest(head);
	while (*pos < head) {
		char text[LOG_LINE_BYTES];
		enum log_level level;
		size_t len = slot_format(*pos, text, sizeof(text), &level);

		if (len > n - done)
			break;
		memcpy(buf + done, text, len);
		done += len;
		++*pos;
	}
	return done;
}

void log_use_ring(void *memory)
{
	struct slot *new_ring = memory;
	uint64_t new_slots = LOG_RING_BYTES / sizeof(struct slot);

	for (uint64_t seq = oldest(next_seq); seq < next_seq; seq++)
		new_ring[seq % new_slots] = ring[seq % ring_slots];
	ring = new_ring;
	ring_slots = new_slots;
}

void log_set_level(enum log_level level)
{
	console_level = level;
}

void log_console_add(const struct console *c)
{
	if (n_consoles == MAX_CONSOLES)
		return;
	for (uint64_t seq = oldest(shown); seq < shown; seq++)
		show(c, seq);
	consoles[n_consoles++] = c;
	show_new();
}

void log_consoles_release(void)
{
	consoles_ours = false;
}

void log_on_emergency(void (*fn)(void))
{
	on_emergency = fn;
}

void log_emergency_begin(void)
{
	if (on_emergency)
		on_emergency();
	if (!consoles_ours) {
		for (unsigned int i = 0; i < n_consoles; i++)
			consoles[i]->reset(consoles[i]);
	}
	consoles_ours = false; /* from now on only log_emergency_write() */
}

void log_emergency_write(const char *s)
{
	for (unsigned int i = 0; i < n_consoles; i++)
		consoles[i]->write(consoles[i], s, strlen(s));
}
