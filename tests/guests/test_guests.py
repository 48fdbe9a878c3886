# SPDX-License-Identifier: MIT
"""Bare-metal test guests: as virtual machines under the hypervisor, and on the bare emulated machine,
which shows that their expectations are right. One machine for all; a test is a guest's run."""

import json
import re
import shlex

import pytest

from bench.machine import READY
from bench.medium import BUILD

GUESTS = ["long_mode", "apic", "modes", "hostile", "neighbour", "smp"]
LINE = re.compile(r"^(ok  |FAIL) (.*)$", re.MULTILINE)
SUMMARY = re.compile(r"^SUMMARY: (\d+) tests, (\d+) failures$", re.MULTILINE)
SECONDS = 240
POWERED_OFF, CRASHED, KILLED = 0, 3, 4  # exit statuses of vmm


def judge(text):
    """Fails with the lines that say FAIL, or with the end of a run that has no summary."""
    text = text.replace("\r", "")
    summary = SUMMARY.search(text)
    assert summary, f"no summary; it ended so:\n{text[-2000:]}"
    lines = LINE.findall(text)
    assert [what for verdict, what in lines if verdict == "FAIL"] == []
    assert int(summary[1]) == len(lines) > 0 and summary[2] == "0"


def options(guest, name, cmdline="", cpus=1, memory=16):
    return (f"--name {name} --memory {memory}M --cpus {cpus} --kernel /guests/{guest}.elf "
            f"--console stdio --cmdline {shlex.quote(cmdline or 'none')}")


class Control:
    def __init__(self, machine):
        self.machine = machine

    def pool(self):
        run = self.machine.ssh("hornero info --json")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)["memory"]["pool_free_bytes"]

    def guest(self, guest, **more):
        """Runs one to its end; (output, exit status)."""
        run = self.machine.ssh(f"timeout {SECONDS} vmm {options(guest, guest, **more)} </dev/null",
                               timeout=SECONDS + 60)
        return run.stdout + run.stderr, run.returncode


@pytest.fixture(scope="class")
def control(class_machine):
    machine = class_machine(cpus=2, memory=1024, limit=1800,
                            file=[f"guests/{name}.elf={BUILD}/guests/{name}.elf" for name in GUESTS])
    machine.wait(READY, 600)
    return Control(machine)


@pytest.fixture
def unharmed(control):
    """The hypervisor answers and its pool is the same afterwards."""
    before = control.pool()
    yield
    assert control.pool() == before


@pytest.mark.full
@pytest.mark.xdist_group("guests")
@pytest.mark.usefixtures("unharmed")
class TestUnderHypervisor:
    @pytest.mark.parametrize("guest, more", [
        ("long_mode", {}), ("apic", {}), ("modes", {}), ("neighbour", {"cmdline": "seed=1"}),
        ("smp", {"cpus": 2, "cmdline": "cpus=2"}),
    ])
    def test_guest(self, control, guest, more):
        text, status = control.guest(guest, **more)
        judge(text)
        assert status == POWERED_OFF

    def test_more_processors_than_there_are(self, control):
        text, _ = control.guest("smp", cpus=4, cmdline="cpus=4")
        judge(text)

    @pytest.mark.parametrize("seed", [1, 2])
    def test_hostile(self, control, seed):
        text, _ = control.guest("hostile", cmdline=f"seed={seed}")
        judge(text)

    @pytest.mark.parametrize("mode", ["triple", "tables"])
    def test_ends_itself(self, control, mode):
        text, status = control.guest("hostile", cmdline=f"mode={mode}")
        assert status == CRASHED, text
        assert mode != "triple" or "triple fault" in text

    def test_spinning_guest_can_be_killed(self, control):
        """Interrupts off, no exit of its own: it gets the CPU, but not for good."""
        run = control.machine.ssh(
            f"vmm {options('hostile', 'spin', 'mode=spin')} </dev/null >/tmp/spin 2>&1 & pid=$!; "
            "until grep -q spinning /tmp/spin; do sleep 0.1; done; "
            "nproc; kill $pid; wait $pid; echo status $?", timeout=SECONDS)
        assert run.stdout.split() == ["2", "status", str(KILLED)], run.stdout + run.stderr

    def test_neighbour_of_a_hostile_guest(self, control):
        """The neighbour's memory stays as it wrote it; then a new guest finds all memory zero."""
        run = control.machine.ssh(
            f"(vmm {options('hostile', 'h', 'seed=5')} </dev/null >/tmp/h 2>&1) & "
            f"vmm {options('neighbour', 'n', 'seed=7', memory=32)} </dev/null; wait; cat /tmp/h",
            timeout=2 * SECONDS)
        parts = run.stdout.replace("\r", "").split("hostile, state")
        assert len(parts) == 2, run.stdout + run.stderr
        judge(parts[0])
        judge(parts[1])
        text, _ = control.guest("neighbour", cmdline="seed=8", memory=64)
        judge(text)


@pytest.mark.full
@pytest.mark.parametrize("guest, cpus", [("long_mode", 1), ("apic", 1), ("modes", 1), ("smp", 2)])
def test_on_the_bare_machine(machine, tmp_path, guest, cpus):
    """The same programs, booted by GRUB: what they expect is what the processor does."""
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"\0" * 512)
    started = machine(emulator="bochs", cpus=cpus, memory=128, cmdline=f"cpus={cpus}",
                      hypervisor=str(BUILD / f"guests/{guest}.elf"), kernel=str(nothing),
                      initramfs=str(nothing))
    started.wait_exit(400)
    judge(started.serial())
