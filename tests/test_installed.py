# SPDX-License-Identifier: MIT
"""The packages on an installed Debian: it gains the hypervisor, boots as before or under it, and loses
it without another trace. The Debian is a disk image that installed/mkimage makes once."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from bench import medium
from bench.machine import READY
from bench.medium import TOP
from test_disk import HALTED, said, told
from test_packages import make_packages

INSTALLED = TOP / "tests/installed"
TCG = {"emulator": "qemu-tcg", "keep_disk": True, "limit": 3000, "patience": 60}
RUNNING = "systemctl is-system-running --wait; systemctl --failed --plain --no-legend"
PURGE = "apt-get purge -y hornero hornero-tools hornero-dkms"
# name, mode, owner and content of all files but logs, caches and dpkg's own lists
FILES = r"""
cd /
find . -xdev \( -path ./var/log -o -path ./var/cache -o -path ./var/lib/dpkg -o -path ./var/lib/apt \
    -o -path ./root/debs -o -path ./tmp \) -prune -o -printf '%p %y %m %U:%G %l\n' | sort
find boot etc usr var/lib/dkms -xdev -type f -print0 | sort -z | xargs -0 sha256sum
"""


class Debian:
    """A copy of a disk image; `inside` runs a command in it while no machine does."""

    def __init__(self, folder, image):
        folder.mkdir(exist_ok=True)
        self.image = folder / "debian.img"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, self.image], check=True, timeout=300)

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


@pytest.fixture(scope="module")
def plain_image():
    return subprocess.run([INSTALLED / "mkimage"], check=True, stdout=subprocess.PIPE, text=True,
                          timeout=2400).stdout.strip()


@pytest.fixture(scope="module")
def installed_image(plain_image, tmp_path_factory):
    """With the packages, and the bench's key to log in."""
    folder = tmp_path_factory.mktemp("installed")
    debian = Debian(folder, plain_image)
    debian.put(pathlib.Path("/root/.ssh/authorized_keys"), medium.ssh_key().with_suffix(".pub"))
    debian.install(folder)
    yield debian.image
    shutil.rmtree(folder)


@pytest.fixture
def debian(tmp_path, plain_image):
    yield Debian(tmp_path / "plain", plain_image)
    shutil.rmtree(tmp_path / "plain")  # of gigabytes


@pytest.fixture
def installed(tmp_path, installed_image):
    yield Debian(tmp_path / "installed", installed_image)
    shutil.rmtree(tmp_path / "installed")


def entries(menu):
    """What the menu offers, submenus' contents too."""
    return re.findall(r"^\s*menuentry '([^']*)'", menu, re.MULTILINE)


@pytest.mark.full
def test_packages_come_and_go_without_a_trace(debian, tmp_path):
    before, menu = debian.told(FILES), debian.told("cat /boot/grub/grub.cfg")
    output = debian.install(tmp_path)
    assert "Found Hornero hypervisor: /boot/hornero.elf" in output
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

    refused = debian.inside("vm net create lan --uplink eth0")
    assert refused.returncode == 4 and "systemd.netdev(5)" in refused.stderr

    debian.told("hornero boot --default && vm create kept --image demo --net none")
    assert 'set default="hornero"' in debian.told("cat /boot/grub/grub.cfg")
    output = debian.told(PURGE)
    assert "/etc/hornero is kept (1 files" in output, output
    kept = {"./etc/hornero", "./etc/hornero/vms", "./etc/hornero/vms/kept.conf"}
    left = {line for line in set(debian.told(FILES).splitlines()) ^ set(before.splitlines())
            if line.split()[0] not in kept and not line.endswith(" etc/hornero/vms/kept.conf")}
    assert not left
    assert debian.told("cat /boot/grub/grub.cfg") == menu


@pytest.mark.full
def test_kernel_update_takes_the_module_along(installed):
    """A kernel that comes later has its module built and its entry made by Debian's own hooks; one whose
    module does not build has no entry."""
    installed.told("""set -e
        v=$(ls /lib/modules)
        for n in $v-next $v-none; do
            cp -a /lib/modules/$v /lib/modules/$n
            rm -r /lib/modules/$n/updates
            [ $n = $v-next ] || rm /lib/modules/$n/build
            for f in vmlinuz config System.map; do cp /boot/$f-$v /boot/$f-$n; done
        done""")

    def hooks(kind, suffix):
        done = installed.inside(f"n=$(ls /lib/modules | head -n 1)-{suffix} && "
                             f"run-parts --arg=$n --arg=/boot/vmlinuz-$n /etc/kernel/{kind}.d 2>&1")
        return done.stdout

    def ours():
        return [title.rpartition("-")[2] for title in entries(installed.told("cat /boot/grub/grub.cfg"))
                if "Hornero hypervisor and Linux" in title]

    hooks("postinst", "next")
    assert ours() == ["next", "amd64"]
    assert "No Hornero entry for Linux" in hooks("postinst", "none") and ours() == ["next", "amd64"]
    installed.told("rm /boot/vmlinuz-*-next")
    hooks("prerm", "next")
    hooks("postrm", "next")
    assert ours() == ["amd64"]


def power_off(machine):
    machine.ssh("systemctl poweroff")
    machine.wait_exit(600)


@pytest.mark.full
def test_installed_debian_is_the_control_domain_when_asked(machine, installed):
    plain = machine(disk=[str(installed.image)], **TCG)
    plain.wait(READY, 900)
    assert told(plain, RUNNING).split() == ["running"]
    assert told(plain, "hornero boot") == "by default: Linux, without the hypervisor\n"
    assert plain.ssh("hornero present").returncode == 3
    told(plain, "hornero boot --once")
    power_off(plain)

    under = machine(disk=[str(installed.image)], emulator="bochs", keep_disk=True, memory=2048, limit=5400,
                    patience=60)
    under.wait(READY, 3000)
    assert told(under, RUNNING).split() == ["running"]
    assert json.loads(told(under, "hornero info --json"))["cpus"] == 1
    assert "hornero_tries=0" in told(under, "grub-editenv list").split()
    told(under, "test -c /dev/kvm && vm create kept --image demo && vm start kept")
    scope = told(under, "systemctl list-units --plain --no-legend 'hornero-vm-kept-*.scope'").split()[0]
    assert told(under, f"systemctl show --value -p Slice {scope}") == "hornero-guests.slice\n"
    uname = under.ssh("vm ssh kept uname -n", timeout=900)
    assert uname.stdout == "kept\n", uname.stderr
    told(under, "vm autostart kept && systemctl stop hornero-vms.service")
    assert json.loads(told(under, "vm list --json"))[0]["state"] == "stopped"
    assert "power button pressed" in told(under, "vm logs kept")
    power_off(under)
    assert "vms/kept.conf" in installed.told("find /etc/hornero -type f")


@pytest.mark.full
def test_starts_in_vain_lead_back_to_linux_and_a_purge_takes_all_away(machine, installed, debian):
    """On a processor without VT-x each start under the hypervisor is in vain."""
    before, menu = debian.told(FILES), debian.told("cat /boot/grub/grub.cfg")
    installed.told("hornero boot --default")
    started = machine(disk=[str(installed.image)], **TCG)
    seen = 0
    for _ in range(3):
        started.wait(HALTED, 600, start=seen)
        seen = said(started)
        started.qmp("system_reset")
    started.wait("Hornero did not come up three times in a row", 300, start=seen)
    started.wait(READY, 900, start=seen)
    state = told(started, "hornero boot")
    assert "by default: Linux under the hypervisor" in state and "three times in a row" in state
    told(started, "hornero boot --default")
    assert "three times" not in told(started, "hornero boot")
    started.ssh("vm create kept --image demo --net none")
    purged = started.ssh(PURGE, timeout=900)
    assert purged.returncode == 0, purged.stderr
    assert "/etc/hornero is kept (1 files" in purged.stdout
    power_off(started)
    assert "hornero" not in installed.told("grub-editenv list")
    # devices have other names when GRUB's menu is made in the image
    installed.told("update-grub")
    assert installed.told("cat /boot/grub/grub.cfg") == menu
    hornero = [line for line in set(installed.told(FILES).splitlines()) ^ set(before.splitlines())
               if "hornero" in line and "etc/hornero" not in line]
    assert not hornero


# ---- with UEFI and NetworkManager


@pytest.fixture(scope="module")
def uefi_image(tmp_path_factory):
    """With the packages and the bench's key, and how the menu was before."""
    plain = subprocess.run([INSTALLED / "mkimage", "--uefi"], check=True, stdout=subprocess.PIPE, text=True,
                           timeout=2400).stdout.strip()
    folder = tmp_path_factory.mktemp("uefi")
    debian = Debian(folder, plain)
    before, menu = debian.told(FILES), debian.told("cat /boot/grub/grub.cfg")
    debian.put(pathlib.Path("/root/.ssh/authorized_keys"), medium.ssh_key().with_suffix(".pub"))
    debian.install(folder)
    yield debian.image, before, menu
    shutil.rmtree(folder)


@pytest.fixture
def uefi(tmp_path, uefi_image):
    debian = Debian(tmp_path / "uefi", uefi_image[0])
    debian.before, debian.menu = uefi_image[1:]
    yield debian
    shutil.rmtree(tmp_path / "uefi")


@pytest.mark.full
def test_second_kernel_package_comes_and_goes(uefi):
    """Debian's own packages of another kernel: DKMS builds the module for it, so the menu has it."""
    def ours():
        return [title.rpartition("Linux ")[2] for title in entries(uefi.told("cat /boot/grub/grub.cfg"))
                if "Hornero hypervisor and Linux" in title]

    first, = ours()
    uefi.told("dpkg --force-depends -i /root/kernel/*.deb 2>&1")
    assert len(ours()) == 2 and first in ours()
    second, = set(ours()) - {first}
    assert "cloud" in second
    uefi.told(f"modinfo -k {second} hornero && dkms status -k {second} | grep -q installed")
    uefi.told(f"apt-get purge -y linux-image-{second} $(cd /root/kernel && ls | sed 's/_.*//' | grep headers) 2>&1")
    assert ours() == [first]


@pytest.mark.full
def test_by_uefi_with_two_cpus_and_network_manager(machine, uefi):
    uefi.told("hornero boot --default")
    under = machine(disk=[str(uefi.image)], emulator="bochs", firmware="uefi", cpus=2, keep_disk=True, memory=2048,
                    limit=7200, patience=60)
    under.wait(READY, 4000)
    assert told(under, RUNNING, timeout=600).split() == ["running"]
    info = json.loads(told(under, "hornero info --json"))
    assert (info["cpus"], info["cpus_present"]) == (2, 2) and info["features"]["efi"]
    assert "hornero_tries=0" in told(under, "grub-editenv list").split()
    assert told(under, "hornero boot") == "by default: Linux under the hypervisor\n"
    assert "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c" in told(under, "ls /sys/firmware/efi/efivars")
    told(under, "vm create kept --image demo && vm start kept", timeout=300)
    uname = under.ssh("vm ssh kept uname -n", timeout=900)
    assert uname.stdout == "kept\n", uname.stderr
    devices = dict(line.split(":") for line in told(under, "nmcli -g DEVICE,STATE device").splitlines())
    assert devices.pop("eth0") == "connected" and set(devices) > {"lo", "nat0"}
    assert {state for name, state in devices.items() if name == "nat0" or name.startswith("vm-")} == {"unmanaged"}
    told(under, "vm stop kept; hornero boot --linux", timeout=300)
    assert told(under, "hornero boot") == "by default: Linux, without the hypervisor\n"
    told(under, "vm delete kept --yes --disks")
    power_off(under)
    assert 'set default="0"' in uefi.told("cat /boot/grub/grub.cfg")
    uefi.told(PURGE)
    assert uefi.told("cat /boot/grub/grub.cfg") == uefi.menu
    left = {line.split()[0] for line in set(uefi.told(FILES).splitlines()) ^ set(uefi.before.splitlines())
            if "hornero" in line}
    assert left == {"./var/lib/hornero", "./var/lib/hornero/ssh", "./var/lib/hornero/ssh/vm"}  # `vm ssh`'s key is data


def put_debians_signed_loaders(image):
    """Where grub-install puts them for a disk without an entry in the firmware's list."""
    cache = pathlib.Path(os.environ.get("CACHE") or
                         pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hornero")
    signed = cache / "debian-secure-boot"
    subprocess.run([TOP / "control-domain/image/fetch", signed, "shim-signed", "grub-efi-amd64-signed"], check=True,
                   timeout=600)
    where = f"{image}@@1M"
    for name, file in (("BOOTX64.EFI", signed / "usr/lib/shim/shimx64.efi.signed"),
                       ("grubx64.efi", signed / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")):
        subprocess.run(["mcopy", "-o", "-i", where, file, f"::/EFI/BOOT/{name}"], check=True, timeout=60)
    subprocess.run(["mmd", "-i", where, "::/EFI/debian"], check=True, timeout=60)
    subprocess.run(["mcopy", "-i", where, "-", "::/EFI/debian/grub.cfg"], check=True, timeout=60, text=True,
                   input="search.fs_label debian root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n")


@pytest.mark.full
def test_secure_boot_gets_no_entry(machine, uefi):
    """By Debian's own shim and GRUB, with the keys of machines as they are sold. The menu was made when Secure Boot
    was off, and the hypervisor is its default: what could not start is left out all the same."""
    uefi.told("hornero boot --default")
    assert "Hornero hypervisor" in uefi.told("cat /boot/grub/grub.cfg")
    put_debians_signed_loaders(uefi.image)
    started = machine(disk=[str(uefi.image)], firmware="uefi", enrol="microsoft", **TCG)
    started.wait("Secure Boot is on, so GRUB cannot start Hornero: Linux starts without it", 300)
    started.wait(READY, 900)
    assert "Secure boot enabled" in told(started, "dmesg")
    check = started.ssh("hornero check")
    assert check.returncode == 5 and re.search(r"Secure Boot off .*no, it is on", check.stdout), check.stdout
    assert "Secure Boot is on: no Hornero entries" in told(started, "update-grub 2>&1", timeout=300)
    assert not [title for title in entries(told(started, "cat /boot/grub/grub.cfg")) if "Hornero" in title]
    for option in ("--once", "--default"):
        refused = started.ssh(f"hornero boot {option}")
        assert refused.returncode == 1 and "Secure Boot" in refused.stderr
    told(started, "hornero boot --linux", timeout=300)
