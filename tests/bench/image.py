# SPDX-License-Identifier: MIT
"""Reads what was built: the segments and instructions of an ELF file, lines of code of a source."""

import pathlib
import re
import struct
import subprocess

from .medium import TOP

PT_LOAD, PT_GNU_STACK, PF_X, PF_W = 1, 0x6474E551, 1, 2
# SSE, AVX, AVX-512 with its masks, MMX, x87, AMX
VECTOR_REGISTER = re.compile(r"%(?:[xyz]mm\d+|mm\d|k[0-7]|st\b|tmm\d)")
# Strings and character constants are kept, comments become nothing but their line ends.
C_TOKEN = re.compile(r"""//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
                     re.DOTALL)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def vector_instructions(path):
    """The disassembled instructions that name a vector or floating-point register."""
    return [line.strip() for line in run("objdump", "--disassemble", "--no-show-raw-insn",
                                         path).splitlines() if VECTOR_REGISTER.search(line)]


def indirect_branches(path):
    """The functions that jump or call to where a register or memory says."""
    text = run("objdump", "--disassemble", "--no-show-raw-insn", path)
    return {match[1] for match in re.finditer(r"^[0-9a-f]+ <(.+)>:\n((?:.+\n)+)", text, re.MULTILINE)
            if re.search(r"\b(?:call|jmp)q? +\*", match[2])}


def instruction_count(path):
    return sum("\t" in line for line in run("objdump", "--disassemble", "--no-show-raw-insn",
                                            path).splitlines())


def segments(path):
    """(type, flags, virtual address, size in memory) of each program header of an ELF64 file."""
    data = pathlib.Path(path).read_bytes()
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, flags, _, address, _, _, memory = struct.unpack_from("<IIQQQQQ", data,
                                                                   offset + index * size)
        yield kind, flags, address, memory


def writable_code(path):
    return [segment for segment in segments(path)
            if segment[0] in (PT_LOAD, PT_GNU_STACK) and segment[1] & PF_W and segment[1] & PF_X]


def compiled_sources(path):
    """The source files that an ELF file with debug information was compiled from."""
    dump = run("readelf", "--debug-dump=info", "--dwarf-depth=1", path)
    for unit in dump.split("DW_TAG_compile_unit")[1:]:
        name = re.search(r"DW_AT_name\s*:(?: \(indirect[^)]*\):)? *(.*)", unit)
        folder = re.search(r"DW_AT_comp_dir\s*:(?: \(indirect[^)]*\):)? *(.*)", unit)
        yield pathlib.Path(folder.group(1).strip() if folder else "/", name.group(1).strip())


def code_lines(text):
    """Lines that hold anything but comment and white space; for C, headers and .S files."""
    def blank(match):
        token = match.group(0)
        return re.sub(r"[^\n]+", " ", token) if token[0] == "/" else token

    return sum(bool(line.strip()) for line in C_TOKEN.sub(blank, text).splitlines())


def preprocessed_lines(text, source):
    """How many lines of source, not of what it includes, are left in `gcc -E`'s output."""
    lines, place, number = set(), "", 0
    for line in text.splitlines():
        marker = re.match(r'# (\d+) "(.*?)"', line)
        if marker:
            number, place = int(marker.group(1)), marker.group(2)
            continue
        if line.strip() and place == str(source):
            lines.add(number)
        number += 1
    return len(lines)


def make_variables(*names):
    """Values of the Makefile's variables."""
    prints = subprocess.run(["make", "-s", "--eval=print-%:;@echo $($*)",
                             *(f"print-{name}" for name in names)], cwd=TOP, check=True,
                            capture_output=True, text=True, timeout=60).stdout
    return prints.splitlines()
