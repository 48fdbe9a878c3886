# SPDX-License-Identifier: MIT
"""Linux's own KVM selftests on Hornero's driver: those of tests/kvm/selftests.txt, each a test; of the
others the list says why they do not pass."""

import re

import pytest

from bench.machine import READY
from bench.medium import BUILD, TOP

FOLDER = BUILD / "kvm" / "selftests"


def lines():
    for line in (TOP / "tests/kvm/selftests.txt").read_text().splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def listed():
    """Command line and whether it is long, of those that pass."""
    for words in lines():
        if words[0] != "-":
            long = words[1:2] == ["full:"]
            yield " ".join([words[0], *words[2 if long else 1:]]), long


def test_none_is_missing():
    """Each that the package has is named once: it passes, or there is a reason."""
    reasons = {words[1].rstrip(":"): words[2:] for words in lines() if words[0] == "-"}
    names = [command.split()[0] for command, _ in listed()] + list(reasons)
    assert sorted(names) == sorted((FOLDER / "all").read_text().split())
    assert all(reasons.values())


@pytest.mark.xdist_group("selftests")
class TestOnHornero:
    @pytest.fixture(scope="class")
    def control(self, class_machine):
        names = {command.split()[0] for command, _ in listed()}
        machine = class_machine(cpus=2, memory=2048,
                                file=[f"/selftests/{name}={FOLDER / name}" for name in names])
        machine.wait(READY, 400)
        assert machine.ssh("chmod +x /selftests/*").returncode == 0
        return machine

    @pytest.mark.parametrize("command", [
        pytest.param(command, marks=[pytest.mark.full] if long else [], id=command.split()[0])
        for command, long in listed()])
    def test_passes(self, control, command):
        run = control.ssh(f"/selftests/{command}", timeout=600)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]

    def test_kernel_has_no_complaint(self, control):
        assert not re.search(r"BUG:|cut here|Call Trace|hornero:.*(leaked|stops|owe)",
                             control.ssh("dmesg").stdout)
