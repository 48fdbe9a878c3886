# SPDX-License-Identifier: MIT
"""The stick with its Debian, as its owner meets it: written, settings and key put on, booted, logged
into, a VM made, rebooted. `make debian` makes what is tested here."""

import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest

from bench import medium
from bench.machine import READY
from bench.medium import BUILD, TOP
from test_control_domain_image import DRIVERS, drivers
from test_disk import ESP, internal_disk, make_disk, power_off, said, told, tries
from test_refusals import refusal

HASH = "$6$nest$" + "x" * 86  # of no password
SETTINGS = f"host_name = nest-7\ncontrol_mem = 768M\nntp = 10.0.2.2\npassword_hash = {HASH}\n"
SHADOW = "sed -n 's/^root:\\([^:]*\\):.*/\\1/p' /etc/shadow"
ADDRESS = "ip -o -4 addr show dev"
GUEST_UP = "until vm console nest --dump | grep -q '~#'; do sleep 1; done"
# cards of PCI's first years, and one for PC Card slots: none of the stick's packages has their firmware
WITHOUT_FIRMWARE = {"acenic", "cassini", "smc91c92_cs", "starfire"}


def put(image, name, content):
    subprocess.run(["mcopy", "-o", "-i", f"{image}@@{ESP}", "-", f"::/{name}"], input=content, check=True,
                   timeout=60)


@pytest.mark.full
def test_debian_has_every_driver_and_the_firmware_of_network_cards():
    listing = subprocess.run(["unsquashfs", "-lc", BUILD / "control-domain/debian.squashfs"], check=True,
                             capture_output=True, text=True, timeout=120).stdout.splitlines()
    modules = {name.split("/kernel/", 1)[1] for name in listing if "/kernel/" in name and name.endswith(".ko")}
    firmware = {name.split("/lib/firmware/", 1)[1] for name in listing if "/lib/firmware/" in name}
    for folder in DRIVERS:
        assert set(drivers(folder)) - modules == set()
    asked = {path.stem: {file.decode() for file in re.findall(rb"\0firmware=([^\0]+)", path.read_bytes())}
             for path in drivers("drivers/net/ethernet").values()}
    wanting = {card for card, files in asked.items() if files}
    assert len(wanting) > 10
    assert {card for card in wanting if not asked[card] & firmware} == WITHOUT_FIRMWARE


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

    # a network in the card's place: taken back unless confirmed, though the login that made it is over
    told(started, "vm net create lan --uplink eth0")
    told(started, f"until {ADDRESS} eth0 | grep -q inet; do sleep 1; done; ! ip link show lan", timeout=300)
    told(started, "vm net create lan --uplink eth0")
    told(started, f"{ADDRESS} lan | grep inet && vm net confirm")

    assert told(started, SHADOW).strip() == HASH
    told(started, "mount /dev/sda2 /mnt && sed -i /password_hash/d /mnt/settings.conf && umount /mnt")

    seen = said(started)
    started.ssh("reboot")
    assert started.wait(READY, 1200, start=seen).group(1) == key
    assert told(started, "hostname; " + SHADOW).split() == ["nest-7", "*"]
    assert "ok installed" in told(started, "dpkg -s nest-test")
    assert "10.0.2.15/" in told(started, f"{ADDRESS} lan") and "inet" not in told(started, f"{ADDRESS} eth0")
    assert told(started, "systemctl is-system-running --wait; systemctl --failed --plain --no-legend", timeout=300) == \
        "running\n"
    row, = json.loads(told(started, "vm list --json"))
    assert (row["name"], row["state"]) == ("nest", "running")
    power_off(started, 400)
    assert hashlib.sha256(internal.read_bytes()).hexdigest() == before
    assert tries(image) == 0


def data_partition(image):
    """Where it begins."""
    table = subprocess.run(["sfdisk", "-d", image], check=True, capture_output=True, text=True, timeout=60).stdout
    return int(re.search(r"start= *(\d+),.*hornero-data", table).group(1)) * 512


def damage(image):
    with open(image, "r+b") as file:
        file.seek(data_partition(image))
        file.write(bytes(1 << 20))


def without_hypervisor(image):
    """Lets the menu of an image start Linux alone, which has Debian as well."""
    menu = subprocess.run(["mtype", "-i", f"{image}@@{ESP}", "::/boot/grub/grub.cfg"], check=True,
                          capture_output=True, timeout=60).stdout
    alone = b"boot_linux hornero.medium=$hornero_medium; initrd /boot/initramfs"
    assert menu.count(b"\t\tstart_hornero\n") == 1
    put(image, "boot/grub/grub.cfg", menu.replace(b"\t\tstart_hornero\n", b"\t\t" + alone + b"\n"))


def take_away(image):
    subprocess.run(["sfdisk", "-q", "--delete", image, "3"], check=True, timeout=60)
    table = subprocess.run(["sfdisk", "-d", image], check=True, capture_output=True, text=True, timeout=60).stdout
    assert "hornero-data" not in table and "hornero-root" in table


@pytest.mark.full
@pytest.mark.parametrize("lose", [damage, take_away])
def test_debian_that_can_keep_nothing_says_so(machine, tmp_path, lose):
    image = make_disk(tmp_path, "--root", BUILD / "control-domain/debian.squashfs",
                      initramfs=BUILD / "control-domain/initramfs-drivers")
    without_hypervisor(image)
    put(image, "authorized_keys", medium.ssh_key().with_suffix(".pub").read_bytes())
    put(image, "settings.conf", b"address = 10.0.2.15/24\ngateway = 10.0.2.2\ndns = 192.0.2.7\n")
    options = {"disk": [str(image)], "emulator": "qemu-tcg", "memory": 2048, "limit": 1800, "patience": 30}
    lose(image)
    started = machine(**options)
    started.wait(r"hornero: no data partition can be written: what is changed is lost at reboot", 600)
    started.wait(READY, 900)
    assert "lost at reboot" in told(started, "cat /etc/motd")
    assert told(started, "systemctl is-system-running --wait; systemctl --failed --plain --no-legend") == "running\n"
    told(started, "echo after >/root/new && findmnt -no FSTYPE / && ip route show default via 10.0.2.2 | grep .")
    assert told(started, "cat /etc/resolv.conf") == "nameserver 192.0.2.7\n"


PROTECTED = """
. %(functions)s
say() { echo "said: $*"; }
modprobe() { :; }
labelled() { echo $data; }
found() { echo $base; }
mount -t tmpfs none /run
mkdir -p /run/state /run/root/etc
STATE=/run/state ROOT=/run/root
mount_data
mount_root || exit 1
survives && exit 2
cat /sysroot/root/kept /sysroot/root/base $STATE/host-key
echo new >/sysroot/root/new && echo new >$STATE/new && ls $STATE/definitions
"""


@pytest.mark.full
def test_write_protected_stick_is_used_all_the_same(tmp_path):
    """By the start-up scripts alone, in a mount namespace, with loop devices, as root."""
    (tmp_path / "tree/root").mkdir(parents=True)
    (tmp_path / "tree/root/base").write_text("base\n")
    (tmp_path / "kept").write_text("kept\n")
    data, base = tmp_path / "data", tmp_path / "base"
    subprocess.run(["mksquashfs", tmp_path / "tree", base, "-quiet", "-no-progress"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", data, "32M"], check=True, timeout=60)
    words = "mkdir system\nmkdir system/changes\nmkdir system/changes/root\n" \
        f"write {tmp_path}/kept system/changes/root/kept\nwrite {tmp_path}/kept host-key\n"
    subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", data], input=words, check=True, text=True,
                   capture_output=True, timeout=60)
    script = PROTECTED % {"functions": TOP / "control-domain/image/root/usr/lib/hornero/functions"}
    devices = {}
    made = os.path.exists("/sysroot")
    try:
        for name, file in ("data", data), ("base", base):
            devices[name] = subprocess.run(["losetup", "-r", "-f", "--show", file], check=True, capture_output=True,
                                           text=True, timeout=60).stdout.strip()
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "busybox", "sh", "-c", script],
                              env={**os.environ, **devices}, capture_output=True, text=True, timeout=120)
    finally:
        for device in devices.values():
            subprocess.run(["losetup", "-d", device], check=True, timeout=60)
        if not made:
            os.rmdir("/sysroot")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"said: {devices['data']} (hornero-data) is write-protected: what is on it is used, "
                           "what is changed is lost at reboot\nkept\nbase\nkept\n")


@pytest.mark.full
def test_debian_from_a_write_protected_stick(machine, tmp_path):
    """One that was used before: QEMU's USB stick takes no write, which the kernel is told as by a real one's switch."""
    image = make_disk(tmp_path, "--root", BUILD / "control-domain/debian.squashfs",
                      initramfs=BUILD / "control-domain/initramfs-drivers")
    without_hypervisor(image)
    put(image, "authorized_keys", medium.ssh_key().with_suffix(".pub").read_bytes())
    put(image, "settings.conf", b"host_name = nest-7\n")
    (tmp_path / "kept").write_text("kept\n")
    words = "mkdir system\nmkdir system/changes\nmkdir system/changes/root\n" \
        f"write {tmp_path}/kept system/changes/root/kept\n"
    subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", f"{image}?offset={data_partition(image)}"], input=words,
                   check=True, text=True, capture_output=True, timeout=60)
    started = machine(stick_read_only=str(image), emulator="qemu-tcg", memory=2048, limit=1800, patience=30)
    started.wait(r"hornero: /dev/sda3 \(hornero-data\) is write-protected: what is on it is used, "
                 "what is changed is lost at reboot", 600)
    started.wait(READY, 900)
    assert told(started, "cat /sys/block/sda/ro /root/kept; hostname").split() == ["1", "kept", "nest-7"]
    assert "lost at reboot" in told(started, "cat /etc/motd")
    assert told(started, "systemctl is-system-running --wait; systemctl --failed --plain --no-legend") == "running\n"
    told(started, "echo new >/root/new && echo new >/var/lib/hornero/new && findmnt -no FSTYPE /")
    assert "nest" in told(started, "vm create nest --image demo --disk 16M -m 96M && vm list")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """What `make release` makes, signed with a key made for this alone, downloaded, checked and written as the README
    says; `stick` is a file there."""
    top = tmp_path_factory.mktemp("release")
    home, folder, stick = top / "gnupg", top / "download", top / "stick"
    home.mkdir(mode=0o700)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    env |= {"GNUPGHOME": str(home), "LC_ALL": "C"}

    def run(line):
        return subprocess.run(line, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=600)

    subprocess.run(["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "nest@localhost"], env=env,
                   check=True, timeout=120)
    try:
        subprocess.run(["make", "-s", f"BUILD={BUILD}", f"RELEASE={folder}", "VERSION=1.2", "KEY=nest@localhost",
                        "release"], cwd=TOP, env=env, check=True, stdout=subprocess.DEVNULL, timeout=1200)
        assert sorted(os.listdir(folder)) == ["SHA256SUMS", "SHA256SUMS.asc", "hornero-1.2.img.xz", "hornero-1.2.iso"]
        block = (TOP / "README.md").read_text().partition("A release is")[2].partition("To build it")[0]
        lines = re.findall(r"^    (.*)$", block, re.M)
        assert len(lines) == 5
        for line in lines:
            done = run(line.replace("sudo ", "").replace("/dev/sdX", str(stick)).replace("VERSION", "1.2"))
            assert done.returncode == 0, f"`{line}` said: {done.stdout}{done.stderr}"
            if "gpg" in line:
                assert 'Good signature from "nest@localhost"' in done.stderr
        yield folder, stick, lines, run
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=env, timeout=60)
        shutil.rmtree(top)


@pytest.mark.full
def test_release_that_was_altered_is_found_out(release, tmp_path):
    folder, stick, lines, run = release
    assert stick.stat().st_size == (folder / "hornero-1.2.img").stat().st_size
    subprocess.run(["sfdisk", "--verify", "-q", stick], check=True, timeout=60)
    sums, image = (folder / "SHA256SUMS").read_text(), folder / "hornero-1.2.iso"
    with open(image, "r+b") as iso:
        first = iso.read(7)
        iso.seek(0)
        iso.write(b"altered")
        iso.flush()
        assert "hornero-1.2.iso: FAILED" in run(lines[1]).stdout and run(lines[1]).returncode == 1
        iso.seek(0)
        iso.write(first)
    assert run(lines[1]).returncode == 0
    run("sed -i s/./0/ SHA256SUMS")
    assert "BAD signature" in run(lines[0]).stderr
    (folder / "SHA256SUMS").write_text(sums)


@pytest.mark.full
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_cd_of_a_release_starts(machine, release, firmware):
    """By its menu, up to the refusal of a processor without VT-x; the same medium goes on to the login in test_boot.py."""
    started = machine(iso=str(release[0] / "hornero-1.2.iso"), emulator="qemu-tcg", firmware=firmware)
    assert "Intel VT-x" in refusal(started, 400)


@pytest.mark.full
def test_stick_of_a_release_by_bios_then_by_uefi(machine, release, tmp_path):
    """A new user's first hour: key and settings onto the stick, BIOS, a guest; then the other firmware finds all again."""
    stick = tmp_path / "stick"
    subprocess.run(["cp", "--sparse=always", release[1], stick], check=True, timeout=120)
    with open(stick, "r+b") as file:
        file.truncate(2 << 30)
    settings = (TOP / "boot/settings.conf").read_text()
    put(stick, "settings.conf", settings.replace("#host_name = box-1", "host_name = nest-8").encode())
    put(stick, "authorized_keys", medium.ssh_key().with_suffix(".pub").read_bytes())
    options = {"disk": [str(stick)], "keep_disk": True, "emulator": "bochs", "memory": 2048, "limit": 5400, "patience": 60}

    first = machine(firmware="bios", **options)
    key = first.wait(READY, 2400).group(1)
    assert told(first, "hostname") == "nest-8\n"
    assert not json.loads(told(first, "hornero info --json"))["features"]["efi"]
    told(first, "vm create nest --image demo --disk 16M -m 96M && vm start nest && echo mine >/root/mine")
    told(first, f"timeout 600 sh -c '{GUEST_UP}'", timeout=900)
    told(first, "vm stop nest && vm autostart nest", timeout=300)
    power_off(first, 400)

    second = machine(firmware="uefi", **options)
    assert second.wait(READY, 2400).group(1) == key
    assert told(second, "hostname; cat /root/mine").split() == ["nest-8", "mine"]
    assert json.loads(told(second, "hornero info --json"))["features"]["efi"]
    assert told(second, "systemctl is-system-running --wait", timeout=600) == "running\n"
    row, = json.loads(told(second, "vm list --json"))
    assert (row["name"], row["state"]) == ("nest", "running")
    assert tries(stick) == 0
