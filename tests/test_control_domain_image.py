# SPDX-License-Identifier: MIT
"""The initramfs as a file: the same bytes whenever and wherever it is built, small where tests boot
it, complete where people do."""

import os
import pathlib
import pty
import re
import subprocess

import pytest

from bench import image
from bench.medium import BUILD, TOP

IMAGE = BUILD / "control-domain"


def unpacked(path):
    """The compressed archive at the start of an initramfs."""
    run = subprocess.run(["zstd", "-dcq", path], capture_output=True, timeout=60)
    assert run.stdout.startswith(b"070701"), run.stderr
    return run.stdout


def listing(path):
    """Names in an initramfs."""
    archive = unpacked(path)
    return subprocess.run(["cpio", "-t", "--quiet"], input=archive, capture_output=True,
                          check=True, timeout=60).stdout.decode().split()


def test_same_input_gives_the_same_bytes(tmp_path):
    # what a make that runs these tests left in the environment would change what this one prints
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith("MAKE") and name != "MFLAGS"}
    command = subprocess.run(["make", f"BUILD={BUILD.relative_to(TOP)}", "-n", "-W", "control-domain/image/mkinitramfs",
                              str((IMAGE / "initramfs").relative_to(TOP))], cwd=TOP, timeout=60,
                             capture_output=True, text=True, check=True, env=clean).stdout
    line = re.search(r"^control-domain/image/mkinitramfs (?:.|\\\n)*", command, re.MULTILINE).group(0)
    words = line.replace("\\\n", " ").split()
    words[words.index("--output") + 1] = str(tmp_path / "again")
    subprocess.run(words, cwd=TOP, check=True, timeout=120)
    assert (tmp_path / "again").read_bytes() == (IMAGE / "initramfs").read_bytes()


@pytest.fixture(scope="module")
def full_image():
    return listing(IMAGE / "initramfs-full")


def test_small_image_is_small():
    assert (IMAGE / "initramfs").stat().st_size < 15 << 20


DRIVERS = (
    "drivers/net/ethernet", "drivers/net/phy", "drivers/net/usb", "drivers/ata", "drivers/nvme", "drivers/scsi",
    "drivers/message", "drivers/block", "drivers/mmc", "drivers/usb/storage", "drivers/md",
    "drivers/pci/controller", "drivers/nvdimm", "drivers/memstick", "drivers/net/hyperv",
)


def drivers(folder):
    """The modules that the kernel has there, {name in lib/modules/VERSION/kernel: file}."""
    kernel, = image.make_variables("KERNEL")
    release, = (pathlib.Path(kernel) / "lib/modules").iterdir()
    found = {str(path.relative_to(release / "kernel")): path for path in (release / "kernel" / folder).rglob("*.ko")}
    assert found
    return found


@pytest.mark.parametrize("folder", DRIVERS)
def test_image_for_people_has_every_driver(full_image, folder):
    """Every network card, disk controller and kind of disk that the kernel has a module for."""
    packed = {name.split("/kernel/", 1)[1] for name in full_image if "/kernel/" in name and name.endswith(".ko")}
    assert set(drivers(folder)) - packed == set()


def test_guests_come_with_all_images_but_the_small_one():
    assert not [name for name in listing(IMAGE / "initramfs") if "images/demo/" in name]
    guests = (IMAGE / "guests.cpio").read_bytes()
    assert b"usr/lib/hornero/images/demo/kernel" in guests
    for name in ("initramfs-vm", "initramfs-full"):
        image = (IMAGE / name).read_bytes()
        assert image.rstrip(b"\0").endswith(guests.rstrip(b"\0"))
        assert image.rindex(guests[:64]) % 4 == 0


def test_everything_belongs_to_root_and_no_key_is_inside():
    archive = unpacked(IMAGE / "initramfs")
    lines = subprocess.run(["cpio", "-tvn", "--quiet"], input=archive,
                           capture_output=True, check=True, timeout=60).stdout.decode().splitlines()
    assert len(lines) > 300
    assert {tuple(line.split()[2:4]) for line in lines} == {("0", "0")}
    assert not [line for line in lines if re.search(r"authorized_keys|/ssh/|id_[a-z0-9]+$", line)]


@pytest.mark.parametrize("name,program", [("ntp", "ntpd"), ("sshd", "dropbear")])
def test_the_log_of_a_server_stays_small(tmp_path, name, program):
    """It runs for as long as the machine does, and writes a line for whoever asks it; its log lies in memory."""
    folder = TOP / "control-domain/image/root/usr/lib/hornero"
    for file in (name, "functions"):
        script = (folder / file).read_text()
        for place in ("/run/", "/var/", "/etc/", "/usr/lib/hornero/"):
            script = script.replace(place, f"{tmp_path}{place}")
        (tmp_path / "usr/lib/hornero").mkdir(parents=True, exist_ok=True)
        (tmp_path / "usr/lib/hornero" / file).write_text(script)
    for folder in ("run", "etc"):
        (tmp_path / folder).mkdir()
    (tmp_path / "run/ready").touch()
    for helper in ("dropbearkey", "killall", "agetty"):
        (tmp_path / helper).symlink_to("/bin/true")
    (tmp_path / program).write_text("#!/bin/sh\necho 1 >$8\nfor i in $(seq 1500); do "
                                    "echo $i Child connection from 192.0.2.17:38211 once more >&2; done\n")
    (tmp_path / program).chmod(0o755)
    # whoever writes the log holds our pipe
    subprocess.run(["sh", tmp_path / "usr/lib/hornero" / name], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True,
                   timeout=120, capture_output=True)
    new, = (tmp_path / "run").glob("*d.log")
    old = new.with_name(new.name + ".1")
    assert new.read_text().endswith("1500 Child connection from 192.0.2.17:38211 once more\n")
    assert new.stat().st_size < 66_000 and 65_000 < old.stat().st_size < 66_000


def test_a_report_shows_how_far_it_is(tmp_path):
    """It takes its seconds; on a terminal one sees them pass, a script sees the file's name alone."""
    main, side = pty.openpty()
    report = TOP / "control-domain/hornero/report"
    with os.fdopen(main, "rb", 0) as terminal:
        made = subprocess.run([report, tmp_path / "r.tar.gz"], stdout=subprocess.PIPE, stderr=side, timeout=120)
        os.close(side)
        seen = b""
        while chunk := read_or_nothing(terminal):
            seen += chunk
    assert made.returncode == 0 and made.stdout.decode() == f"{tmp_path}/r.tar.gz\n"
    assert b"\rcollecting dmesg.txt\033[K" in seen and seen.endswith(b"\r\033[K")


def read_or_nothing(terminal):
    """The end of a terminal that nobody holds is an error."""
    try:
        return terminal.read(4096)
    except OSError:
        return b""
