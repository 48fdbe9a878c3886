# SPDX-License-Identifier: MIT
"""Bare-metal test guests: as virtual machines under the hypervisor, with all that the processor offers and
without its newer features, and on the bare emulated machine, which shows that their expectations are
right. One machine for each of the two; a test is a guest's run."""

import json
import re

import pytest

import exits
from bench.medium import BUILD, TOP
from guests.control import CRASHED, KILLED, POWERED_OFF, SECONDS, Control, judge, options

ABI = TOP / "vmm/abi"
BUSY = int(re.search(r"X\(BUSY, (\d+)", (ABI / "err.h").read_text())[1])
TSC_KHZ = int(re.search(r"X\((\d+), TSC_KHZ", (ABI / "hypercall.h").read_text())[1])
# What a processor may lack, and the hypervisor then does in software.
NEWER = ("vpid ept_1g ept_ad apic_registers virtual_interrupts x2apic_mode invept_single invvpid_single "
         "preemption_timer perf_global_ctrl pause_loop").split()

# SDM 3D "Field Encoding in VMCS", SDM 3C "VM-Execution Control Fields"
VMCS_VPID, VMCS_PIN, VMCS_SECONDARY = 0, 0x4000, 0x401e
PIN_PREEMPTION_TIMER, SECONDARY_VPID = 1 << 6, 1 << 5
SECONDARY_NEWER = 1 << 4 | SECONDARY_VPID | 1 << 8 | 1 << 9 | 1 << 10  # x2APIC, APIC registers, delivery, PAUSE


@pytest.fixture
def unharmed(control):
    """The hypervisor answers and its pool is the same afterwards."""
    before = control.pool()
    yield
    assert control.pool() == before


@pytest.mark.usefixtures("unharmed")
class Guests:
    """What is asked of both machines."""

    @pytest.mark.parametrize("guest, more", [
        ("long_mode", {}), ("apic", {}), ("modes", {}), ("neighbour", {"cmdline": "seed=1"}),
        ("smp", {"cpus": 2, "cmdline": "cpus=2"}), ("storm", {"cpus": 2, "cmdline": "cpus=2"}),
        ("wake", {"cpus": 1, "cmdline": "cpus=1 rounds=3000"}),
        ("wake", {"cpus": 2, "cmdline": "cpus=2 rounds=10000"}),
        ("wake", {"cpus": 5, "cmdline": "cpus=5 rounds=3000"}),
        ("devices", {"cmdline": "seed=1"}), ("task", {}),
    ])
    def test_guest(self, control, guest, more):
        text, status = control.guest(guest, **more)
        judge(text)
        assert status == POWERED_OFF

    @pytest.mark.parametrize("cpus", [4, 16])
    def test_more_processors_than_there_are(self, control, cpus):
        text, _ = control.guest("smp", cpus=cpus, cmdline=f"cpus={cpus}")
        judge(text)

    @pytest.mark.parametrize("seed", [1, 2, 3])
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
            f"mkfifo /tmp/spin; vmm {options('hostile', 'spin', 'mode=spin')} </dev/null >/tmp/spin 2>/dev/null & "
            "pid=$!; grep -q -m 1 spinning /tmp/spin; nproc; kill $pid; wait $pid; echo status $?", timeout=SECONDS)
        assert run.stdout.split() == ["2", "status", str(KILLED)], run.stdout + run.stderr

    def test_clock_stays_while_there_are_guests(self, control):
        """The TSC's frequency is part of what guests were told."""
        run = control.machine.ssh(
            "insmod /root/prod.ko; "
            f"vmm {options('hostile', 'clock', 'mode=spin')} </dev/null >/tmp/clock 2>&1 & pid=$!; "
            "until grep -q spinning /tmp/clock; do sleep 0.1; done; "
            f"echo vmcall {TSC_KHZ} 1000000 >/proc/prod; cat /proc/prod; kill $pid; wait $pid",
            timeout=SECONDS)
        assert run.stdout.split()[:2] == ["ok", str(-BUSY)], run.stdout + run.stderr

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

    def test_controls_of_a_vcpu(self, control):
        """A VM entry that is refused ends in a dump of its VMCS, as the processor holds it."""
        run = control.machine.ssh("chmod +x /kvm/kvm-check && /kvm/kvm-check refused", timeout=SECONDS)
        assert run.returncode == 0, run.stdout + run.stderr
        fields = {int(name, 16): int(value, 16) for name, value in
                  re.findall(r" f([0-9a-f]+)=([0-9a-f]+)", control.ok("hornero log"))}
        newer = self.kind == "newer"
        assert bool(fields[VMCS_SECONDARY] & SECONDARY_VPID) == newer
        assert bool(fields[VMCS_VPID]) == newer
        assert bool(fields[VMCS_PIN] & PIN_PREEMPTION_TIMER) == newer
        assert newer or not fields[VMCS_SECONDARY] & SECONDARY_NEWER

    def test_every_exit_was_seen(self, control):
        """The last one: what tests/exits.txt says that these guests prove."""
        for guest in "modes", "long_mode", "apic":  # for whoever runs this test alone
            control.guest(guest)
        assert exits.counted(self.kind) - control.exits() == set()


@pytest.mark.xdist_group("guests")
class TestUnderHypervisor(Guests):
    kind = "newer"

    @pytest.fixture(scope="class")
    def control(self, class_machine):
        return Control(class_machine)


@pytest.mark.xdist_group("guests-older")
class TestWithoutNewerFeatures(Guests):
    kind = "older"

    @pytest.fixture(scope="class")
    def control(self, class_machine):
        return Control(class_machine, cmdline="cpu_features=" + ",".join(f"-{name}" for name in NEWER))

    def test_they_are_not_used(self, control):
        """The identity map ends where it would have to without 1 GiB pages; no exit is theirs."""
        features = json.loads(control.ok("hornero info --json"))["features"]
        assert [name for name in NEWER if features.get(name)] == []
        assert {name for name in NEWER if name in features} >= {"vpid", "ept_1g", "invept_single", "preemption_timer"}
        assert re.search(r"EPT: [67]\d table pages, 64 GiB", control.ok("hornero log"))
        assert control.exits() & {"PREEMPTION_TIMER", "APIC_ACCESS", "APIC_WRITE", "PAUSE", "VIRTUALIZED_EOI"} == set()

    def test_chips_in_the_driver(self, control):
        """A PIC's interrupt waits for a window that only the processor without APICv reports itself."""
        run = control.machine.ssh("chmod +x /kvm/kvm-check && /kvm/kvm-check pic ioapic chips", timeout=SECONDS)
        assert run.returncode == 0 and run.stdout.endswith(" 0 failed\n"), run.stdout + run.stderr


# What Bochs' local APIC does otherwise than SDM 3A "APIC Timer", "Error Handling", "x2APIC State Transitions".
BOCHS_ERRS = ["xAPIC: deadline reads 0 afterwards", "x2APIC: deadline reads 0 afterwards",
              "xAPIC: vector 5 is refused, ESR 40", "x2APIC: vector 5 is refused, ESR 40",
              "disabled: x2APIC needs xAPIC first", "back in xAPIC mode"]


@pytest.mark.parametrize("guest, cpus, cmdline, known", [
    ("long_mode", 1, "", []), ("apic", 1, "", BOCHS_ERRS), ("modes", 1, "", []), ("task", 1, "", []),
    ("neighbour", 1, "seed=1", []), ("smp", 2, "cpus=2", []), ("smp", 4, "cpus=4", []),
    ("wake", 2, "cpus=2 rounds=1000", []),
])
def test_on_the_bare_machine(machine, tmp_path, guest, cpus, cmdline, known):
    """The same programs, booted by GRUB: what they expect is what the processor does. Not `devices`, which are the
    device model's; not `hostile`, which goes back and forth between xAPIC and x2APIC mode, what Bochs cannot."""
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"\0" * 512)
    started = machine(emulator="bochs", cpus=cpus, memory=128, cmdline=cmdline or "none",
                      hypervisor=str(BUILD / f"guests/{guest}.elf"), kernel=str(nothing),
                      initramfs=str(nothing))
    started.wait_exit(400)
    judge(started.serial(), known)
