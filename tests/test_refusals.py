# SPDX-License-Identifier: MIT
"""Machines and media that the hypervisor cannot run on: each gets a box on the serial line that
names what is missing, what was found and what to do, and then stands still."""

import pathlib
import re

import pytest

from bench.machine import DEFAULTS

BOX = re.compile(r"\+-+\+\n((?:\|.*\|\n)+)\+-+\+\n")


def refusal(machine, timeout=180):
    """The text in the box, its line breaks taken out; proves that it is on the screen too, and that the machine
    stands still."""
    machine.wait(r"^\| The machine is halted\..*\n\+-+\+\n", timeout)
    boxes = BOX.findall(machine.serial().replace("\r", ""))
    assert len(boxes) == 1
    assert machine.running()
    if machine.config()["emulator"] == "bochs":  # whose screen can be looked at
        assert machine.shows("Hornero cannot run here") and machine.shows("The machine is halted.")
    return " ".join(line.strip("| ") for line in boxes[0].splitlines())


BOCHS = {"emulator": "bochs"}
# a MiB is missing every 24, so that there is no room for the kernel, of which 64 MiB are asked for
HOLES = "insmod mmap;" + ";".join(f"cutmem {at}M {at + 1}M" for at in range(40, 1020, 24))
UEFI = {"emulator": "bochs", "firmware": "uefi"}


@pytest.mark.parametrize("options,said", [
    pytest.param({"emulator": "qemu-tcg"}, r"Intel VT-x.*firmware setup", id="no-vtx-qemu"),
    pytest.param({"emulator": "qemu-tcg", "firmware": "uefi"}, r"Intel VT-x.*firmware setup",
                 id="no-vtx-qemu-uefi"),
    pytest.param({**BOCHS, "cpu_exclude": "vmx"}, r"Intel VT-x.*firmware setup", id="no-vtx"),
    pytest.param({**UEFI, "grub": "insmod wrmsr;wrmsr 0x3a 1"},
                 r"locked off.*IA32_FEATURE_CONTROL = 0x1.*Switch on", id="vtx-locked-off"),
    pytest.param({**BOCHS, "cpu_model": "core2_penryn_t9600"},
                 r"(?i)extended page tables.*Westmere", id="no-ept"),
    pytest.param({**BOCHS, "cpu_model": "corei5_lynnfield_750"},
                 r"(?i)unrestricted guest.*Westmere", id="no-unrestricted-guest"),
    pytest.param({**BOCHS, "cmdline": "cpu_features=-ept"}, r"(?i)extended page tables",
                 id="ept-switched-off"),
    pytest.param({**BOCHS, "cpus": 2, "cmdline": "cpu1_features=-ept"},
                 r"(?i)extended page tables.*CPU 1 ", id="second-cpu-without-ept"),
    pytest.param({**BOCHS, "grub": "multiboot2 /boot/hornero.elf;boot"},
                 r"kernel for the control domain.*no boot module.*module2", id="no-kernel"),
    pytest.param({**BOCHS, "cmdline": "control_mem=1M"},
                 r"memory for the control domain.*control_mem", id="control-mem-too-small"),
    pytest.param({**BOCHS, "cmdline": "control_mem=900G"},
                 r"memory for the control domain.*control_mem", id="control-mem-too-big"),
    pytest.param({**BOCHS, "grub": HOLES, "kernel": DEFAULTS["kernel"]},
                 r"Needed: \d+ KiB in one piece for the kernel; the control domain has \d+ MiB", id="fragmented"),
    pytest.param({**BOCHS, "memory": 64, "cmdline": "control_mem=32M"},
                 r"control_mem", id="little-memory"),
])
def test_refusal(machine, tmp_path, options, said):
    if options["emulator"] == "bochs":
        # the refusal comes before anyone looks at the modules; small ones load quickly
        small = tmp_path / "small"
        small.write_bytes(bytes(512))
        options = {"kernel": str(small), "initramfs": str(small), **options}
    text = refusal(machine(**options))
    assert re.search(said, text), text


@pytest.mark.parametrize("cut,said", [
    pytest.param(lambda image: image[:100], r"bzImage.*100 bytes", id="stub"),
    pytest.param(lambda image: image[:len(image) // 2], r"bzImage.*whole", id="half"),
    pytest.param(lambda image: b"\x7fELF" + bytes(100_000), r"bzImage.*unmodified", id="no-bzimage"),
])
def test_bad_kernel(machine, tmp_path, cut, said):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(cut(pathlib.Path(DEFAULTS["kernel"]).read_bytes()))
    text = refusal(machine(emulator="bochs", kernel=str(kernel)))
    assert re.search(said, text), text
