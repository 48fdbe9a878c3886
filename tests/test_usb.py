# SPDX-License-Identifier: MIT
"""boot/mkusb: what it refuses to write to, on a made-up /sys and /proc, and what it writes."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from bench import medium
from bench.medium import BUILD, TOP
from test_disk import ESP, make_disk

MIB = 1 << 20


class System:
    """A folder with the parts of /sys and /proc that matter, and disks that are files."""

    def __init__(self, root):
        self.root = root
        (root / "proc/self").mkdir(parents=True)
        self.put("proc/self/mountinfo", "22 1 9:0 / / rw - ext4 /dev/md0 rw\n")
        self.put("proc/swaps", "Filename Type Size Used Priority\n")
        self.disk("sdb", 8 * MIB)
        image = self.put("image", bytes(4 * MIB))
        subprocess.run(["/usr/sbin/sfdisk", "-q", image], input="label: gpt\nname=hornero-esp\n", check=True,
                       text=True, timeout=60)

    def put(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def disk(self, name, size, removable=1, read_only=0):
        for file, value in {"size": size // 512, "removable": removable, "ro": read_only,
                            "dev": "8:16", "device/model": "Thumb 3000"}.items():
            self.put(f"sys/class/block/{name}/{file}", f"{value}\n")
        for number in (1, 2):
            self.put(f"sys/class/block/{name}/{name}{number}/partition", f"{number}\n")
            self.put(f"sys/class/block/{name}/{name}{number}/dev", f"8:{16 + number}\n")
            link = self.root / f"sys/class/block/{name}{number}"
            if not link.is_symlink():
                link.symlink_to(f"{name}/{name}{number}")
        with open(self.put(f"dev/{name}", ""), "r+b") as file:
            file.truncate(size)
        self.put(f"dev/{name}1", "")

    def run(self, *options, device="sdb", image=None):
        return subprocess.run(
            [TOP / "boot/mkusb", "--image", image or self.root / "image",
             "--device", self.root / "dev" / device, *options],
            env={"SYSTEM": str(self.root), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
            timeout=120)


@pytest.fixture
def system(tmp_path):
    return System(tmp_path)


def mounted(source, number):
    return lambda s: s.put("proc/self/mountinfo",
                           f"22 1 9:0 / / rw - ext4 /dev/md0 rw\n"
                           f"30 22 {number} / /media/my\\040stick rw shared:1 - vfat {source} rw\n")


@pytest.mark.parametrize("change,message", [
    pytest.param(mounted("/dev/sdb1", "8:17"), r"/dev/sdb1 is mounted on /media/my", id="partition"),
    pytest.param(mounted("/dev/sdb", "8:16"), r"/dev/sdb is mounted on", id="mounted-disk"),
    pytest.param(mounted("/dev/sdb2", "0:44"), r"/dev/sdb2 is mounted on", id="mounted-btrfs"),
    pytest.param(lambda s: s.put("proc/swaps", "Filename\n/dev/sdb2 partition 1 0 -2\n"),
                 "swap space in use: swapoff /dev/sdb2", id="swap"),
    pytest.param(lambda s: s.put("sys/class/block/sdb/sdb2/holders/dm-3/dev", "253:3"),
                 "/dev/sdb2 is in use by dm-3", id="lvm"),
    pytest.param(lambda s: s.put("sys/class/block/sdb/holders/md127/dev", "9:127"),
                 "/dev/sdb is in use by md127", id="md"),
    pytest.param(lambda s: s.disk("sdb", MIB // 2), "too small: it has 0 MiB, the image needs 4",
                 id="small"),
    pytest.param(lambda s: s.disk("sdb", 8 * MIB, read_only=1), "write-protected", id="read-only"),
    pytest.param(lambda s: s.disk("sdb", 8 * MIB, removable=0),
                 r"Thumb 3000, 0 GiB\) is not removable.*--internal sdb", id="internal"),
])
def test_refusals(system, change, message):
    change(system)
    run = system.run()
    assert run.returncode == 1
    assert re.search(message, run.stderr), run.stderr
    assert (system.root / "dev/sdb").read_bytes().count(0) == (system.root / "dev/sdb").stat().st_size


def test_partition_and_strangers_are_refused(system):
    assert "is a partition; the image goes onto a whole disk, here /dev/sdb" in \
        system.run(device="sdb1").stderr
    assert "the kernel knows no disk sdz" in system.run(device="sdz").stderr
    assert "image-that-is-not is missing" in system.run(image="image-that-is-not").stderr


def test_image_without_its_partition_costs_nothing(system):
    """Such as one that is still packed."""
    run = system.run(image=system.put("image.xz", bytes(range(256)) * 4096))
    assert run.returncode == 1 and "has no partition hornero-esp" in run.stderr and "unpacked" in run.stderr
    assert not any((system.root / "dev/sdb").read_bytes())


def test_private_key_is_refused(system):
    run = system.run("--key", medium.ssh_key())
    assert "private key" in run.stderr and run.returncode == 1


def test_only_the_named_internal_disk_is_accepted(system):
    system.disk("sdb", 8 * MIB, removable=0)
    assert system.run("--check", "--internal", "sdc").returncode == 1
    assert system.run("--check", "--internal", "sdb").returncode == 0


def test_image_key_and_settings_arrive(system, tmp_path):
    image = make_disk(tmp_path)
    size = image.stat().st_size
    system.disk("sdb", size + 64 * MIB)
    settings = system.put("mine.conf", "host_name = nest\n")
    key = medium.ssh_key().with_suffix(".pub")
    run = system.run("--key", key, "--settings", settings, image=image)
    assert run.returncode == 0, run.stderr
    disk = system.root / "dev/sdb"
    for name, wanted in {"authorized_keys": key, "settings.conf": settings}.items():
        found = subprocess.run(["mtype", "-i", f"{disk}@@{ESP}", f"::/{name}"], check=True,
                               capture_output=True, timeout=60).stdout
        assert found == pathlib.Path(wanted).read_bytes()
    subprocess.run(["sfdisk", "--verify", "-q", disk], check=True, capture_output=True, timeout=60)
    with open(disk, "rb") as file:
        assert file.read(440) == image.read_bytes()[:440]


def names(disk):
    """All that blkid could know a stick and what is on it by."""
    table = json.loads(subprocess.run(["/usr/sbin/sfdisk", "-J", disk], check=True, capture_output=True,
                                      timeout=60).stdout)["partitiontable"]
    found = {table["id"], *(part["uuid"] for part in table["partitions"])}
    for part in table["partitions"][1:3]:
        found.add(subprocess.run(["/usr/sbin/blkid", "-p", "-o", "value", "-s", "UUID", "-O", str(part["start"] * 512),
                                  disk], check=True, capture_output=True, text=True, timeout=60).stdout)
    return found


def test_each_stick_has_uuids_of_its_own(system, tmp_path):
    image = make_disk(tmp_path)
    seen = names(image)
    assert len(seen) == 6
    for disk in ("sdb", "sdc"):
        system.disk(disk, image.stat().st_size + 64 * MIB)
        run = system.run(device=disk, image=image)
        assert run.returncode == 0, run.stderr
        new = names(system.root / f"dev/{disk}")
        assert len(new) == 6 and not new & seen
        seen |= new
    with open(image, "rb") as file:
        file.seek(json.loads(subprocess.run(["/usr/sbin/sfdisk", "-J", image], check=True, capture_output=True,
                                            timeout=60).stdout)["partitiontable"]["partitions"][2]["start"] * 512)
        size = len(file.read()) - MIB
    offset = image.stat().st_size - MIB - size
    (tmp_path / "data").write_bytes((system.root / "dev/sdb").read_bytes()[offset:offset + size])
    subprocess.run(["/usr/sbin/e2fsck", "-f", "-n", tmp_path / "data"], check=True, capture_output=True, timeout=60)


@pytest.mark.full
def test_make_usb_writes_a_block_device(tmp_path):
    """A loop device, which is not removable, as root."""
    key = medium.ssh_key().with_suffix(".pub")
    with open(tmp_path / "stick", "wb") as file:
        file.truncate(2 << 30)
    device = subprocess.run(["losetup", "-f", "--show", tmp_path / "stick"], check=True, capture_output=True, text=True,
                            timeout=60).stdout.strip()
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    def make_usb(*more):
        return subprocess.run(["make", "-s", f"BUILD={BUILD}", "usb", *more], cwd=TOP, env=env, capture_output=True,
                              text=True, timeout=1200)

    try:
        refused = make_usb()
        assert refused.returncode == 2 and "make usb DEVICE=/dev/sdX" in refused.stderr
        refused = make_usb(f"DEVICE={device}", f"SSH_KEY={key}")
        assert refused.returncode == 2 and "is not removable" in refused.stderr
        done = make_usb(f"DEVICE={device}", f"SSH_KEY={key}", f"INTERNAL={device.rpartition('/')[2]}")
    finally:
        subprocess.run(["losetup", "-d", device], check=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["mtype", "-i", f"{tmp_path}/stick@@{ESP}", "::authorized_keys"], check=True,
                          capture_output=True, timeout=60).stdout == key.read_bytes()
    subprocess.run(["sfdisk", "--verify", "-q", tmp_path / "stick"], check=True, timeout=60)
