# SPDX-License-Identifier: MIT
"""The boot medium of a test machine: an ISO image of its own, made in a second by boot/mkiso.

Files for the control domain (the bench's SSH key, settings) travel in a small cpio archive
appended to the initramfs; Linux unpacks both. The key is made once per build folder.
"""

import fcntl
import os
import pathlib
import subprocess

from . import acpi

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = (TOP / os.environ.get("BUILD", "build")).resolve()


class BenchError(Exception):
    """Something that the user of the bench can act on; its text says how."""


def ssh_key():
    """The path of the bench's private key; made when it is missing."""
    key = BUILD / "bench-key"
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "bench-key.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not key.exists():
            fresh = BUILD / "bench-key.new"
            fresh.unlink(missing_ok=True)
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hornero-bench", "-f", fresh],
                check=True, timeout=60)
            fresh.with_suffix(".new.pub").rename(key.with_suffix(".pub"))
            fresh.rename(key)
    return key


def cpio(files, programs=()):
    """A newc archive of {path: bytes}, with the folders on the way; programs may be executed."""
    entries = {}
    for path in files:
        for parent in reversed(pathlib.PurePosixPath(path).parents):
            if str(parent) != ".":
                entries[str(parent)] = (0o040755, b"")
        entries[path] = (0o100700 if path in programs else 0o100600, files[path])
    entries["TRAILER!!!"] = (0, b"")
    archive = bytearray()
    for inode, (name, (mode, data)) in enumerate(entries.items(), 1):
        # magic, then: inode mode uid gid links mtime size 2xdevice 2xrdevice name-length check
        fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        archive += b"070701" + b"".join(b"%08X" % field for field in fields)
        archive += name.encode() + b"\0"
        archive += bytes(-len(archive) % 4)
        archive += data
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def make_iso(folder, config):
    """The ISO image for config in folder; returns its path."""
    initramfs = folder / "initramfs"
    files = {"etc/hornero/authorized_keys": ssh_key().with_suffix(".pub").read_bytes(),
             "etc/hornero/settings.conf": b"ntp = none\n"}  # an emulator's clock is not the world's
    programs = set()
    for item in config["file"]:
        inside, _, outside = item.partition("=")
        files[inside.lstrip("/")] = pathlib.Path(outside).read_bytes()
        if os.access(outside, os.X_OK):
            programs.add(inside.lstrip("/"))
    try:
        base = pathlib.Path(config["initramfs"]).read_bytes()
    except OSError as error:
        raise BenchError(f"no initramfs ({error}); `make` builds it") from error
    initramfs.write_bytes(base + bytes(-len(base) % 4) + cpio(files, programs))
    iso = folder / "machine.iso"
    linux = (TOP / "boot/control-domain.cmdline").read_text().split()
    # the kernel's crypto self-tests are a quarter of a boot in Bochs, and no test of ours
    linux += ["cryptomgr.notests", *config["extra"].split()]
    grub = config["grub"]
    tables = []
    if (config["emulator"], config["firmware"], config["no_acpi"]) == ("bochs", "uefi", False):
        tables = acpi.write_tables(folder, config["cpus"])
        grub = f"acpi {' '.join('/' + file.name for file in tables)};{grub}"
    command = [TOP / "boot/mkiso", "--output", iso, "--kernel", config["kernel"],
               "--initramfs", initramfs, "--timeout", "0", "--entry", config["entry"],
               "--linux-cmdline", " ".join(linux), "--grub", grub, "--grub-last", config["grub_last"]]
    command += [word for file in tables for word in ("--file", file)]
    if config["entry"] == "hornero":
        command += ["--hypervisor", config["hypervisor"],
                    "--hypervisor-cmdline", config["cmdline"]]
    if config["microcode"]:
        command += ["--microcode", config["microcode"]]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120)
    initramfs.unlink()
    if made.returncode:
        raise BenchError(f"boot/mkiso failed:\n{made.stderr.strip()}")
    return iso
