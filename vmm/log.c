// SPDX-License-Identifier: MIT
/*
 * The log: a ring of fixed slots, and whoever shows it.
 *
 * A writer formats its line on its own stack, reserves as many consecutive slots as the line needs
 * with one atomic addition, fills them, and commits each by storing its sequence number. Nobody
 * waits: an NMI that interrupts a writer writes its own slots. Showing is a separate step: whoever
 * can take the console turn shows all committed lines in order; who cannot, leaves it to the owner
 * of the turn. A reader knows from the sequence number that a slot was overwritten under its hands.
 *
 * Formatting is newlib's integer-only vsnprintf. Read next: vmm/panic.c.
 */
#include <log.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <x86/asm.h>
#include <x86/percpu.h>

#define SLOT_TEXT    107
#define EARLY_SLOTS  128
#define MAX_LINE     240
#define MAX_CONSOLES 3
#define LIMIT_BURST  5
#define DEFAULT_KHZ  1000000 /* until the counter's frequency is known */

struct slot {
	uint64_t seq; /* 1 + its number; 0 while it is being written */
	uint64_t tsc;
	uint16_t cpu;
	uint8_t level;
	uint8_t more; /* the line goes on in the next slot */
	uint8_t bytes;
	char text[SLOT_TEXT];
};
static_assert(sizeof(struct slot) == 128, "log slot");

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

static uint64_t khz, tsc_zero;

static const char *const level_names[] = {"error ", "warn ", "", "debug "};

void log_set_tsc_khz(uint64_t k)
{
	khz = k;
}

/* Slot @seq as text into @buf of @n bytes, with time and level unless it continues a line. Returns
 * 0 if the slot is not there (yet, or any more). */
static size_t slot_format(uint64_t seq, char *buf, size_t n, enum log_level *level)
{
	const struct slot *s = &ring[seq % ring_slots];
	struct slot copy;
	const struct slot *before = &ring[(seq - 1) % ring_slots];
	bool continues = seq > 0 && before->seq == seq && before->more;
	int len;

	if (__atomic_load_n(&s->seq, __ATOMIC_ACQUIRE) != seq + 1)
		return 0;
	copy = *s;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&s->seq, __ATOMIC_RELAXED) != seq + 1 || copy.bytes > SLOT_TEXT)
		return 0;
	*level = copy.level;
	if (continues) {
		len = snprintf(buf, n, "%.*s%s", copy.bytes, copy.text, copy.more ? "" : "\n");
	} else {
		uint64_t us = (copy.tsc - tsc_zero) * 1000 / (khz ? khz : DEFAULT_KHZ);

		len = snprintf(buf, n, "[%3lu.%06lu] %s%.*s%s", us / 1000000, us % 1000000,
			       level_names[copy.level & 3], copy.bytes, copy.text,
			       copy.more ? "" : "\n");
	}
	return len > 0 && (size_t)len < n ? (size_t)len : 0;
}

static void show_to(const struct console *only, uint64_t seq)
{
	char buf[SLOT_TEXT + 40];
	enum log_level level;
	size_t len = slot_format(seq, buf, sizeof(buf), &level);

	if (!len || level > console_level)
		return;
	if (only) {
		only->write(buf, len);
		return;
	}
	for (unsigned int i = 0; i < n_consoles; i++)
		consoles[i]->write(buf, len);
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
		if (shown < oldest(head))
			shown = oldest(head);
		while (shown < head) {
			if (__atomic_load_n(&ring[shown % ring_slots].seq, __ATOMIC_ACQUIRE) <
			    shown + 1)
				break; /* its writer will come by here */
			show_to(NULL, shown++);
		}
		__atomic_store_n(&turn_taken, 0, __ATOMIC_RELEASE);
		if (shown < head)
			return;
	}
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	char line[MAX_LINE];
	uint64_t tsc = rdtsc(), seq, slots;
	size_t len, done = 0;
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%s: ", tag);
	len = n > 0 ? min_u64((uint64_t)n, sizeof(line) - 1) : 0;
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	va_end(ap);
	if (n > 0)
		len = min_u64(len + (uint64_t)n, sizeof(line) - 1);

	slots = len > SLOT_TEXT ? (len + SLOT_TEXT - 1) / SLOT_TEXT : 1;
	seq = __atomic_fetch_add(&next_seq, slots, __ATOMIC_RELAXED);
	if (!tsc_zero)
		tsc_zero = tsc;
	for (uint64_t i = 0; i < slots; i++) {
		struct slot *s = &ring[(seq + i) % ring_slots];
		size_t part = min_u64(len - done, SLOT_TEXT);

		__atomic_store_n(&s->seq, 0, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		s->tsc = tsc;
		s->cpu = (uint16_t)this_cpu()->index;
		s->level = (uint8_t)level;
		s->more = i + 1 < slots;
		s->bytes = (uint8_t)part;
		memcpy(s->text, line + done, part);
		done += part;
		__atomic_store_n(&s->seq, seq + i + 1, __ATOMIC_RELEASE);
	}
	show_new();
}

bool log_allowed(struct log_limit *limit)
{
	uint64_t now = rdtsc();
	uint32_t lost;

	if (now - limit->window_start_tsc < (khz ? khz : DEFAULT_KHZ) * 1000) {
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
		char text[SLOT_TEXT + 40];
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
		show_to(c, seq);
	consoles[n_consoles++] = c;
	show_new();
}

void log_console_remove_all(void)
{
	n_consoles = 0;
}

void log_consoles_release(void)
{
	consoles_ours = false;
}

void log_emergency_begin(void)
{
	if (!consoles_ours) {
		for (unsigned int i = 0; i < n_consoles; i++)
			consoles[i]->reset();
	}
	consoles_ours = false; /* from now on only log_emergency_write() */
}

void log_emergency_write(const char *s)
{
	for (unsigned int i = 0; i < n_consoles; i++)
		consoles[i]->write(s, strlen(s));
}
