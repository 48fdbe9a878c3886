# SPDX-License-Identifier: MIT
"""Virtual machines beside the control domain: the demo guest on the emulated VT-x machine.

One machine, told through SSH with the commands a user types. What is asserted is what the guest itself
prints on its console, and that nothing is left when it has gone.
"""

import json
import re

import pytest

from bench.machine import READY
from bench.medium import BUILD
from vm.test_session import Console, Domain

BOOT_SECONDS = 400
WITH_GUESTS = BUILD / "control-domain" / "initramfs-vm"
GUEST_SECONDS = 240

# Types into a VM's console and prints what came until the mark; run in the control domain.
TYPE = r"""
type_to() { (sleep 1; printf '%s\n' "$2"; sleep "$3"; printf '\035') | vm console "$1" > /tmp/said 2>&1; tail -c 2000 /tmp/said; }
wait_for() { n=0; while [ $n -lt "$3" ]; do vm console "$1" --dump 2>/dev/null | grep -q "$2" && return 0; sleep 2; n=$((n + 2)); done; vm console "$1" --dump | tail -20; return 1; }
"""


def told(machine, command, seconds=GUEST_SECONDS):
    run = machine.ssh(TYPE + command, timeout=seconds + 60)
    assert run.returncode == 0, f"`{command}` said: {run.stdout}{run.stderr}"
    return run.stdout


def pool_free(machine):
    return json.loads(told(machine, "hornero info --json"))["memory"]["pool_free_bytes"]


def start(machine, name, *words):
    told(machine, f"vm create {name} --image demo {' '.join(words)} && vm start {name}")
    told(machine, f"wait_for {name} ':~# ' {GUEST_SECONDS}")


def gone(machine, *names):
    for name in names:
        told(machine, f"vm kill {name}; vm delete {name} --disks --yes")


def checksum(machine, name, mark, first=""):
    """Of the guest's disk, as the guest reads it."""
    told(machine, f"type_to {name} \"{first}echo 3 >/proc/sys/vm/drop_caches; sha256sum /dev/vda; echo {mark}'='\" 0; "
                  f"wait_for {name} {mark}= {GUEST_SECONDS}")
    return re.findall(r"\b[0-9a-f]{64}\b", told(machine, f"vm console {name} --dump"))[-1]


class TestGuests:
    @pytest.fixture(scope="class")
    def control(self, class_machine):
        started = class_machine(cpus=2, memory=1024, initramfs=str(WITH_GUESTS),
                                file=[f"/root/probe={BUILD / 'devmodel/probe'}"])
        started.wait(READY, BOOT_SECONDS)
        return started

    def test_a_guest_boots_to_its_shell(self, control):
        before = pool_free(control)
        start(control, "one", "-m", "128M")
        listed = json.loads(told(control, "vm list --json"))
        assert "one" in json.dumps(listed) and "running" in json.dumps(listed)
        assert pool_free(control) <= before - 128 * 1024 * 1024
        gone(control, "one")
        assert pool_free(control) == before

    def test_two_guests_with_two_and_four_cpus(self, control):
        before = pool_free(control)
        start(control, "alpha", "-m", "96M", "-c", "2")
        start(control, "beta", "-m", "128M", "-c", "4")  # twice what the machine has
        for name, cpus in ("alpha", 2), ("beta", 4):
            told(control, f"type_to {name} 'echo cpus=$(nproc)=$(grep -c ^processor /proc/cpuinfo)=' 0; "
                          f"wait_for {name} 'cpus={cpus}={cpus}=' {GUEST_SECONDS}")
        exits = json.loads(told(control, "hornero stats --json"))
        assert re.search(r"CPUID", json.dumps(exits))
        gone(control, "alpha", "beta")
        assert pool_free(control) == before

    def test_one_vmm_command_line_is_a_machine(self, control):
        """As control-domain/vmm/README.md has it, over SSH: a shell, a disk, a network; a second one beside it."""
        before = pool_free(control)
        told(control, "truncate -s 16M /tmp/one.img /tmp/two.img")
        image = "/usr/lib/hornero/images/demo"
        guests = {}
        for name in "one", "two":
            guests[name] = Console(Domain(control, "hornero"), (
                f"vmm --name {name} --memory 128M --kernel {image}/kernel --initrd {image}/initramfs "
                f"--cmdline 'console=hvc0 quiet' --disk path=/tmp/{name}.img --net tap={name}0 --console stdio"))
            guests[name].expect("demo:~# ")
        for number, (name, guest) in enumerate(guests.items(), 1):
            told(control, f"ip addr add 10.9.{number}.1/24 dev {name}0 && ip link set {name}0 up")
            assert "1 packets received" in guest.run(
                f"ip addr add 10.9.{number}.2/24 dev eth0; ping -c 1 -W 60 10.9.{number}.1")
            guest.run(f"echo this is {name} | dd of=/dev/vda conv=fsync")
            assert told(control, f"head -n 1 /tmp/{name}.img") == f"this is {name}\n"
        for guest in guests.values():
            guest.type("poweroff\n")
            guest.expect("ended: power-off by guest")
            assert guest.process.wait(GUEST_SECONDS) == 0
        assert pool_free(control) == before

    def test_a_disk_keeps_what_was_written(self, control):
        """Over a reset by the guest, and over the end of the VM: the same checksum inside, each time, and outside."""
        told(control, "truncate -s 4M /tmp/kept.img")
        start(control, "kept", "-m", "96M", "-c", "2", "--disk", "/tmp/kept.img")
        sums = [checksum(control, "kept", "first", "dd if=/dev/urandom of=/dev/vda bs=64k conv=fsync 2>/dev/null; ")]
        told(control, "type_to kept 'reboot -f' 0; "
                      "until vm console kept --dump | grep -c 'This is kept' | grep -q 2; do sleep 1; done; "
                      "vm logs kept | grep 'reset by guest'")
        sums.append(checksum(control, "kept", "second"))
        told(control, "type_to kept poweroff 0; vm wait kept --timeout 120; vm start kept")
        told(control, f"wait_for kept 'This is kept' {GUEST_SECONDS}")
        sums.append(checksum(control, "kept", "third"))
        gone(control, "kept")
        sums.append(told(control, "sha256sum /tmp/kept.img; rm /tmp/kept.img").split()[0])
        assert len(set(sums)) == 1 and len(sums[0]) == 64, sums

    def test_power_off_from_inside(self, control):
        before = pool_free(control)
        start(control, "off", "-m", "96M")
        told(control, "type_to off poweroff 0; vm wait off --timeout 60")
        assert "power" in told(control, "vm logs off").lower()
        told(control, "vm delete off --disks --yes")
        assert pool_free(control) == before

    def test_killed_at_any_moment_nothing_is_left(self, control):
        before = pool_free(control)
        told(control, "vm create k --image demo -m 96M; for t in 0 1 2 3 4 5; do vm start k || exit 1; "
                      "sleep $t; kill -9 $(pidof vmm) || exit 1; vm wait k --timeout 60; done; vm delete k --disks --yes", 300)
        assert pool_free(control) == before

    @pytest.mark.full
    def test_a_full_disk_pauses_and_an_error_is_told(self, control):
        """As on Linux's KVM (devmodel/test_guest.py): nothing is lost by a full disk; other errors reach the guest."""
        told(control, "mkdir /tmp/small && mount -t tmpfs -o size=4M small /tmp/small && "
                      "truncate -s 16M /tmp/small/disk.img")
        start(control, "full", "-m", "96M", "--disk", "/tmp/small/disk.img")
        told(control, "type_to full \"dd if=/dev/urandom of=/dev/vda bs=64k count=256 conv=fsync; sha256sum /dev/vda; "
                      "echo wr''itten\" 0")
        paused = ("until [ $(vm logs full | grep -c 'paused: disk0 .*No space left on device') -ge {} ]; "
                  "do sleep 1; done")
        told(control, paused.format(1))
        assert "paused" in told(control, "vm list --json")
        told(control, f"vm resume full && {paused.format(2)}")  # still full: nothing is lost
        told(control, "mount -o remount,size=64M /tmp/small && vm resume full")
        told(control, f"wait_for full written {GUEST_SECONDS}")
        inside, = set(re.findall(r"\b[0-9a-f]{64}\b", told(control, "vm console full --dump")))
        assert inside in told(control, "sha256sum /tmp/small/disk.img")
        told(control, "truncate -s 1M /tmp/small/disk.img; type_to full 'echo 3 >/proc/sys/vm/drop_caches; "
                      f"dd if=/dev/vda of=/dev/null bs=64k skip=64 count=1' 0; wait_for full 'I/O error' {GUEST_SECONDS}")
        assert "the guest gets an I/O error" in told(control, "vm logs full")
        gone(control, "full")
        told(control, "umount /tmp/small")

    def test_a_triple_fault_is_told_by_device_model_and_hypervisor(self, control):
        told(control, "vm create mad --kernel /root/probe --cmdline w -m 16M -n none && vm start mad")
        said = told(control, "printf x | vm console mad 2>&1")
        assert re.search(r"\[mad has ended: vCPU 0: triple fault at RIP [0-9a-f]+", said)
        logs = told(control, "vm logs mad")
        for name, word in ((r"vmm-\d+", "created"), ("mad", "destroyed")):  # its driver's name first, then its own
            assert re.search(rf"^\S+Z mad: hypervisor: .*VM [0-9a-f]+ '{name}' {word}", logs, re.M), logs
        assert re.search(r"^\S+Z mad: ended: vCPU 0: triple fault at RIP", logs, re.M)
        assert control.ssh("vm wait mad").returncode == 6
        gone(control, "mad")

    def test_the_hypervisor_said_nothing_bad(self, control):
        log = told(control, "hornero log")
        assert not re.search(r"^\[[^]]*\] (?:warn|error)", log, re.MULTILINE), log


@pytest.mark.full
def test_guest_without_the_newer_features(machine):
    """The paths for processors that lack them: every optional VT-x feature switched off but wait-for-SIPI."""
    features = ("vpid ept_1g ept_ad apic_registers virtual_interrupts x2apic_mode invept_single invvpid_single "
                "preemption_timer perf_global_ctrl pause_loop tpr_shadow")
    off = ",".join("-" + name for name in features.split())
    control = machine(cpus=2, memory=1024, initramfs=str(WITH_GUESTS), cmdline=f"cpu_features={off}")
    control.wait(READY, BOOT_SECONDS)
    in_use = told(control, "hornero info").split("Not in use")[0]
    assert "VPID" not in in_use and "VMX preemption timer" not in in_use
    before = pool_free(control)
    start(control, "old", "-m", "96M", "-c", "2")
    gone(control, "old")
    assert pool_free(control) == before
