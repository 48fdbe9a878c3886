// SPDX-License-Identifier: MIT
/*
 * The devices that can show the log: serial port, VGA text screen, linear framebuffer.
 */
#pragma once

#include <log.h>

#define UART_COM1 0x3f8
#define UART_COM2 0x2f8

/* As in the Multiboot2 framebuffer tag. */
enum fb_type { FB_NONE = -1, FB_INDEXED = 0, FB_RGB = 1, FB_EGA_TEXT = 2 };

struct boot_framebuffer {
	enum fb_type type;
	hpa_t base;
	uint32_t pitch_bytes, width, height; /* EGA text: in characters */
	uint8_t bpp;
	struct {
		uint8_t pos, bits;
	} rgb[3];
};

/** The UART at I/O port @port, set to 115200 8N1; NULL if nothing answers there. */
const struct console *uart_console(uint16_t port);

/** The text screen or framebuffer that @fb describes, mapped at @mapped; NULL if its format is
 * unknown. */
const struct console *screen_console(void *mapped, const struct boot_framebuffer *fb);

/** The same screen is mapped at @mapped from now on. */
void screen_move(void *mapped);

/** Before consoles_start(): the defaults, for last words. Context: refusal or crash, boot. */
void consoles_start_defaults(void);

/** Start the consoles of @list (`console=`), and show on them what was logged before. @bios: a text
 * screen may be assumed if @fb says nothing. Context: boot. */
void consoles_start(const char *list, const struct boot_framebuffer *fb, bool bios);

/** Give the screen a mapping that outlives boot. Context: final page tables. */
void consoles_remap(void);
