# SPDX-License-Identifier: MIT
"""A disk as Debian's cloud images have it (mkcloud): its own kernel boots by GRUB's menu, cloud-init sets it up by
what `vm create --cloud-init` was given, one logs in by `vm ssh` and on the console, which is its serial port."""

import re
import subprocess

import pytest

from bench.medium import TOP
from vm.test_debian import HOSTS, data_volume
from vm.test_reboot import start
from vm.test_session import Login

USER_DATA = r"#cloud-config\nlocale: C.UTF-8\npassword: seen-7\nchpasswd: {expire: false}\nruncmd:\n- [sh, -c, echo by the owner >/root/told]\n"


@pytest.fixture(scope="module")
def disk():
    made = subprocess.run([TOP / "tests/vm/mkcloud"], capture_output=True, text=True, timeout=3600)
    assert made.returncode == 0, made.stderr[-2000:]
    return made.stdout.strip()


@pytest.mark.parametrize("kind", HOSTS)
def test_a_cloud_image_of_debian(machine, kind, disk, tmp_path):
    domain = start(machine, kind, tmp_path, data_volume(tmp_path, disk, "cloud.raw"), memory=3072)
    domain.patience = 900 if kind == "kvm" else 3600
    domain.ok(f"printf '{USER_DATA}' >user.yaml")
    login = Login(domain)
    login.enter("vm create cloud --disk /var/lib/hornero/cloud.raw --cloud-init user.yaml -m 1G", "'cloud' is defined")
    login.enter("vm run cloud", r"attached to cloud; Ctrl-\] detaches")
    login.expect(r"bootdisk: /dev/vda1: /boot/vmlinuz-\S+-cloud-amd64 root=PARTUUID=\S+ ro console=tty0 console=ttyS0")
    login.expect(r"Cloud-init v\. \S+ finished at")  # until then it writes into the console's prompt
    # the user's key came from the control domain
    assert "status: done" in domain.ok("vm ssh --user debian cloud cloud-init status --wait")
    assert domain.ok("vm ssh --user debian cloud hostname").strip() == "cloud"
    assert domain.ok("vm ssh --user debian cloud sudo cat /root/told") == "by the owner\n"
    login.enter("", "cloud login: ")
    login.enter("debian", "Password: ")
    login.enter("seen-7", r"debian@cloud:~\$ ")
    assert "cloud-amd64" in login.enter("uname -r", r"[\r\n](\d\S+)\r?\n").group(1)
    login.enter("systemctl is-system-running --wait; systemctl --failed --no-legend | wc -l", r"running\r?\n0\r?\n")
    login.enter("findmnt -no SOURCE,FSTYPE /boot/efi", r"/dev/vda15 +vfat")
    login.enter("sudo poweroff", r"cloud has ended: power-off by guest")
    login.leave()
    assert re.search(r"^cloud +stopped +1G", domain.ok("vm list"), re.M)
