# SPDX-License-Identifier: MIT
"""A boot loader that lies: every falsified Multiboot2 block ends in words and a halt."""

import re
import subprocess

import pytest

from bench.medium import BUILD, TOP

REFUSED = r"\| Hornero cannot run here:"
HALTED = r"\| The machine is halted\."


@pytest.fixture(scope="session")
def forge(tmp_path_factory):
    """forge.elf: the liar with the hypervisor inside, as the machine's `hypervisor`."""
    out = tmp_path_factory.mktemp("forge") / "forge.elf"
    subprocess.run(["gcc", "-m32", "-O1", "-ffreestanding", "-fno-pic", "-no-pie", "-nostdlib", "-static",
                    "-fno-stack-protector", "-mgeneral-regs-only", "-fno-asynchronous-unwind-tables",
                    "-Wl,-Ttext=0x18001000,--section-start=.header=0x18000000,-e,start,--build-id=none",
                    "-Wl,-z,noexecstack", f"-DHYPERVISOR=\"{BUILD}/hornero.elf\"",
                    TOP / "tests/forge/forge.c", "-o", out], check=True, timeout=60)
    return str(out)


@pytest.mark.parametrize("lie,words", [
    ("no-map", "the block has no memory map"),
    ("empty-map", "the block has no memory map"),
    ("no-ram", "a memory map with RAM in it"),
    ("map-entry-size", "the memory map has entries of 0 bytes"),
    ("tag-size", r"tag 6 at offset \d+ of \d+ has a size of 4294967280"),
    ("zero-total", "the block says that it has 0 bytes"),
    ("huge-total", "the block says that it has 4294967295 bytes"),
    ("no-end", r"has no end tag|has a size of"),
    ("null-block", "a pointer 0"),
])
def test_lie_is_named(machine, forge, lie, words):
    liar = machine(emulator="qemu-tcg", hypervisor=forge, cmdline=f"forge={lie}", memory=1024)
    liar.wait(REFUSED, 60)
    liar.wait(words, 5)
    liar.wait(HALTED, 5)


def test_other_loader_is_named(machine, forge):
    liar = machine(emulator="qemu-tcg", hypervisor=forge, cmdline="forge=magic", memory=1024)
    liar.wait("Hornero: not started by a Multiboot2 loader", 60)


def test_tables_and_screen_above_4_gib(machine, forge):
    """Both are read and written before the hypervisor has page tables of its own."""
    honest = machine(emulator="qemu-tcg", hypervisor=forge, cmdline="forge=high loglevel=debug", cpus=2,
                     memory=5120)
    honest.wait(r"boot: ACPI: [3-9] tables, 2 CPUs", 60)
    honest.wait(HALTED, 20)  # QEMU has no VT-x
    said = honest.serial()
    assert "Intel VT-x" in said
    assert not re.search("is not there|is broken|no ACPI tables", said), said


def test_firmware_that_left_x2apic_on(machine, forge):
    """The other CPUs are started through x2APIC then. What Linux makes of it is not looked at: without
    interrupt remapping it leaves x2APIC, and Bochs then shows it an APIC id that it does not know."""
    honest = machine(emulator="bochs", hypervisor=forge, cmdline="forge=x2apic", cpus=2, memory=1024)
    honest.wait("smp: 2 CPUs of 2", 120)
    honest.wait("starting the control domain on 2 CPUs", 60)
