# SPDX-License-Identifier: MIT
"""A boot loader that lies: every falsified Multiboot2 block ends in words and a halt."""

import json
import re
import subprocess

import pytest

from bench.machine import READY
from bench.medium import BUILD, TOP

REFUSED = r"\| Hornero cannot run here:"
HALTED = r"\| The machine is halted\..*\n\+-+\+\n"  # what is above this line is on the screen by then
APIC_BASE, ICR = 0x1b, 0x830
X2APIC_ON = 0xc00
SIPI = 0x608


def liar(folder, framebuffer=0):
    """The liar with the hypervisor inside, as the machine's `hypervisor`; it asks for a graphic screen as that does,
    by a tag of 24 bytes, or for none."""
    out = folder / f"forge{framebuffer}.elf"
    subprocess.run(["gcc", "-m32", "-O1", "-ffreestanding", "-fno-pic", "-no-pie", "-nostdlib", "-static",
                    "-fno-stack-protector", "-mgeneral-regs-only", "-fno-asynchronous-unwind-tables",
                    "-Wl,-Ttext=0x18001000,--section-start=.header=0x18000000,-e,start,--build-id=none",
                    "-Wl,-z,noexecstack", f"-DHYPERVISOR=\"{BUILD}/hornero.elf\"", f"-Wa,--defsym,FRAMEBUFFER={framebuffer}",
                    TOP / "tests/forge/forge.c", "-o", out], check=True, timeout=60)
    return str(out)


@pytest.fixture(scope="session")
def forge(tmp_path_factory):
    return liar(tmp_path_factory.mktemp("forge"))


@pytest.fixture(scope="session")
def forge_graphics(tmp_path_factory):
    return liar(tmp_path_factory.mktemp("forge"), 24)


def lie_is_named(machine, forge, lie, words):
    started = machine(emulator="qemu-tcg", hypervisor=forge, cmdline=f"forge={lie}", memory=1024)
    started.wait(REFUSED, 60)
    started.wait(words, 5)
    started.wait(HALTED, 5)
    assert started.shows("Hornero cannot run here") and started.shows("The machine is halted.")


LIES = [
    ("no-map", "the block has no memory map"),
    ("empty-map", "the block has no memory map"),
    ("no-ram", "a memory map with RAM in it"),
    ("map-entry-size", "the memory map has entries of 0 bytes"),
]


@pytest.mark.parametrize("lie,words", [
    *LIES,
    ("tag-size", r"tag 6 at offset \d+ of \d+ has a size of 4294967280"),
    ("zero-total", "the block says that it has 0 bytes"),
    ("huge-total", "the block says that it has 4294967295 bytes"),
    ("no-end", r"has no end tag|has a size of"),
    ("null-block", "a pointer 0"),
])
def test_lie_is_named(machine, forge, lie, words):
    lie_is_named(machine, forge, lie, words)


@pytest.mark.parametrize("lie,words", LIES)
def test_lie_is_named_on_a_graphic_screen(machine, forge_graphics, lie, words):
    """Where the tags can still be told apart, the block says where the screen is."""
    lie_is_named(machine, forge_graphics, lie, words)


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


@pytest.mark.parametrize("features", [
    pytest.param(" cpu_features=-wait_for_sipi", id="without-wait-for-sipi"),
    pytest.param("", id="with-wait-for-sipi", marks=pytest.mark.full),
])
def test_firmware_that_left_x2apic_on(machine, forge, features):
    """The other CPUs are started through x2APIC then, by the hypervisor and by Linux. Without interrupt
    remapping Linux leaves x2APIC, except where it is told not to look for an IOAPIC."""
    control = machine(emulator="bochs", hypervisor=forge, cmdline=f"forge=x2apic{features}",
                      cpus=2, memory=1024, extra="noapic", file=[f"root/prod.ko={BUILD}/tests/prod.ko"])
    control.wait("smp: 2 CPUs of 2", 120)
    control.wait(READY, 400)

    def told(command):
        run = control.ssh(command)
        assert run.returncode == 0, f"{command}: {run.stdout}{run.stderr}"
        return run.stdout

    def prod(cpu, command):
        return told(f"taskset {1 << cpu} sh -c 'echo {command} >/proc/prod'; cat /proc/prod")

    def exits(cpu, reason):
        return json.loads(told("hornero stats --json"))["cpus"][cpu]["exits"].get(reason, 0)

    told("insmod /root/prod.ko")
    assert json.loads(told("hornero info --json"))["features"]["wait_for_sipi"] == (not features)
    inits, sipis = exits(1, "INIT"), exits(1, "SIPI")
    online = "/sys/devices/system/cpu/cpu1/online"
    for _ in range(3):
        assert told(f"echo 0 >{online}; nproc") == "1\n"
        assert told(f"echo 1 >{online}; nproc") == "2\n"
    assert exits(1, "INIT") == inits + 3
    assert exits(1, "SIPI") == sipis + (0 if features else 3)
    for cpu in 0, 1:
        assert int(prod(cpu, f"rdmsr {APIC_BASE:#x}").split()[1], 16) & X2APIC_ON == X2APIC_ON, "left x2APIC"
    wrote = exits(0, "WRMSR")
    assert prod(0, f"wrmsr {ICR:#x} {1 << 32 | SIPI:#x}").startswith("ok")  # it waits for none
    assert (exits(0, "WRMSR") > wrote) == bool(features)
    assert told("for cpu in 1 2; do taskset $cpu nproc --all; done") == "2\n2\n"
    assert not re.search(r"^\[[^]]*\] (?:warn|error) (?!boot: command line: 'forge=)", told("hornero log"), re.MULTILINE)
