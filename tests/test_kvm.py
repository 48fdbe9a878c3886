# SPDX-License-Identifier: MIT
"""kvm-check (tests/kvm): the KVM API from outside. Here on Linux's own KVM, which shows that its
checks are right; what they find on Hornero's driver is then the driver's."""

import re

import pytest

from bench.machine import READY
from bench.medium import BUILD

KVM = BUILD / "kvm"


def check_results(run):
    """Name -> passed, from kvm-check's report."""
    return {name: word == "ok" for word, name in re.findall(r"^(ok|FAIL) ([^:\n]+)", run.stdout,
                                                            re.MULTILINE)}


@pytest.mark.xdist_group("native-kvm")
def test_checks_pass_on_stock_kvm(machine):
    modules = ["irqbypass.ko", "kvm.ko", "ccp.ko", "kvm-amd.ko"]
    files = {f"/kvm/{name}": KVM / "modules" / name for name in modules}
    started = machine(emulator="qemu-tcg", entry="native", cpus=1,
                      file=[f"{path}={source}" for path, source in files.items()]
                      + [f"/kvm/kvm-check={KVM / 'kvm-check'}"])
    started.wait(READY, 240)
    for name in modules:
        assert started.ssh(f"insmod /kvm/{name}").returncode == 0, name
    run = started.ssh("chmod +x /kvm/kvm-check && /kvm/kvm-check", timeout=240)
    assert [name for name, passed in check_results(run).items() if not passed] == []
    assert run.returncode == 0, run.stdout[-4000:]
    assert len(check_results(run)) > 50
