// SPDX-License-Identifier: MIT
/*
 * Which devices show the log: the `console=` option and what the loader said about the screen.
 *
 * The screen is first reached through a boot mapping and moved to a lasting one by
 * consoles_remap(). Before consoles_start() lines wait in the log; an early refusal starts the
 * defaults.
 */
#include <cmdline.h>
#include <consoles.h>
#include <found.h>
#include <stdio.h>
#include <string.h>
#include <x86/paging.h>

#define LOG_TAG	       "console"
#define VGA_CELLS      0xb8000
#define VGA_CELL_BYTES (32 * KIB)

static struct boot_framebuffer screen = {
	.type = FB_EGA_TEXT, .base = {VGA_CELLS}, .width = 80, .height = 25};
static bool screen_used;

static uint64_t screen_bytes(void)
{
	return screen.type == FB_EGA_TEXT ? VGA_CELL_BYTES
					  : (uint64_t)screen.pitch_bytes * screen.height;
}

/* False if there is no such console: @name is a mistake. */
static bool add(const char *name)
{
	const struct console *c = NULL;
	uint64_t port = !strcmp(name, "com1") ? UART_COM1 : UART_COM2;

	if (!strcmp(name, "none"))
		return true;
	if (!strcmp(name, "screen")) {
		if (screen.type == FB_NONE)
			return true;
		if (boot_can_map(screen.base, screen_bytes()))
			c = screen_console(boot_map(screen.base, screen_bytes()), &screen);
		screen_used = c;
	} else {
		if (strcmp(name, "com1") != 0 && strcmp(name, "com2") != 0 &&
		    (!parse_number(name, false, &port) || port < 0x100 || port > 0xfff8)) {
			log_warn(
				"console=%s: known are com1, com2, an I/O port, screen, none; ignored",
				name);
			return false;
		}
		c = uart_console((uint16_t)port);
	}
	if (c)
		log_console_add(c);
	else
		log_info("console '%s' is not there", name);
	return true;
}

void consoles_start(const char *list, const struct boot_framebuffer *fb, bool bios)
{
	char text[CMDLINE_BYTES], *rest = text, *name;
	bool known = false;

	log_on_emergency(NULL);
	if (fb->type != FB_NONE)
		screen = *fb;
	else if (!bios)
		screen.type = FB_NONE;
	snprintf(text, sizeof(text), "%s", list);
	while ((name = cut_word(&rest, ",")))
		known |= add(name);
	if (!known) { /* a machine that shows nothing would not show why */
		add("com1");
		add("screen");
		log_warn("console=%s: the default 'com1,screen' is used", list);
	}
}

void consoles_remap(void)
{
	if (screen_used)
		screen_move(map_device(screen.base, screen_bytes()));
}

void consoles_start_defaults(void)
{
	consoles_start(cmdline_get("console"), found.boot.block.v ? &found.boot.fb : &screen, true);
}
