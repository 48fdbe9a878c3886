# SPDX-License-Identifier: MIT
"""hornero.efi: from an EFI system partition, and as one file with everything in it.

QEMU without VT-x is quick and takes each way up to the hypervisor's refusal, which proves that the
hypervisor was entered and what it was told; Bochs goes on to the login. Bad input ends in the
firmware, with a message that names the file and what is wrong with it.
"""

import json
import os
import pathlib
import re
import socket
import subprocess

import pytest

from bench import medium, memory_map
from bench.machine import DEFAULTS, READY
from bench.medium import BUILD, TOP
from test_boot import assert_quiet_log, boot, told
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


def test_menu_takes_a_key(machine, tmp_path):
    """Two entries by name; the default is the second, the key asks for the first."""
    entry = CONF.partition("\n")[2]
    conf = ("default = b\ntimeout = 60\n" + entry + "cmdline = loglevel=debug frob=1\n"
            + entry.replace("[a]", "[b]\ntitle = The other"))
    files = [word for name in ("vmlinuz", "initramfs")
             for word in ("--file", written(tmp_path, name, bytes(4096)))]
    started = machine(disk=[esp(tmp_path, "--app", APP, "--conf", written(tmp_path, "c", conf.encode()),
                                "--file", DEFAULTS["hypervisor"], *files)], **QEMU)
    started.wait(r"1  a\n\s+2  The other  \(default\)[^$]*Starts in \d+ s", 120)
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(os.path.relpath(started.folder / "console.sock"))
        console.sendall(b"1")
        started.wait("hornero.efi: loading a$", 60)
    assert "Intel VT-x" in refusal(started)
    assert "'frob=1'" in started.serial()


def test_without_graphics(machine, tmp_path):
    disk = esp(tmp_path, "--app", APP, "--timeout", 0,
               *system(DEFAULTS["hypervisor"], small(tmp_path), small(tmp_path)))
    started = machine(disk=[disk], no_vga=True, **QEMU)
    started.wait(r"hornero.efi: this firmware has no graphics \(no GOP\)", 120)
    assert "Intel VT-x" in refusal(started)


def test_memory_too_small_for_a_file(machine, tmp_path):
    """Largest free piece below 4 GiB: less than the initramfs is long."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(100 << 20)
    disk = esp(tmp_path, "--app", APP, "--timeout", 0,
               *system(DEFAULTS["hypervisor"], small(tmp_path), big))
    started = machine(disk=[disk], memory=128, **QEMU)
    started.wait(r"no memory for the initramfs: 102400 KiB in one piece below 4 GiB are needed", 120)
    started.wait("hornero.efi: nothing was started", 60)


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


@pytest.mark.parametrize("form", ["application", "one-file"])
def test_boots_to_the_login(machine, tmp_path, form):
    what = system(DEFAULTS["hypervisor"], DEFAULTS["kernel"], with_key(tmp_path), "loglevel=debug")
    if form == "one-file":
        one = made(TOP / "boot/mkonefile", "--output", tmp_path / "one.efi", "--app", APP, *what)
        disk = esp(tmp_path, "--app", one)
    else:
        disk = esp(tmp_path, "--app", APP, "--timeout", 0, *what)
    started = machine(emulator="bochs", firmware="uefi", disk=[disk])
    started.wait(READY, 600)
    info = json.loads(told(started, "hornero info --json"))
    assert info["features"]["efi"] and info["loader"] == "hornero.efi"
    assert memory_map.check(lambda command: told(started, command))


class TestByGrub:
    """The boot medium on a UEFI machine with ACPI tables, and what Linux gets of the firmware."""

    @pytest.fixture(scope="class")
    def control(self, class_machine):
        return boot(class_machine, firmware="uefi", emulator="bochs", cpus=2, cmdline="loglevel=debug")

    def test_log_has_no_warning(self, control):
        assert_quiet_log(control)

    def test_tables_come_by_efi(self, control):
        """Both CPUs are in the MADT that only the firmware's system table leads to."""
        info = json.loads(told(control, "hornero info --json"))
        assert info["features"]["efi"] and info["loader"].startswith("GRUB")
        assert (info["cpus"], info["cpus_present"]) == (2, 2)
        assert told(control, "nproc") == "2\n"
        assert re.search(r"efi: .*ACPI 2.0=0x", told(control, "dmesg"))
        assert re.search(r"^ACPI20=0x", told(control, "cat /sys/firmware/efi/systab"), re.MULTILINE)

    def test_memory_map(self, control):
        firmware = memory_map.check(lambda command: told(control, command))
        assert len(firmware) > 2

    def test_variables(self, control):
        folder = "/sys/firmware/efi/efivars"
        name = "HorneroTest-6d2f9c1e-33c5-4f0b-9f57-0a1e6f0f3b11"
        assert "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c" in told(control, f"ls {folder}")
        told(control, rf"printf '\7\0\0\0kept' >{folder}/{name}")
        assert told(control, f"tail -c 4 {folder}/{name}") == "kept"

    def test_framebuffer_console(self, control):
        assert "EFI VGA" in told(control, "cat /proc/fb")
        assert re.search(r"^tty0 .*-W", told(control, "cat /proc/consoles"), re.MULTILINE)

    def test_firmware_resets_the_machine(self, control):
        said = len(control.serial().replace("\r", ""))
        control.ssh("echo efi >/sys/kernel/reboot/type && reboot -f")
        control.wait("BdsDxe: (?:loading|failed to load) Boot", 120, start=said)
