# SPDX-License-Identifier: MIT
"""What outlives the control domain's reboot: definitions, disks, autostart in its order; and that guests
are asked to power off first."""

import re
import subprocess

import pytest

from bench.machine import DEFAULTS, READY
from bench.medium import TOP, make_iso
from vm.test_session import HOSTS, INITRAMFS, KVM, MODULES, PATIENCE, Domain

# in the guest: what init's SIGTERM leaves on its disk before the power goes off
MARK = "sh -c 'trap \"echo orderly >/dev/vda; sync; exit\" TERM; while :; do usleep 50000; done' &"


def data_volume(folder):
    """A file system for the control domain's data."""
    volume = folder / "data.img"
    with open(volume, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "hornero-data", volume], check=True, timeout=120)
    return volume


def start(machine, kind, folder, volume, **options):
    """A control domain with that volume, `/dev/kvm` in place when its start-up looks for VMs."""
    options = {"disk": [str(volume)], "keep_disk": True, **options}
    if kind == "hornero":
        iso = make_iso(folder, {**DEFAULTS, "initramfs": INITRAMFS})
        started = machine(cpus=2, limit=6000, iso=str(iso), **options)
        started.wait(READY, 1200)
        return Domain(started, kind)
    script = (TOP / "control-domain/image/root/usr/lib/hornero/boot").read_text()
    boot = folder / "boot"
    boot.write_text(script.replace("vm autostart", f"insmod /kvm/{'; insmod /kvm/'.join(MODULES)}\nvm autostart"))
    boot.chmod(0o755)
    files = [f"/usr/lib/hornero/boot={boot}"] + [f"/kvm/{name}={KVM / name}" for name in MODULES]
    iso = make_iso(folder, {**DEFAULTS, "initramfs": INITRAMFS, "entry": "native", "file": files})
    started = machine(emulator="qemu-tcg", entry="native", cpu_model="max,+svm", iso=str(iso), limit=1500,
                      **options)
    started.wait(READY, 240)
    domain = Domain(started, kind)
    domain.ok("until [ -e /dev/kvm ]; do sleep 1; done")
    return domain


@pytest.mark.parametrize("kind", HOSTS)
def test_autostart_in_order_and_orderly_stop(machine, kind, tmp_path):
    domain = start(machine, kind, tmp_path, data_volume(tmp_path))
    said = domain.ok("vm create late --image demo -m 96M -n none -d 1M --autostart 20")
    assert "lost at reboot" not in said
    domain.ok("vm create early --image demo -m 96M -n none -d 1M; vm autostart early 5")
    domain.ok("vm create never --image demo -m 96M -n none")
    domain.ok("vm start late early never")
    for name in ("late", "early"):
        console = domain.console(f"vm console {name}")
        console.expect(rf"{name}:~# ")
        console.run(MARK.removesuffix(" &") + " & true")
        console.detach()
    seen = len(domain.machine.serial().replace("\r", ""))
    domain.run("reboot")
    domain.machine.wait(r"'(early|late|never)' is off", domain.patience, start=seen)
    domain.machine.wait(READY, domain.patience + 240, start=seen)
    domain.ok("until [ -e /run/autostart.log ] && [ $(grep -c runs /run/autostart.log) = 2 ]; do sleep 1; done")
    log = domain.ok("cat /run/autostart.log")
    assert log.index("'early' runs") < log.index("'late' runs")
    states = dict(re.findall(r"^(\w+) +(running|stopped)", domain.ok("vm list"), re.M))
    assert states == {"early": "running", "late": "running", "never": "stopped"}
    for name in ("early", "late"):
        assert domain.ok(f"head -c 8 /var/lib/hornero/vms/{name}/disk0.raw") == "orderly\n"
