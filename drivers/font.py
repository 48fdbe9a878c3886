# SPDX-License-Identifier: MIT
"""From a PSF1 console font (gzipped, 8x16, with Unicode table) to the C array of drivers/framebuffer.c."""
import gzip
import sys

data = gzip.open(sys.argv[1]).read()
assert data[:2] == b"\x36\x04" and data[2] & 2 and data[3] == 16, "not an 8x16 PSF1 font with a table"
glyphs = 512 if data[2] & 1 else 256
table = data[4 + 16 * glyphs:]
words = [table[i] | table[i + 1] << 8 for i in range(0, len(table) - 1, 2)]
where, glyph, in_sequence = {}, 0, False
for w in words:
    if w == 0xFFFF:
        glyph, in_sequence = glyph + 1, False
    elif w == 0xFFFE:
        in_sequence = True
    elif not in_sequence:
        where[w] = glyph
print("#include <stdint.h>\nextern const uint8_t font_8x16[95][16];\nconst uint8_t font_8x16[95][16] = {")
for code in range(0x20, 0x7F):
    at = 4 + 16 * where[code]
    print("\t{" + ", ".join("0x%02x" % b for b in data[at:at + 16]) + "},")
print("};")
