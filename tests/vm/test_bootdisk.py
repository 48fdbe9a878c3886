# SPDX-License-Identifier: MIT
"""What `--boot disk` reads of a disk: the script that runs inside the guest, with a folder for a disk."""

import subprocess

import pytest

from bench.medium import TOP

SCRIPT = (TOP / "control-domain/demo/root/usr/lib/demo/bootdisk").read_text().split("modprobe -q vfat")[0]

GRUB = """
set default=0
menuentry 'Linux' --class gnu {
	search --set=root
	linux	/boot/vmlinuz-6 root=LABEL=x ro $extra quiet
	initrd	/boot/microcode.cpio /boot/initrd.img-6 $more
}
menuentry 'Old' {
	linux /boot/vmlinuz-5 ro
	initrd /boot/initrd.img-5
}
"""
BLS = """title Linux
linux /vmlinuz-6
initrd /microcode.cpio
initrd /initrd.img-6 $tuned_initrd
options root=LABEL=x ro $tuned_params
"""


class Disk:
    def __init__(self, folder):
        self.folder = folder / "mnt"
        self.run = folder / "run"
        self.run.mkdir()
        self.script = SCRIPT.replace("/mnt", str(self.folder)).replace("/run/", f"{self.run}/")

    def add(self, path, content=""):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def sh(self, command):
        done = subprocess.run(["busybox", "sh", "-c", self.script + command], capture_output=True, text=True)
        assert not done.stderr
        return done.returncode, done.stdout

    def entry(self):
        return self.sh(f"find_entry {self.folder} /dev/vda")[1].splitlines()


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


def test_the_first_entry_of_grub_with_all_of_its_initrds(disk):
    disk.add("boot/grub/grub.cfg", GRUB)
    assert disk.entry() == ["/boot/vmlinuz-6", "/boot/microcode.cpio /boot/initrd.img-6", "root=LABEL=x ro quiet"]


def test_an_entry_of_the_boot_loader_specification(disk):
    disk.add("loader/entries/a-5.conf", "linux /vmlinuz-5\n")
    disk.add("loader/entries/a-6.conf", BLS)
    kernel, initrds, options = disk.entry()
    assert (kernel, initrds, options.split()) == \
        ("/vmlinuz-6", "/microcode.cpio /initrd.img-6", ["root=LABEL=x", "ro"])


def test_the_links_of_debian(disk):
    disk.add("boot/vmlinuz-6")
    (disk.folder / "vmlinuz").symlink_to("boot/vmlinuz-6")
    assert disk.entry() == ["/vmlinuz", "", "root=/dev/vda ro"]
    (disk.folder / "initrd.img").symlink_to("boot/initrd.img-6")
    assert disk.entry() == ["/vmlinuz", "/initrd.img", "root=/dev/vda ro"]


def test_initrds_are_put_behind_each_other(disk):
    disk.add("boot/one", "12345")
    disk.add("boot/two", "abcd")
    assert disk.sh("gather") == (0, "")
    assert disk.sh("gather /boot/two") == (0, f"{disk.folder}/boot/two\n")
    assert disk.sh("gather /boot/one /boot/two") == (0, f"{disk.run}/initrd\n")
    assert (disk.run / "initrd").read_bytes() == b"12345\0\0\0abcd"
    assert disk.sh("gather /boot/one /boot/three")[0] == 1
