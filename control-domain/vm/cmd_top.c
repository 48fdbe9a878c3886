// SPDX-License-Identifier: MIT
/*
 * top: what running VMs use, as rates between two samples of their counters. Live until 'q' or
 * Ctrl-C;
 * --once takes two samples a second apart.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "machines.h"

enum { SAMPLES_MAX = 256, INTERVAL_MS = 1000 };

struct sample {
	char name[NAME_MAX_BYTES + 1];
	enum vm_state state;
	uint64_t memory_bytes;
	struct json_object *stats; /* or NULL if it did not answer */
	long long taken_ms;
};

struct round {
	struct sample sample[SAMPLES_MAX];
	size_t count;
};

struct rates {
	const struct sample *now;
	double cpu_percent, exits, disk_read, disk_written, net_received, net_sent;
	struct json_object *exits_by_reason;
};

static void take(struct round *round)
{
	char **names = store_names();
	struct definition definition;
	struct runtime runtime;
	struct reason ignored;

	round->count = 0;
	for (char **name = names; *name && round->count < SAMPLES_MAX; name++) {
		struct sample *sample = &round->sample[round->count];
		int fd = runtime_pid(*name) ? control_connect(*name, &ignored) : -1;

		if (fd < 0)
			continue;
		runtime_read(*name, &runtime);
		snprintf(sample->name, sizeof(sample->name), "%s", *name);
		sample->state = runtime.state;
		sample->memory_bytes = store_read_started(*name, &definition, &ignored)
					       ? 0
					       : definition.memory_bytes;
		sample->stats = control_ask(fd, "stats", NULL, &ignored);
		sample->taken_ms = now_ms();
		close(fd);
		round->count++;
	}
	store_free_names(names);
}

static void drop(struct round *round)
{
	for (size_t i = 0; i < round->count; i++)
		json_object_put(round->sample[i].stats);
	round->count = 0;
}

/* The sum of one number over all objects of a list, such as "disks". */
static uint64_t sum(struct json_object *stats, const char *list, const char *key)
{
	struct json_object *array, *value;
	uint64_t total = 0;

	if (!json_object_object_get_ex(stats, list, &array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(array); i++)
		if (json_object_object_get_ex(json_object_array_get_idx(array, i), key, &value))
			total += json_object_get_uint64(value);
	return total;
}

static uint64_t exits_of(struct json_object *stats, const char *reason)
{
	struct json_object *array, *exits, *value;
	uint64_t total = 0;

	if (!json_object_object_get_ex(stats, "vcpus", &array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(array); i++)
		if (json_object_object_get_ex(json_object_array_get_idx(array, i), "exits",
					      &exits) &&
		    json_object_object_get_ex(exits, reason, &value))
			total += json_object_get_uint64(value);
	return total;
}

static double rate(uint64_t before, uint64_t now, double seconds)
{
	return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

static void compare_exits(struct rates *rates, const struct sample *before, double seconds)
{
	struct json_object *array, *exits, *first;

	rates->exits_by_reason = json_object_new_object();
	if (!json_object_object_get_ex(rates->now->stats, "vcpus", &array) ||
	    !(first = json_object_array_get_idx(array, 0)) ||
	    !json_object_object_get_ex(first, "exits", &exits))
		return;
	json_object_object_foreach(exits, reason, unused)
	{
		double each = rate(exits_of(before->stats, reason),
				   exits_of(rates->now->stats, reason), seconds);

		(void)unused;
		rates->exits += each;
		json_object_object_add(rates->exits_by_reason, reason,
				       json_object_new_int64((int64_t)each));
	}
}

static void compare(struct rates *rates, const struct sample *before, const struct sample *now)
{
	double seconds = (double)(now->taken_ms - before->taken_ms) / 1000;

	*rates = (struct rates){.now = now};
	compare_exits(rates, before, seconds);
#define RATE(list, key) rate(sum(before->stats, list, key), sum(now->stats, list, key), seconds)
	rates->cpu_percent = RATE("vcpus", "cpu_ns") / 1e7;
	rates->disk_read = RATE("disks", "read_bytes");
	rates->disk_written = RATE("disks", "written_bytes");
	rates->net_received = RATE("nets", "received_bytes");
	rates->net_sent = RATE("nets", "sent_bytes");
#undef RATE
}

static size_t compare_rounds(struct rates *rates, const struct round *before,
			     const struct round *now)
{
	size_t count = 0;

	for (size_t i = 0; i < now->count; i++)
		for (size_t j = 0; j < before->count; j++)
			if (!strcmp(now->sample[i].name, before->sample[j].name))
				compare(&rates[count++], &before->sample[j], &now->sample[i]);
	return count;
}

static double by_cpu(const struct rates *rates)
{
	return rates->cpu_percent;
}

static double by_exits(const struct rates *rates)
{
	return rates->exits;
}

static double by_memory(const struct rates *rates)
{
	return (double)rates->now->memory_bytes;
}

static double by_disk(const struct rates *rates)
{
	return rates->disk_read + rates->disk_written;
}

static double by_net(const struct rates *rates)
{
	return rates->net_received + rates->net_sent;
}

static const struct order {
	const char *name;
	char key;
	double (*value)(const struct rates *rates);
} orders[] = {{"cpu", 'c', by_cpu},   {"exits", 'e', by_exits}, {"memory", 'm', by_memory},
	      {"disk", 'd', by_disk}, {"net", 'n', by_net},	{"name", 'a', NULL}};
enum { ORDERS = sizeof(orders) / sizeof(orders[0]) };

static const struct order *order = &orders[0];

static int largest_first(const void *a, const void *b)
{
	const struct rates *x = a, *y = b;
	double first = order->value ? order->value(x) : 0,
	       second = order->value ? order->value(y) : 0;

	if (first != second)
		return first > second ? -1 : 1;
	return strcmp(x->now->name, y->now->name);
}

static struct json_object *rates_json(const struct rates *rates)
{
	struct json_object *row = json_object_new_object();

	json_object_object_add(row, "name", json_object_new_string(rates->now->name));
	json_object_object_add(row, "state",
			       json_object_new_string(vm_state_names[rates->now->state]));
	json_object_object_add(row, "cpu_percent", json_object_new_double(rates->cpu_percent));
	json_object_object_add(row, "exits_per_s", json_object_new_int64((int64_t)rates->exits));
	json_object_object_add(row, "exits_per_s_by_reason",
			       json_object_get(rates->exits_by_reason));
	json_object_object_add(row, "memory_bytes",
			       json_object_new_uint64(rates->now->memory_bytes));
	json_object_object_add(row, "disk_read_bytes_per_s",
			       json_object_new_int64((int64_t)rates->disk_read));
	json_object_object_add(row, "disk_written_bytes_per_s",
			       json_object_new_int64((int64_t)rates->disk_written));
	json_object_object_add(row, "net_received_bytes_per_s",
			       json_object_new_int64((int64_t)rates->net_received));
	json_object_object_add(row, "net_sent_bytes_per_s",
			       json_object_new_int64((int64_t)rates->net_sent));
	return row;
}

/* "mmio 120 port 30": those that happened. */
static void add_reasons(const struct rates *rates, char *line, size_t size)
{
	json_object_object_foreach(rates->exits_by_reason, reason, each)
	{
		size_t used = strlen(line);

		if (json_object_get_int64(each))
			snprintf(line + used, size - used, " %s %lld", reason,
				 (long long)json_object_get_int64(each));
	}
}

/* On a terminal nothing may wrap or scroll: @columns and @lines bound what is shown. */
static void print_rates(const struct rates *rates, size_t count, size_t columns, size_t lines)
{
	char memory[32], amount[4][16], line[512];

	printf("%-14s %-7s %5s %6s %7s %7s %7s %7s %8s %s\r\n", "NAME", "STATE", "CPU%", "MEMORY",
	       "READ/S", "WRITE/S", "RECV/S", "SENT/S", "EXITS/S", "OF");
	for (size_t i = 0; i < count && i < lines; i++) {
		const double each[] = {rates[i].disk_read, rates[i].disk_written,
				       rates[i].net_received, rates[i].net_sent};

		for (int n = 0; n < 4; n++)
			units_print_about(each[n], amount[n], sizeof(amount[n]));
		snprintf(line, sizeof(line), "%-14.14s %-7s %5.1f %6s %7s %7s %7s %7s %8.0f",
			 rates[i].now->name, vm_state_names[rates[i].now->state],
			 rates[i].cpu_percent,
			 units_print_size(rates[i].now->memory_bytes, memory, sizeof(memory)),
			 amount[0], amount[1], amount[2], amount[3], rates[i].exits);
		add_reasons(&rates[i], line, sizeof(line));
		printf("%.*s\r\n", (int)columns, line);
	}
	if (count > lines)
		printf("... and %zu more\r\n", count - lines);
	if (!count)
		printf("No VM runs.\r\n");
}

/* What fits above the last line, which tells the keys. */
static void print_screen(const struct rates *rates, size_t count)
{
	struct winsize window;
	bool known = !ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) && window.ws_row && window.ws_col;

	printf("\033[H\033[J");
	print_rates(rates, count, known ? window.ws_col : 80,
		    known && window.ws_row > 4 ? window.ws_row - 4 : 20);
	printf("\r\nby %s; order: c(pu) e(xits) m(emory) d(isk) n(et) a(lphabet); q ends",
	       order->name);
}

static void print_once(const struct rates *rates, size_t count)
{
	struct json_object *rows = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(rows, rates_json(&rates[i]));
	if (say_json) {
		print_json(rows);
		return;
	}
	json_object_put(rows);
	print_rates(rates, count, 512, SAMPLES_MAX);
}

/* A letter chooses the order; false at 'q'. Waits for the next round. */
static bool keys(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	long long until = now_ms() + INTERVAL_MS, left;
	char key;

	while ((left = until - now_ms()) > 0 && poll(&input, 1, (int)left) == 1) {
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 3)
			return false;
		for (int i = 0; i < ORDERS; i++)
			if (orders[i].key == key)
				order = &orders[i];
	}
	return true;
}

static int run_top(bool live)
{
	static struct round rounds[2];
	static struct rates rates[SAMPLES_MAX];
	struct round *before = &rounds[0], *now = &rounds[1], *other;
	bool more = true;

	take(before);
	if (!live && before->count)
		poll(NULL, 0, INTERVAL_MS); /* what a rate is measured over */
	while (more) {
		take(now);
		size_t count = compare_rounds(rates, before, now);

		qsort(rates, count, sizeof(rates[0]), largest_first);
		if (live)
			print_screen(rates, count);
		else
			print_once(rates, count);
		fflush(stdout);
		for (size_t i = 0; i < count; i++)
			json_object_put(rates[i].exits_by_reason);
		drop(before);
		other = before;
		before = now;
		now = other;
		more = live && keys();
	}
	drop(before);
	return EXIT_OK;
}

int top_main(struct cli_call *call)
{
	const char *by = cli_value(call, "sort");
	struct termios modes, raw;
	bool live = !cli_has(call, "once") && !say_json && isatty(STDIN_FILENO) &&
		    isatty(STDOUT_FILENO);

	for (order = orders; by && strcmp(order->name, by); order++)
		if (order == &orders[ORDERS - 1])
			return fail(EXIT_USAGE,
				    "--sort: '%s' is not cpu, exits, memory, disk, net or name",
				    by);
	if (!live || tcgetattr(STDIN_FILENO, &modes))
		return run_top(false);
	raw = modes;
	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	run_top(true);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
	putchar('\n');
	return EXIT_OK;
}
