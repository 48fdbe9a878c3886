# SPDX-License-Identifier: MIT
"""The packages on an installed Debian: it gains the hypervisor, boots as before or under it, and loses
it without another trace. The Debian is a disk image that installed/mkimage makes once."""

import pathlib
import re
import shutil
import subprocess

import pytest

from bench import medium
from bench.medium import TOP
from test_packages import make_packages

INSTALLED = TOP / "tests/installed"
PURGE = "apt-get purge -y hornero hornero-tools hornero-dkms"
# name, mode, owner and content of all files but logs, caches and dpkg's own lists
FILES = r"""
cd /
find . -xdev \( -path ./var/log -o -path ./var/cache -o -path ./var/lib/dpkg -o -path ./var/lib/apt \
    -o -path ./root/debs -o -path ./tmp \) -prune -o -printf '%p %y %m %U:%G %l\n' | sort
find boot etc usr var/lib/dkms -xdev -type f -print0 | sort -z | xargs -0 sha256sum
"""


class Debian:
    """A copy of the disk image; `inside` runs a command in it while no machine does."""

    def __init__(self, folder):
        made = subprocess.run([INSTALLED / "mkimage"], check=True, stdout=subprocess.PIPE, text=True,
                              timeout=2400)
        self.image = folder / "debian.img"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", made.stdout.strip(), self.image],
                       check=True, timeout=300)

    def inside(self, script, **more):
        return subprocess.run([INSTALLED / "inside", self.image, "sh", "-c", script],
                              capture_output=True, text=True, timeout=900, **more)

    def told(self, script, **more):
        done = self.inside(script, **more)
        assert done.returncode == 0, f"`{script}` said: {done.stdout}{done.stderr}"
        return done.stdout

    def put(self, path, file):
        self.told(f"mkdir -p {path.parent} && cat >{path}", stdin=open(file, "rb"))

    def install(self, folder):
        for package in make_packages(folder).values():
            self.put(pathlib.Path("/root/debs") / package.name, package)
        return self.told("apt-get install -y /root/debs/*.deb 2>&1")


@pytest.fixture
def debian(tmp_path):
    yield Debian(tmp_path)
    shutil.rmtree(tmp_path)  # of gigabytes


def entries(menu):
    """What the menu offers, submenus' contents too."""
    return re.findall(r"^\s*menuentry '([^']*)'", menu, re.MULTILINE)


@pytest.mark.full
def test_packages_come_and_go_without_a_trace(debian, tmp_path):
    before, menu = debian.told(FILES), debian.told("cat /boot/grub/grub.cfg")
    said = debian.install(tmp_path)
    assert "Found Hornero hypervisor: /boot/hornero.elf" in said
    assert re.search(r"^hornero/1.2, (\S+), x86_64: installed$", debian.told("dkms status"), re.MULTILINE)
    debian.told("modinfo -k $(ls /lib/modules) hornero")

    now = debian.told("cat /boot/grub/grub.cfg")
    ours = [title for title in entries(now) if "Hornero" in title]
    assert ours[0] == "Debian GNU/Linux, with Hornero hypervisor" and len(ours) == 2
    assert entries(now)[0] == "Debian GNU/Linux"
    without = re.sub(r"\n### BEGIN /etc/grub.d/20_linux_hornero ###.*### END /etc/grub.d/20_linux_hornero ###\n", "",
                     now, flags=re.DOTALL)
    assert without == menu
    assert debian.told("hornero boot") == "by default: Linux, without the hypervisor\n"
    for unit in ("hornero", "hornero-up", "hornero-vms"):
        assert debian.told(f"systemctl is-enabled {unit}").strip() == "enabled"
    debian.told("systemd-analyze verify --man=no hornero.service hornero-up.service hornero-vms.service")

    debian.told("hornero boot --default && vm create kept --image demo --net none")
    assert 'set default="hornero"' in debian.told("cat /boot/grub/grub.cfg")
    said = debian.told(PURGE)
    assert "/etc/hornero is kept (1 files" in said, said
    kept = {"./etc/hornero", "./etc/hornero/vms", "./etc/hornero/vms/kept.conf"}
    left = {line for line in set(debian.told(FILES).splitlines()) ^ set(before.splitlines())
            if line.split()[0] not in kept and not line.endswith(" etc/hornero/vms/kept.conf")}
    assert not left
    assert debian.told("cat /boot/grub/grub.cfg") == menu


@pytest.mark.full
def test_kernel_update_takes_the_module_along(debian, tmp_path):
    """A kernel that comes later has its module built and its entry made by Debian's own hooks; one whose
    module does not build has no entry."""
    debian.install(tmp_path)
    debian.told("""set -e
        v=$(ls /lib/modules)
        for n in $v-next $v-none; do
            cp -a /lib/modules/$v /lib/modules/$n
            rm -r /lib/modules/$n/updates
            [ $n = $v-next ] || rm /lib/modules/$n/build
            for f in vmlinuz config System.map; do cp /boot/$f-$v /boot/$f-$n; done
        done""")

    def hooks(kind, suffix):
        done = debian.inside(f"n=$(ls /lib/modules | head -n 1)-{suffix} && "
                             f"run-parts --arg=$n --arg=/boot/vmlinuz-$n /etc/kernel/{kind}.d 2>&1")
        return done.stdout

    def ours():
        return [title.rpartition("-")[2] for title in entries(debian.told("cat /boot/grub/grub.cfg"))
                if "Hornero hypervisor and Linux" in title]

    hooks("postinst", "next")
    assert ours() == ["next", "amd64"]
    assert "No Hornero entry for Linux" in hooks("postinst", "none") and ours() == ["next", "amd64"]
    debian.told("rm /boot/vmlinuz-*-next")
    hooks("prerm", "next")
    hooks("postrm", "next")
    assert ours() == ["amd64"]
