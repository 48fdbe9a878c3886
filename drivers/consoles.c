// SPDX-License-Identifier: MIT
/*
 * Which devices show the log: the `console=` option and what the loader said about the screen.
 *
 * The screen is first reached through a boot mapping and moved to a lasting one by
 * consoles_remap(). Before consoles_start() lines wait in the log; an early refusal starts the
 * defaults.
 */
#include <consoles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmdline.h>
#include <x86/paging.h>

#define LOG_TAG	       "console"
#define VGA_CELLS      0xb8000
#define VGA_CELL_BYTES (32 * KIB)
#define EARLY_TOP      (4 * GIB)

static struct boot_framebuffer screen = {
	.type = FB_EGA_TEXT, .base = {VGA_CELLS}, .width = 80, .height = 25};
static bool started, screen_used;

static uint64_t screen_bytes(void)
{
	return screen.type == FB_EGA_TEXT ? VGA_CELL_BYTES
					  : (uint64_t)screen.pitch_bytes * screen.height;
}

static const struct console *screen_console(void *mapped)
{
	if (screen.type == FB_EGA_TEXT)
		return vga_text_console(mapped, screen.width, screen.height);
	return framebuffer_console(mapped, &screen);
}

static void add(const struct console *c, const char *name)
{
	if (c)
		log_console_add(c);
	else
		log_info("console '%s' is not there", name);
}

static void add_named(const char *name)
{
	char *end;
	unsigned long port;

	if (!strcmp(name, "com1")) {
		add(uart_console(UART_COM1), name);
	} else if (!strcmp(name, "com2")) {
		add(uart_console(UART_COM2), name);
	} else if (!strcmp(name, "screen")) {
		if (screen.type == FB_NONE || screen.base.v + screen_bytes() > EARLY_TOP)
			return;
		screen_used = true;
		add(screen_console(boot_map(screen.base, screen_bytes())), name);
	} else if (strcmp(name, "none") != 0) {
		port = strtoul(name, &end, 0);
		if (*end || port < 0x100 || port > 0xfff8)
			log_warn(
				"console=%s: known are com1, com2, an I/O port, screen, none; ignored",
				name);
		else
			add(uart_console((uint16_t)port), name);
	}
}

void consoles_start(const char *list, const struct boot_framebuffer *fb, bool bios)
{
	started = true;
	if (fb->type != FB_NONE)
		screen = *fb;
	else if (!bios)
		screen.type = FB_NONE;
	while (*list) {
		char name[16];
		size_t len = strcspn(list, ",");

		snprintf(name, sizeof(name), "%.*s", (int)len, list);
		add_named(name);
		list += len;
		list += *list == ',';
	}
}

void consoles_remap(void)
{
	if (screen_used)
		screen_console(map_device(screen.base, screen_bytes()));
}

void consoles_emergency(void)
{
	if (!started)
		consoles_start(cmdline_get("console"), &screen, true);
	log_emergency_begin();
}
