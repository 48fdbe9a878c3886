// SPDX-License-Identifier: MIT
/*
 * The VGA text screen: characters and attributes in memory, scrolled by copying.
 *
 * It starts on the line after the last one that is in use, so that the loader's words stay
 * readable.
 */
#include <consoles.h>
#include <string.h>

#define ATTRIBUTE 0x0700 /* light grey on black */

static volatile uint16_t *cells;
static unsigned int columns, rows, column, row;

static void scroll(void)
{
	for (unsigned int i = 0; i < columns * (rows - 1); i++)
		cells[i] = cells[i + columns];
	for (unsigned int i = 0; i < columns; i++)
		cells[columns * (rows - 1) + i] = ATTRIBUTE | ' ';
}

static void newline(void)
{
	column = 0;
	if (++row == rows) {
		row = rows - 1;
		scroll();
	}
}

static void vga_write(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n') {
			newline();
			continue;
		}
		if (column == columns)
			newline();
		cells[row * columns + column++] = (uint16_t)(ATTRIBUTE | (uint8_t)s[i]);
	}
}

static void vga_reset(void)
{
	row = rows - 1;
	newline();
}

static bool row_used(unsigned int r)
{
	for (unsigned int i = 0; i < columns; i++) {
		uint8_t c = (uint8_t)cells[r * columns + i];

		if (c && c != ' ')
			return true;
	}
	return false;
}

const struct console *vga_text_console(void *memory, unsigned int cols, unsigned int lines)
{
	static const struct console c = {"screen", vga_reset, vga_write};
	bool moved = cells != NULL;

	if (cols < 40 || lines < 10)
		return NULL;
	cells = memory;
	if (moved) /* the same screen at its final address */
		return &c;
	columns = cols;
	rows = lines;
	for (row = rows; row > 0 && !row_used(row - 1); row--)
		;
	if (row == rows)
		vga_reset();
	return &c;
}
