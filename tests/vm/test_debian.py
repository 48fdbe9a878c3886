# SPDX-License-Identifier: MIT
"""The README's session as a whole, word for word, as somebody types it who has just logged in: the demo guest's
shell, then a Debian guest from a disk that one command made on a Debian machine, then a second login at the same
console. The guest boots by the kernel on its disk."""

import re
import subprocess

import pytest

from bench.medium import BUILD, TOP
from vm.test_reboot import start
from vm.test_session import CONTROL_PROMPT, SESSION, Login, first_half_of_the_readme

MAKE, RUN, SECOND = SESSION[SESSION.index("vm delete demo --yes") + 1:]
HOSTS = [pytest.param("kvm", marks=[pytest.mark.full, pytest.mark.xdist_group("vm-kvm")]),
         pytest.param("hornero", marks=[pytest.mark.full, pytest.mark.xdist_group("vm-hornero")])]


@pytest.fixture(scope="module")
def disk():
    """Made by the README's line; kept for the next run."""
    folder = BUILD / "debian"
    folder.mkdir(exist_ok=True)
    if not (folder / "control-domain").exists():
        (folder / "control-domain").symlink_to(TOP / "control-domain")
    if not (folder / "debian.raw").exists():
        made = subprocess.run(["sh", "-ec", MAKE], cwd=folder, capture_output=True, text=True, timeout=1800)
        assert made.returncode == 0, made.stderr[-2000:]
    return folder / "debian.raw"


def data_volume(folder, disk, name):
    """The control domain's data volume with the disk copied to it, holes and all."""
    (folder / "data").mkdir()
    subprocess.run(["cp", "--sparse=always", disk, folder / "data" / name], check=True, timeout=300)
    volume = folder / "data.img"
    with open(volume, "wb") as file:
        file.truncate(3 << 30)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "hornero-data", "-d", folder / "data", volume],
                   check=True, timeout=600)
    (folder / "data" / name).unlink()
    return volume


@pytest.mark.parametrize("kind", HOSTS)
def test_the_whole_readme_with_debian_from_a_disk_that_one_command_made(machine, kind, disk, tmp_path):
    domain = start(machine, kind, tmp_path, data_volume(tmp_path, disk, "debian.raw"), memory=3072)
    domain.patience = 900 if kind == "kvm" else 3600
    login = Login(domain)
    first_half_of_the_readme(login)
    login.enter(RUN, r"attached to web; Ctrl-\] detaches")
    login.expect(r"bootdisk: /dev/vda: /\S*vmlinuz")  # the disk's own entry
    login.expect(r"debian login: ")
    login.enter("root", r"root@debian:~# ")
    own = login.enter("uname -r; ls /boot", r"(\d[\w.-]+amd64)\r?\n(?s:.*?)vmlinuz-\1").group(1)
    assert "cloud" in own
    login.enter("systemctl is-system-running --wait; systemctl --failed --no-legend | wc -l",
                r"running\r?\n0\r?\n")
    login.enter("dd if=/dev/zero of=/root/written bs=1M count=8 conv=fsync && echo on''disk", r"ondisk\r?\n")
    login.enter("until ip addr show | grep -q 'inet 10.86'; do sleep 1; done; echo has''address", "hasaddress")
    login.enter("ls /dev/disk/by-label", r"cidata")
    second = Login(domain)
    second.enter(SECOND, r"attached to web")
    second.expect(r"debian login: ")  # from the first byte
    login.type("echo seen by bo''th\n")
    second.expect(r"seen by both")
    second.type("\x1d")
    second.expect(CONTROL_PROMPT)
    second.leave()
    assert domain.ok("vm ssh web hostname").strip() == "debian"
    login.enter("poweroff", r"web has ended: power-off by guest")
    login.leave()
    assert re.search(r"^web +stopped +1G", domain.ok("vm list"), re.M)
