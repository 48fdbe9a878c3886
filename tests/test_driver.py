# SPDX-License-Identifier: MIT
"""The driver where it must refuse: a machine without the hypervisor (`native` entry, QEMU)."""

import pytest

from bench.machine import READY

pytestmark = pytest.mark.xdist_group("native")


@pytest.fixture(scope="module")
def native(shared_machine):
    machine = shared_machine(emulator="qemu-tcg", entry="native")
    machine.wait(READY, 240)
    return machine


def test_refuses_without_hypervisor(native):
    run = native.ssh("modprobe hornero")
    assert run.returncode != 0
    assert "No such device" in run.stdout + run.stderr
    log = native.ssh("dmesg").stdout
    assert ("hornero: this kernel does not run under the Hornero hypervisor" in log)
    assert native.ssh("test -e /dev/hornero || test -e /dev/kvm").returncode == 1
    assert "hornero" not in native.ssh("cat /proc/modules").stdout


def test_refusal_leaves_nothing(native):
    """Loading again and again fails alike, without a warning of the kernel's."""
    for _ in range(3):
        assert native.ssh("modprobe hornero").returncode != 0
    log = native.ssh("dmesg").stdout
    assert "BUG:" not in log and "cut here" not in log
