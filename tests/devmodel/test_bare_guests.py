# SPDX-License-Identifier: MIT
"""Bare-metal guests of tests/guests on Linux's own KVM: what they expect is not ours alone.

Those that QEMU's emulation of SVM can run. What fails there: KVM delivers a fault of the new task with the
old one's address; the emulated VMRUN does not load the shadow of STI that the exit before it has saved; AMD's
processors do not look at PDPTEs when CR3 is loaded. Not here: `long_mode` and `hostile`, whose first reserved bit in
CR0 or CR3 ends in a refused entry; `apic`, as the emulation loses deadlines; `devices` and `storm`, which take
minutes. These run on the bare machine (guests/test_guests.py) or under the hypervisor alone.
"""

import re

import pytest

from guests.control import POWERED_OFF, judge

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("devmodel")]

SHADOW = [f"{mode}: no interrupt in the shadow of STI" for mode in ("xAPIC", "x2APIC")]


@pytest.mark.parametrize("guest, cpus, cmdline, known", [
    ("task", 1, "none", ["segment not present: before its first instruction, distance"]),
    ("modes", 1, "none", ["PAE: reserved bit in a PDPTE, vector"]), ("neighbour", 1, "seed=1", []),
    ("smp", 2, "cpus=2", []), ("smp", 4, "cpus=4", []), ("wake", 2, "cpus=2 rounds=100", SHADOW),
])
def test_guest(kvm, guest, cpus, cmdline, known):
    host, shells = kvm
    text, status = shells[0].run(
        f"vmm --name {guest} --memory 32M --cpus {cpus} --kernel {host.guest_file(guest + '.elf')} "
        f"--console stdio --cmdline '{cmdline}' </dev/null 2>&1", 240, check=False)
    text = re.sub(rf"({'|'.join(known) or '$^'})[^\n]*", r"\1", text)  # the value differs from run to run
    judge(text, [what for what in known if f"FAIL {what}" in text])
    assert status == POWERED_OFF
