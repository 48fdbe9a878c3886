# SPDX-License-Identifier: MIT
"""hornero.efi: from an EFI system partition, and as one file with everything in it.

QEMU without VT-x is quick and takes each way up to the hypervisor's refusal, which proves that the
hypervisor was entered and what it was told; Bochs goes on to the login. Bad input ends in the
firmware, with a message that names the file and what is wrong with it.
"""

import json
import pathlib
import subprocess

import pytest

from bench import medium
from bench.machine import DEFAULTS, READY
from bench.medium import BUILD, TOP
from test_refusals import refusal

APP = BUILD / "hornero.efi"
QEMU = {"emulator": "qemu-tcg", "firmware": "uefi"}
CONF = "timeout = 0\n[a]\nhypervisor = hornero.elf\nkernel = vmlinuz\ninitramfs = initramfs\n"


def made(*command):
    subprocess.run([str(word) for word in command], check=True, timeout=120)
    return str(command[2])


def esp(folder, *options):
    """A FAT image; options: boot/mkesp's."""
    return made(TOP / "boot/mkesp", "--output", folder / "esp.img", *options)


def written(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


def with_key(folder):
    """The test initramfs with the bench's key."""
    key = medium.ssh_key().with_suffix(".pub").read_bytes()
    base = pathlib.Path(DEFAULTS["initramfs"]).read_bytes()
    more = medium.cpio({"etc/hornero/authorized_keys": key})
    return written(folder, "initramfs", base + bytes(-len(base) % 4) + more)


def small(folder):
    return written(folder, "small", bytes(4096))


def system(hypervisor, kernel, initramfs, cmdline=""):
    return ["--hypervisor", hypervisor, "--kernel", kernel, "--initramfs", initramfs,
            "--hypervisor-cmdline", cmdline]


def test_application_starts_the_hypervisor(machine, tmp_path):
    disk = esp(tmp_path, "--app", APP, "--timeout", 1,
               *system(DEFAULTS["hypervisor"], small(tmp_path), small(tmp_path), "loglevel=debug"))
    started = machine(disk=[disk], **QEMU)
    assert "Intel VT-x" in refusal(started)
    said = started.serial()
    assert "1  Hornero  (default)" in said  # the menu
    assert "loader hornero.efi" in said
    assert "debug boot: map " in said  # the hypervisor's command line arrived
    assert "ACPI tables" in said and "no ACPI tables" not in said


def test_one_file_starts_the_hypervisor(machine, tmp_path):
    one = made(TOP / "boot/mkonefile", "--output", tmp_path / "one.efi", "--app", APP,
               *system(DEFAULTS["hypervisor"], small(tmp_path), small(tmp_path), "loglevel=debug"))
    started = machine(disk=[esp(tmp_path, "--app", one)], **QEMU)
    assert "Intel VT-x" in refusal(started)
    assert "loader hornero.efi" in started.serial()


@pytest.mark.parametrize("conf,files,said", [
    pytest.param(None, {}, r"BOOT\\hornero.conf \(the configuration\) is missing", id="no-conf"),
    pytest.param("timeout = 0\n[a]\nkernal = x\n", {}, r"hornero.conf:3:1: not known", id="conf"),
    pytest.param(CONF, {}, r"BOOT\\hornero.elf \(the hypervisor\) is missing", id="no-file"),
    pytest.param(CONF, {"hornero.elf": lambda elf: elf[:len(elf) // 2]},
                 r"hornero.elf \(\d+ bytes\) is truncated", id="truncated"),
    pytest.param(CONF, {"hornero.elf": lambda elf: b"MZ" + elf},
                 r"hornero.elf \(\d+ bytes\) is no ELF file \(wrong magic\)", id="wrong-magic"),
    pytest.param(CONF, {"hornero.elf": lambda elf: b""}, r"hornero.elf .* no file.*: 0 bytes",
                 id="empty"),
    pytest.param(CONF.replace("vmlinuz", ".linux"), {"hornero.elf": lambda elf: elf},
                 r"no section .linux \(the kernel\)", id="no-section"),
])
def test_bad_input_is_named(machine, tmp_path, conf, files, said):
    options = ["--app", APP]
    if conf is not None:
        options += ["--conf", written(tmp_path, "conf", conf.encode())]
    for name, change in files.items():
        data = change(pathlib.Path(DEFAULTS["hypervisor"]).read_bytes())
        options += ["--file", written(tmp_path, name, data)]
    started = machine(disk=[esp(tmp_path, *options)], **QEMU)
    started.wait("hornero.efi: " + r"[^\n]*" + said, 180)
    started.wait("hornero.efi: nothing was started", 60)


@pytest.mark.full
@pytest.mark.parametrize("form", ["application", "one-file"])
def test_boots_to_the_login(machine, tmp_path, form):
    what = system(DEFAULTS["hypervisor"], DEFAULTS["kernel"], with_key(tmp_path))
    if form == "one-file":
        one = made(TOP / "boot/mkonefile", "--output", tmp_path / "one.efi", "--app", APP, *what)
        disk = esp(tmp_path, "--app", one)
    else:
        disk = esp(tmp_path, "--app", APP, "--timeout", 0, *what)
    started = machine(emulator="bochs", firmware="uefi", disk=[disk], limit=1800)
    started.wait(READY, 1500)
    run = started.ssh("hornero info --json && ls -d /sys/firmware/efi/runtime", timeout=300)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.rpartition("/sys")[0])["features"]["efi"]
