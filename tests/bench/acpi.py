# SPDX-License-Identifier: MIT
"""ACPI tables for Bochs with OVMF, which gets its own from QEMU only and finds none in Bochs.

GRUB's command `acpi` publishes them as EFI firmware does. They say what Bochs' BIOS says there.
"""

import pathlib
import struct
import subprocess

PM_BASE = 0xB000
# WBINVD works, C1 on all CPUs, no power or sleep button, no RTC wake-up, reset register
FLAGS = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10


def table(signature, revision, body):
    data = bytearray(struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, b"HORNER",
                                 b"BENCH\0\0\0", 1, b"HORN", 1) + body)
    data[9] = -sum(data) & 0xFF
    return bytes(data)


def facp():
    """ACPI Specification 6.5, "Fixed ACPI Description Table" (5.2.9); GRUB enters the DSDT."""
    body = bytearray(244 - 36)
    for offset, layout, values in (
            (46, "<HIBB", (9, 0xB2, 0xF1, 0xF0)),  # SCI; SMI port, ACPI on, off
            (56, "<I", (PM_BASE,)), (64, "<I", (PM_BASE + 4,)), (76, "<I", (PM_BASE + 8,)),
            (88, "<BB", (4, 2)), (91, "<B", (4,)), (96, "<HH", (0xFFF, 0xFFF)), (112, "<I", (FLAGS,)),
            (116, "<BBBBQB", (1, 8, 0, 1, 0xCF9, 6))):
        struct.pack_into(layout, body, offset - 36, *values)
    return table(b"FACP", 3, bytes(body))


def madt(cpus):
    """"Multiple APIC Description Table" (5.2.12): local APICs, I/O APIC, the timer on its pin 2."""
    body = struct.pack("<II", 0xFEE00000, 1)
    body += b"".join(struct.pack("<BBBBI", 0, 8, cpu, cpu, 1) for cpu in range(cpus))
    body += struct.pack("<BBBBII", 1, 12, cpus, 0, 0xFEC00000, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)
    return table(b"APIC", 1, body)


def write_tables(folder, cpus):
    """The tables as files in folder; returns their paths."""
    files = [folder / name for name in ("dsdt.aml", "facp.aml", "apic.aml")]
    subprocess.run(["iasl", "-p", files[0].with_suffix(""),
                    pathlib.Path(__file__).with_name("bochs.asl")],
                   stdout=subprocess.DEVNULL, check=True, timeout=60)
    files[1].write_bytes(facp())
    files[2].write_bytes(madt(cpus))
    return files
