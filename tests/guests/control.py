# SPDX-License-Identifier: MIT
"""Test guests in the control domain of a machine: how they are started, and what their reports say."""

import json
import re
import shlex

from bench.machine import READY
from bench.medium import BUILD

NAMES = ["long_mode", "apic", "modes", "hostile", "neighbour", "smp", "wake", "storm", "task", "devices"]
LINE = re.compile(r"^(ok  |FAIL) (.*)$", re.MULTILINE)
SUMMARY = re.compile(r"^SUMMARY: (\d+) tests, (\d+) failures$", re.MULTILINE)
SECONDS = 240
POWERED_OFF, CRASHED, KILLED = 0, 3, 4  # exit statuses of vmm


def judge(text, known=()):
    """Fails with the lines that say FAIL, or with the end of a run that has no summary. @known must fail."""
    text = re.sub(r"\r|\x1b\[[0-9;]*[A-Za-z]", "", text)
    lines = LINE.findall(text)
    assert {what for verdict, what in lines if verdict == "FAIL"} == set(known), text[-2000:]
    summary = SUMMARY.search(text)
    assert summary, f"no summary; it ended so:\n{text[-2000:]}"
    assert int(summary[1]) == len(lines) > 0 and int(summary[2]) == len(known)


def options(guest, name, cmdline="", cpus=1, memory=16, more=""):
    return (f"--name {name} --memory {memory}M --cpus {cpus} --kernel /guests/{guest}.elf {more} "
            f"--console stdio --cmdline {shlex.quote(cmdline or 'none')}")


class Control:
    def __init__(self, start, **more):
        """start: a fixture that starts machines."""
        self.machine = start(cpus=2, memory=1024, limit=1800, **more,
                             file=[f"guests/{name}.elf={BUILD}/guests/{name}.elf" for name in NAMES] +
                             [f"root/prod.ko={BUILD}/tests/prod.ko", f"/kvm/kvm-check={BUILD}/kvm/kvm-check"])
        self.machine.wait(READY, 600)

    def ok(self, command):
        run = self.machine.ssh(command, timeout=SECONDS)
        assert run.returncode == 0, f"`{command}` said: {run.stdout}{run.stderr}"
        return run.stdout

    def pool(self):
        info = json.loads(self.ok("hornero info --json"))
        return info["memory"]["pool_free_bytes"], info["machines"]

    def exits(self):
        """Names of the exits that guests have had."""
        cpus = json.loads(self.ok("hornero stats --json"))["cpus"]
        return {name for cpu in cpus for name in cpu["guest_exits"]}

    def guest(self, guest, **more):
        """Runs one to its end; (output, exit status)."""
        run = self.machine.ssh(f"timeout {SECONDS} vmm {options(guest, guest, **more)} </dev/null",
                               timeout=SECONDS + 60)
        return run.stdout + run.stderr, run.returncode
