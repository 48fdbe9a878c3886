# SPDX-License-Identifier: MIT
"""Secure Boot, in QEMU with OVMF's own Secure Boot build and a key made for the run.

The key is enrolled as a user enrols his own (bench/varstore.py), and signs by `make sign`. What is
signed runs up to the hypervisor's refusal of a machine without VT-x; what is not, or was changed, is
refused by name, by the firmware or by hornero.efi.
"""

import pathlib
import subprocess

import pytest

from bench.machine import DEFAULTS
from bench.medium import BUILD, TOP
from test_efi import APP, esp, made, small, system, written
from test_refusals import refusal

FIRMWARE_REFUSES = r"BdsDxe: failed to load Boot\d+ [^\n]*: (?:Access Denied|Security Violation)"


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """{name: (private key, certificate)}; the machine trusts only `mine`."""
    folder = tmp_path_factory.mktemp("keys")
    pairs = {}
    for name in ("mine", "foreign"):
        pairs[name] = folder / f"{name}.key", folder / f"{name}.crt"
        subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", pairs[name][0],
                        "-x509", "-days", "3650", "-subj", f"/CN={name}/", "-out", pairs[name][1]],
                       check=True, capture_output=True, timeout=60)
    return pairs


@pytest.fixture
def secure(machine, keys, tmp_path):
    """secure(image, options of boot/mkesp...) starts a machine that trusts `mine`, from an ESP."""
    def start(image, *options):
        return machine(emulator="qemu-tcg", firmware="uefi", enrol=str(keys["mine"][1]),
                       disk=[esp(tmp_path, "--app", image, *options)])
    return start


def sign(folder, key, image):
    """What `make sign` does to a one-file image that is already there."""
    signed = folder / "signed.efi"
    subprocess.run(["sbsign", "--key", key[0], "--cert", key[1], "--output", signed, image],
                   check=True, capture_output=True, timeout=60)
    return signed


def one_file(folder):
    return made(TOP / "boot/mkonefile", "--output", folder / "one.efi", "--app", APP,
                *system(DEFAULTS["hypervisor"], small(folder), small(folder)))


def changed(folder, image, section):
    """The image with one bit of a section turned over."""
    data = bytearray(pathlib.Path(image).read_bytes())
    table = subprocess.run(["objdump", "-h", "-w", image], check=True, capture_output=True,
                           text=True, timeout=60).stdout
    offset, = [int(line.split()[5], 16) for line in table.splitlines()
               if line.split()[1:2] == [section]]
    data[offset + 100] ^= 1
    return written(folder, "changed.efi", bytes(data))


def test_make_sign_makes_what_starts(secure, keys, tmp_path):
    key, certificate = keys["mine"]
    signed = tmp_path / "hornero-signed.efi"
    subprocess.run(["make", "-s", f"BUILD={BUILD}", f"KEY={key}", f"CERT={certificate}",
                    f"ONE_FILE={tmp_path}/one.efi", f"SIGNED={signed}",
                    f"CONTROL_DOMAIN_INITRAMFS={DEFAULTS['initramfs']}", "sign"],
                   cwd=TOP, check=True, timeout=120)
    started = secure(signed)
    assert "Intel VT-x" in refusal(started)
    assert "loader hornero.efi" in started.serial()


@pytest.mark.parametrize("how", ["unsigned", "foreign-key", "changed-afterwards"])
def test_firmware_refuses(secure, keys, tmp_path, how):
    image = one_file(tmp_path)
    if how == "foreign-key":
        image = sign(tmp_path, keys["foreign"], image)
    elif how == "changed-afterwards":
        image = changed(tmp_path, sign(tmp_path, keys["mine"], image), ".linux")
    started = secure(image)
    started.wait(FIRMWARE_REFUSES, 120)
    assert "hornero.efi" not in started.serial()


@pytest.mark.parametrize("section,what", [(".hornero", "hypervisor"), (".linux", "kernel"),
                                          (".initrd", "initramfs"), (".conf", "configuration")])
def test_changed_section_is_named(secure, keys, tmp_path, section, what):
    """Signed, so the firmware starts it, but not what mkonefile had put together."""
    started = secure(sign(tmp_path, keys["mine"], changed(tmp_path, one_file(tmp_path), section)))
    started.wait(rf"hornero.efi: the section \{section} \(the {what}\) is refused: it was changed",
                 120)
    started.wait("hornero.efi: nothing was started", 60)


def test_separate_files_are_refused(secure, keys, tmp_path):
    started = secure(sign(tmp_path, keys["mine"], APP),
                     *system(DEFAULTS["hypervisor"], small(tmp_path), small(tmp_path)))
    started.wait(r"BOOT\\hornero.conf \(the configuration\) is refused: Secure Boot is on", 120)
    started.wait("hornero.efi: nothing was started", 60)
