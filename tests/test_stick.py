# SPDX-License-Identifier: MIT
"""The stick with its Debian, as its owner meets it: written, settings and key put on, booted, logged
into, a VM made, rebooted. `make debian` makes what is tested here."""

import hashlib
import json
import subprocess

import pytest

from bench import medium
from bench.machine import READY
from bench.medium import BUILD
from test_disk import ESP, internal_disk, make_disk, power_off, said, told, tries

HASH = "$6$nest$" + "x" * 86  # of no password
SETTINGS = f"host_name = nest-7\ncontrol_mem = 768M\nntp = 10.0.2.2\npassword_hash = {HASH}\n"
SHADOW = "sed -n 's/^root:\\([^:]*\\):.*/\\1/p' /etc/shadow"
GUEST_UP = "until vm console nest --dump | grep -q '~#'; do sleep 1; done"


def put(image, name, content):
    subprocess.run(["mcopy", "-o", "-i", f"{image}@@{ESP}", "-", f"::/{name}"], input=content, check=True,
                   timeout=60)


def package(folder):
    """A Debian package that needs no network."""
    tree = folder / "package"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text("Package: nest-test\nVersion: 1\nArchitecture: all\n"
                                         "Maintainer: nobody <nobody@localhost>\nDescription: test\n")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, folder / "nest-test.deb"], check=True,
                   capture_output=True, timeout=60)
    return (folder / "nest-test.deb").read_bytes()


@pytest.mark.full
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_debian_of_the_stick(machine, tmp_path, firmware):
    image = make_disk(tmp_path, "--root", BUILD / "control-domain/debian.squashfs")
    with open(image, "r+b") as file:
        file.truncate(2 << 30)
    put(image, "settings.conf", SETTINGS.replace("\n", "\r\n").encode())
    put(image, "authorized_keys", medium.ssh_key().with_suffix(".pub").read_bytes())
    internal = internal_disk(tmp_path)
    before = hashlib.sha256(internal.read_bytes()).hexdigest()

    started = machine(disk=[str(image), str(internal)], keep_disk=True, emulator="bochs", firmware=firmware,
                      memory=2048, limit=3600)
    key = started.wait(READY, 1200).group(1)
    assert tries(image) == 0
    assert told(started, "hostname; cat /etc/debian_version; findmnt -no FSTYPE /").split()[::2] == ["nest-7", "overlay"]
    assert json.loads(told(started, "hornero info --json"))["command_line"] == "control_mem=768M"
    assert told(started, "systemctl is-system-running --wait; systemctl --failed --plain --no-legend") == "running\n"
    assert told(started, "cat /proc/swaps | tail -n +2; findmnt -lno SOURCE | grep /dev/sdb; true") == ""
    assert int(told(started, "df -k --output=size / | tail -n 1")) > 1 << 20

    told(started, "vm create nest --image demo --disk 16M -m 96M && vm start nest")
    told(started, f"vm set nest --cpu-weight 400; timeout 200 sh -c '{GUEST_UP}'", timeout=300)
    unit = told(started, "basename /sys/fs/cgroup/hornero.slice/hornero-guests.slice/*.scope").strip()
    assert unit.startswith("hornero-vm-nest-")
    assert told(started, f"systemctl show -P CPUWeight {unit}; systemctl show -P Slice {unit}").split() == \
        ["400", "hornero-guests.slice"]
    assert told(started, f"cat /sys/fs/cgroup/hornero.slice/hornero-guests.slice/{unit}/cpu.weight") == "400\n"

    subprocess.run([*started.ssh_command(), "cat >/root/nest-test.deb"], input=package(tmp_path), check=True,
                   timeout=120)
    told(started, "apt-get install -y -q /root/nest-test.deb && vm autostart nest", timeout=300)

    assert told(started, SHADOW).strip() == HASH
    told(started, "mount /dev/sda2 /mnt && sed -i /password_hash/d /mnt/settings.conf && umount /mnt")

    seen = said(started)
    started.ssh("reboot")
    assert started.wait(READY, 1200, start=seen).group(1) == key
    assert told(started, "hostname; " + SHADOW).split() == ["nest-7", "*"]
    assert "ok installed" in told(started, "dpkg -s nest-test")
    assert told(started, "systemctl is-system-running --wait; systemctl --failed --plain --no-legend", timeout=300) == \
        "running\n"
    row, = json.loads(told(started, "vm list --json"))
    assert (row["name"], row["state"]) == ("nest", "running")
    power_off(started, 400)
    assert hashlib.sha256(internal.read_bytes()).hexdigest() == before
    assert tries(image) == 0
