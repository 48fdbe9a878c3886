// SPDX-License-Identifier: MIT
/*
 * Text on a linear framebuffer, for machines without a text screen (UEFI).
 *
 * White on black, 8x16 glyphs (drivers/font.py makes them from a console font at build time). A
 * framebuffer is slow to read, so nothing scrolls: at the bottom the next line starts at the top,
 * over the oldest, with a blank line ahead of it.
 */
#include <consoles.h>
#include <string.h>

#define GLYPH_W	    8
#define GLYPH_H	    16
#define FIRST_GLYPH 0x20
#define LAST_GLYPH  0x7e
#define MAX_COLUMNS 128
#define MAX_ROWS    64

extern const uint8_t font_8x16[LAST_GLYPH - FIRST_GLYPH + 1][GLYPH_H];

static volatile uint8_t *pixels;
static struct boot_framebuffer fb;
static unsigned int columns, rows, column, row;
static uint8_t shown[MAX_ROWS][MAX_COLUMNS];
static uint32_t white;

static void put_pixel(unsigned int x, unsigned int y, uint32_t colour)
{
	volatile uint8_t *p = pixels + (uint64_t)y * fb.pitch_bytes + x * (fb.bpp / 8U);

	if (fb.bpp == 32) {
		*(volatile uint32_t *)p = colour;
		return;
	}
	for (unsigned int i = 0; i < fb.bpp / 8U; i++)
		p[i] = (uint8_t)(colour >> (8 * i));
}

static void put_glyph(unsigned int c, unsigned int r, uint8_t ch)
{
	const uint8_t *glyph =
		font_8x16[ch < FIRST_GLYPH || ch > LAST_GLYPH ? 0 : ch - FIRST_GLYPH];

	if (shown[r][c] == ch)
		return;
	shown[r][c] = ch;

	for (unsigned int y = 0; y < GLYPH_H; y++) {
		for (unsigned int x = 0; x < GLYPH_W; x++)
			put_pixel(c * GLYPH_W + x, r * GLYPH_H + y,
				  glyph[y] & (0x80 >> x) ? white : 0);
	}
}

static void clear(void)
{
	for (uint64_t i = 0; i < (uint64_t)fb.pitch_bytes * fb.height / 8; i++)
		((volatile uint64_t *)pixels)[i] = 0;
	memset(shown, ' ', sizeof(shown));
	column = row = 0;
}

static void newline(void)
{
	unsigned int half = rows / 2;

	column = 0;
	if (++row < rows)
		return;
	for (unsigned int r = 0; r < rows; r++) {
		for (unsigned int c = 0; c < columns; c++)
			put_glyph(c, r, r + half < rows ? shown[r + half][c] : ' ');
	}
	row -= half;
}

static void fb_write(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n') {
			newline();
			continue;
		}
		if (column == columns)
			newline();
		put_glyph(column++, row, (uint8_t)s[i]);
	}
}

static uint32_t component(unsigned int pos, unsigned int size)
{
	return (uint32_t)(((UINT64_C(1) << size) - 1) << pos);
}

const struct console *framebuffer_console(void *mapped, const struct boot_framebuffer *f)
{
	static const struct console c = {"screen", clear, fb_write};
	bool moved = pixels != NULL;

	if (f->type != FB_RGB || f->bpp % 8 || f->bpp < 16 || f->bpp > 32 ||
	    f->width < 40 * GLYPH_W || f->height < 4 * GLYPH_H ||
	    f->pitch_bytes < f->width * (f->bpp / 8U) || f->red_size > 16 || f->green_size > 16 ||
	    f->blue_size > 16 || f->red_pos > 24 || f->green_pos > 24 || f->blue_pos > 24)
		return NULL;
	pixels = mapped;
	if (moved) /* the same screen at its final address */
		return &c;
	fb = *f;
	columns = (unsigned int)min_u64(fb.width / GLYPH_W, MAX_COLUMNS);
	rows = (unsigned int)min_u64(fb.height / GLYPH_H, MAX_ROWS);
	white = component(fb.red_pos, fb.red_size) | component(fb.green_pos, fb.green_size) |
		component(fb.blue_pos, fb.blue_size);
	clear();
	return &c;
}
