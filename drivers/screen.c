// SPDX-License-Identifier: MIT
/*
 * Text on the screen: VGA's text memory, or white glyphs of 8x16 on a linear framebuffer
 * (drivers/font.py makes them from a console font at build time).
 *
 * What is shown is kept in an array too, because a framebuffer is slow to read: scrolling, there by
 * half a screen at a time, draws the cells that change. On a text screen the loader's words stay
 * readable: writing starts below the last line that is in use.
 */
#include <consoles.h>
#include <string.h>

#define GLYPH_W	    8
#define GLYPH_H	    16
#define FIRST_GLYPH 0x20
#define LAST_GLYPH  0x7e
#define MAX_COLUMNS 128
#define MAX_ROWS    64
#define ATTRIBUTE   0x0700 /* light grey on black */

extern const uint8_t font_8x16[LAST_GLYPH - FIRST_GLYPH + 1][GLYPH_H];

static volatile uint8_t *memory;
static struct boot_framebuffer fb;
static unsigned int columns, rows, column, row;
static uint8_t shown[MAX_ROWS][MAX_COLUMNS];
static uint32_t white;

static volatile uint16_t *cell(unsigned int c, unsigned int r)
{
	return (volatile uint16_t *)memory + r * fb.width + c;
}

static void put_pixel(unsigned int x, unsigned int y, uint32_t colour)
{
	volatile uint8_t *p = memory + (uint64_t)y * fb.pitch_bytes + x * (fb.bpp / 8U);

	if (fb.bpp == 32) {
		*(volatile uint32_t *)p = colour;
		return;
	}
	for (unsigned int i = 0; i < fb.bpp / 8U; i++)
		p[i] = (uint8_t)(colour >> (8 * i));
}

static void put(unsigned int c, unsigned int r, uint8_t ch)
{
	const uint8_t *glyph =
		font_8x16[ch < FIRST_GLYPH || ch > LAST_GLYPH ? 0 : ch - FIRST_GLYPH];

	if (shown[r][c] == ch)
		return;
	shown[r][c] = ch;
	if (fb.type == FB_EGA_TEXT) {
		*cell(c, r) = ATTRIBUTE | ch;
		return;
	}
	for (unsigned int y = 0; y < GLYPH_H; y++) {
		for (unsigned int x = 0; x < GLYPH_W; x++)
			put_pixel(c * GLYPH_W + x, r * GLYPH_H + y,
				  glyph[y] & (0x80 >> x) ? white : 0);
	}
}

static void newline(void)
{
	unsigned int by = fb.type == FB_EGA_TEXT ? 1 : rows / 2;

	column = 0;
	if (++row < rows)
		return;
	for (unsigned int r = 0; r < rows; r++) {
		for (unsigned int c = 0; c < columns; c++)
			put(c, r, r + by < rows ? shown[r + by][c] : ' ');
	}
	row -= by;
}

static void screen_write(const struct console *c, const char *s, size_t n)
{
	(void)c;
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n' || column == columns)
			newline();
		if (s[i] != '\n')
			put(column++, row, (uint8_t)s[i]);
	}
}

static void screen_reset(const struct console *console)
{
	unsigned int used = 0;

	(void)console;
	memset(shown, ' ', sizeof(shown));
	if (fb.type == FB_EGA_TEXT) {
		for (unsigned int i = 0; i < rows * columns; i++) {
			uint8_t ch = (uint8_t)*cell(i % columns, i / columns);

			shown[i / columns][i % columns] = ch;
			if (ch && ch != ' ')
				used = i / columns + 1;
		}
	} else {
		for (uint64_t i = 0; i < (uint64_t)fb.pitch_bytes * fb.height / 8; i++)
			((volatile uint64_t *)memory)[i] = 0;
	}
	column = 0;
	row = used;
	if (row == rows) {
		row--;
		newline();
	}
}

void screen_move(void *mapped)
{
	memory = mapped;
}

static bool usable(const struct boot_framebuffer *f)
{
	if (f->type == FB_EGA_TEXT)
		return f->width >= 40 && f->width <= MAX_COLUMNS && f->height >= 10;
	for (int i = 0; i < 3; i++)
		if (f->rgb[i].bits > 16 || f->rgb[i].pos > 24)
			return false;
	return f->type == FB_RGB && f->bpp % 8 == 0 && f->bpp >= 16 && f->bpp <= 32 &&
	       f->width >= 40 * GLYPH_W && f->height >= 4 * GLYPH_H &&
	       f->pitch_bytes >= f->width * (f->bpp / 8U);
}

const struct console *screen_console(void *mapped, const struct boot_framebuffer *f)
{
	static const struct console c = {.reset = screen_reset, .write = screen_write};
	bool text = f->type == FB_EGA_TEXT;

	if (!usable(f))
		return NULL;
	memory = mapped;
	fb = *f;
	columns = (unsigned int)min_u64(text ? fb.width : fb.width / GLYPH_W, MAX_COLUMNS);
	rows = (unsigned int)min_u64(text ? fb.height : fb.height / GLYPH_H, MAX_ROWS);
	for (int i = 0; i < 3; i++)
		white |= (uint32_t)((BIT64(fb.rgb[i].bits) - 1) << fb.rgb[i].pos);
	screen_reset(&c);
	return &c;
}
