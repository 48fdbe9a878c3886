# SPDX-License-Identifier: MIT
"""The driver: refused on a machine without the hypervisor, at home on one with it."""

import re

import pytest

from bench.machine import READY
from bench.medium import BUILD


def kernel_complains(log):
    return [line for line in log.splitlines()
            if any(word in line for word in ("BUG:", "cut here", "Call Trace", "Oops"))]


@pytest.fixture(scope="module")
def native(shared_machine):
    machine = shared_machine(emulator="qemu-tcg", entry="native")
    machine.wait(READY, 240)
    return machine


@pytest.mark.xdist_group("native")
def test_refuses_without_hypervisor(native):
    run = native.ssh("modprobe hornero")
    assert run.returncode != 0
    assert "No such device" in run.stdout + run.stderr
    log = native.ssh("dmesg").stdout
    assert ("hornero: this kernel does not run under the Hornero hypervisor" in log)
    assert native.ssh("test -e /dev/hornero || test -e /dev/kvm").returncode == 1
    assert "hornero" not in native.ssh("cat /proc/modules").stdout


@pytest.mark.xdist_group("native")
def test_refusal_leaves_nothing(native):
    """Loading again and again fails alike, without a warning of the kernel's."""
    for _ in range(3):
        assert native.ssh("modprobe hornero").returncode != 0
    assert kernel_complains(native.ssh("dmesg").stdout) == []


@pytest.mark.xdist_group("driver")
class TestUnderHypervisor:
    @pytest.fixture(scope="class")
    def control(self, class_machine):
        machine = class_machine(cpus=2, file=[f"/root/other-abi.ko={BUILD}/tests/other-abi.ko"])
        machine.wait(READY, 300)
        return machine

    def test_names_the_hypervisor(self, control):
        assert "on 2 CPUs, interface" in control.ssh("dmesg | grep hornero:").stdout

    def test_devices(self, control):
        assert control.ssh("test -c /dev/hornero && test -c /dev/kvm").returncode == 0

    def test_another_version_is_refused(self, control):
        run = control.ssh("rmmod hornero && insmod /root/other-abi.ko")
        assert run.returncode != 0 and "Protocol error" in run.stdout + run.stderr
        log = control.ssh("dmesg | grep hornero: | tail -n 1").stdout
        assert re.search(r"hypervisor speaks interface version \d+\.\d+, this driver version 999\.999: use the driver ", log), log
        assert control.ssh("test -e /dev/hornero || test -e /dev/kvm").returncode == 1
        assert control.ssh("modprobe hornero && test -c /dev/kvm").returncode == 0

    def test_processors_leave_and_return(self, control):
        """A CPU pays its debts and gives its call page back; the next time it gets one again."""
        online = "/sys/devices/system/cpu/cpu1/online"
        for _ in range(3):
            assert control.ssh(f"echo 0 >{online} && echo 1 >{online}").returncode == 0
        stats = control.ssh("for cpu in 0 1; do taskset $((1 << cpu)) hornero stats || exit; done")
        assert stats.returncode == 0, stats.stderr

    def test_can_be_unloaded_and_loaded(self, control):
        for _ in range(3):
            assert control.ssh("rmmod hornero && modprobe hornero").returncode == 0
        assert control.ssh("hornero info").returncode == 0

    def test_kernel_has_no_complaint(self, control):
        assert kernel_complains(control.ssh("dmesg").stdout) == []
