# SPDX-License-Identifier: MIT
# From `nm -n` to the symbol table of vmm/symbols.c: per function its offset from the image's start
# and the offset of its name, sorted by address; then the names.
BEGIN { print "\t.section .symtab_hv, \"a\"" }
$3 == "image_start" { base = $1 }
$2 ~ /^[tTW]$/ && $3 != "image_start" && $3 !~ /^\.L/ {
	printf "\t.long 0x%s - 0x%s, %d\n", substr($1, 9), substr(base ? base : $1, 9), off
	names[n++] = $3
	off += length($3) + 1
}
END {
	print "\t.section .symstr_hv, \"a\"\n\t.globl symstr\nsymstr:"
	for (i = 0; i < n; i++)
		printf "\t.asciz \"%s\"\n", names[i]
	print "\t.section .note.GNU-stack, \"\", @progbits"
}
