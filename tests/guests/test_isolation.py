# SPDX-License-Identifier: MIT
"""Two tables: what a guest may try, and what may go wrong around one. After each row the neighbour, which
has been checking its memory all the while, goes on; the control domain's own memory is as it was; the pool
is what it was before."""

import re

import pytest

from guests.control import CRASHED, KILLED, POWERED_OFF, SECONDS, Control, judge, options

REPORTS = "reports"  # it gets to its summary, and every check in it holds

# what the guest does | guest, its options | exit status of vmm | what is said
ISOLATION = [
    ("CRs, APIC, MSRs, VMX and privileged instructions, INVD, WBINVD, hypercalls, CPUID",
     "hostile", {"cmdline": "seed=11"}, POWERED_OFF, REPORTS),
    ("every port, addresses without memory, malformed rings, configuration space",
     "devices", {"cmdline": "seed=12 devices=4", "more": "--disk path=/tmp/disk --net tap=hostile0"},
     POWERED_OFF, REPORTS),
    ("storms of interrupts, NMIs, INIT and SIPI, exits", "storm", {"cpus": 2, "cmdline": "cpus=2"},
     POWERED_OFF, REPORTS),
    ("triple fault", "hostile", {"cmdline": "mode=triple"}, CRASHED, "triple fault"),
    ("page tables and descriptor tables of random bits", "hostile", {"cmdline": "mode=tables"}, CRASHED,
     "triple fault|VM exit|emulation"),
    ("hardware task switches", "task", {}, POWERED_OFF, REPORTS),
]

SPIN = f"""
rm -f /tmp/spin; mkfifo /tmp/spin
vmm {options('hostile', 'spin', 'mode=spin')} </dev/null >/tmp/spin 2>/tmp/spin.log & pid=$!
grep -q -m 1 spinning /tmp/spin
"""
WAKE = (f"vmm {options('wake', 'wake', 'cpus=3 rounds=8000', cpus=3)} </dev/null >/tmp/wake 2>&1 & pid=$!; ")
CHECK = "vmm --console stdio "
TIGHT = "echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir -p /sys/fs/cgroup/tight && echo {} >/sys/fs/cgroup/tight/memory.max && "
MODEL = "$(cat /proc/$pid/task/$pid/children)"  # the device model; $pid is its keeper

# What goes wrong | the commands | what they say, whole or at its end. A full disk, one with errors and a tap that
# goes away are the device model's alone: tests/devmodel/test_guest.py.
FAULTS = [
    ("the guest spins with interrupts off: Linux keeps its CPUs, and may end it",
     SPIN + "nproc; kill $pid; wait $pid; echo status $?", rf"2\nstatus {KILLED}\n$"),
    ("the device model is killed",
     SPIN + f"kill -9 {MODEL}; wait $pid; echo status $?; cat /tmp/spin.log",
     rf"status {KILLED}\n(.*\n)*.*the device model was killed by signal 9"),
    ("its keeper is killed, and takes it along",
     SPIN + f"model={MODEL}; kill -9 $pid; "
     "while kill -0 $model 2>/dev/null; do :; done; wait $pid; echo status $?", r"status 137\n$"),
    ("the keeper is killed at twelve moments of a busy guest's life",
     "n=0; for us in 0 3000 10000 20000 35000 50000 80000 120000 170000 250000 400000 700000; do "
     + WAKE + "usleep $us; kill -9 $pid && n=$((n + 1)); wait $pid; done; "
     "while [ $(pidof vmm | wc -w) -gt 2 ]; do :; done; echo killed $n", r"killed 12\n$"),
    ("the driver is to be unloaded under a guest", SPIN + "rmmod hornero; kill $pid; wait $pid; echo over",
     r"(busy|in use|temporarily)[^\n]*\nover\n$"),
    ("one of the two CPUs goes offline and comes back under three vCPUs, at least three times",
     WAKE.replace("8000", "2000") + "cpu=/sys/devices/system/cpu/cpu1/online; n=0; "
     "while kill -0 $pid 2>/dev/null; do (echo 0 >$cpu && echo 1 >$cpu) || break; n=$((n + 1)); done; "
     "wait $pid; code=$?; cat /tmp/wake; [ $n -ge 3 ] && echo status $code, $(nproc)", r"SUMMARY: .*, 0 failures\n(.*\n)*status 0, 2\n$"),
    ("more memory than the pool has", CHECK + "--name big --memory 900M --kernel /guests/modes.elf; echo status $?",
     r"needs 900.0 MiB of the guest pool, free are [\d.]+ of [^\n]*\nstatus 1\n$"),
    ("the control domain's memory runs out under the device model",
     TIGHT.format("400K") + "(echo 0 >/sys/fs/cgroup/tight/cgroup.procs; "
     f"vmm {options('modes', 'tight')} </dev/null) >/tmp/tight 2>&1; code=$?; "
     "grep -q '^oom_kill [1-9]' /sys/fs/cgroup/tight/memory.events && test $code -ne 0 && said=ended; "
     "until rmdir /sys/fs/cgroup/tight 2>/dev/null; do :; done; echo $said", r"ended\n$"),
    ("the kernel is truncated",
     "head -c 3000 /guests/modes.elf >/tmp/half; " + CHECK + "--name half --memory 16M --kernel /tmp/half; echo status $?",
     r"kernel /tmp/half[^\n]*(truncated|beyond|outside|end)[^\n]*\nstatus 1\n$"),
    ("the initramfs is larger than the memory",
     "truncate -s 100M /tmp/large; " + CHECK + "--name large --memory 16M --kernel /guests/modes.elf "
     "--initrd /tmp/large; echo status $?", r"initrd /tmp/large: [^\n]*\nstatus 1\n$"),
    ("the disk is not there", CHECK + "--name none --memory 16M --kernel /guests/modes.elf "
     "--disk path=/tmp/nowhere; echo status $?", r"/tmp/nowhere: No such file[^\n]*\nstatus 1\n$"),
]


class Watched(Control):
    """A neighbour checks its memory as long as the machine lives; and so do we."""

    PATTERN = "/run/pattern"

    def watch(self):
        self.ok(f"modprobe tun; dd if=/dev/urandom of={self.PATTERN} bs=1M count=8 2>/dev/null; "
                "truncate -s 16M /tmp/disk; "
                f"vmm {options('neighbour', 'neighbour', 'forever', memory=24)} </dev/null "
                ">/run/neighbour 2>&1 & echo $! >/run/neighbour.pid")
        self.sum = self.ok(f"sha256sum {self.PATTERN}")
        self.rounds = 0
        self.neighbour_goes_on()

    def neighbour_goes_on(self):
        """A line that it has not said before, and none that says that its memory changed."""
        patience = self.machine.patience(SECONDS)
        while True:
            text = self.ok("cat /run/neighbour")
            assert "FAIL" not in text and "ended" not in text, text[-1000:]
            if text.count("are not the pattern") > self.rounds + 1:
                self.rounds = text.count("are not the pattern")
                return
            assert patience.left(), text[-1000:]


@pytest.mark.xdist_group("isolation")
class TestIsolation:
    @pytest.fixture(scope="class")
    def control(self, class_machine):
        control = Watched(class_machine)
        control.watch()
        return control

    @pytest.fixture(autouse=True)
    def unharmed(self, control):
        before = control.pool()
        yield
        control.neighbour_goes_on()  # also gives what was killed the time to end
        assert control.pool() == before
        assert control.ok(f"sha256sum {control.PATTERN}") == control.sum

    @pytest.mark.parametrize("what, guest, more, status, said", ISOLATION,
                             ids=[row[0] for row in ISOLATION])
    def test_guest_does(self, control, what, guest, more, status, said):
        text, code = control.guest(guest, **more)
        assert code == status, text[-2000:]
        if said is REPORTS:
            judge(text)
        else:
            assert re.search(said, text), text[-2000:]

    @pytest.mark.parametrize("what, commands, said", FAULTS, ids=[row[0] for row in FAULTS])
    def test_goes_wrong(self, control, what, commands, said):
        text = control.machine.ssh("exec 2>&1; " + commands, timeout=SECONDS).stdout.replace("\r", "")
        if said is REPORTS:
            judge(text)
        else:
            assert re.search(said, text), text

    def test_a_hundred_lives_leave_the_pool_as_it_was(self, control):
        """Created, started, killed: a guest that is in the middle of something."""
        said = control.ok("n=0; while [ $n -lt 100 ]; do rm -f /tmp/spin; mkfifo /tmp/spin; "
                          f"vmm {options('hostile', 'h', 'mode=spin')} </dev/null >/tmp/spin 2>/dev/null & pid=$!; "
                          "grep -q -m 1 spinning /tmp/spin && kill -9 $pid && n=$((n + 1)); "
                          "wait $pid; done; echo $n")
        assert said == "100\n"

    def test_memory_starts_as_zero(self, control):
        """Almost the whole pool: what the guests before have left in it is gone."""
        free = control.pool()[0] >> 20
        size = free // 2 * 2 - 16
        text, _ = control.guest("neighbour", cmdline="seed=8", memory=size)
        judge(text)
        # that one left its pattern in all of it; zeroed ahead of need now, not when it is asked for
        control.ok("until hornero info --json | grep -q '\"pool_dirty_bytes\": *0\\b'; do :; done")
        text, _ = control.guest("neighbour", cmdline="seed=9", memory=size)
        judge(text)

    def test_the_hypervisor_said_nothing_bad(self, control):
        log = control.ok("hornero log")
        bad = re.findall(r"^\[[^]]*\] (?:warn|error) .*", log, re.MULTILINE)
        assert [line for line in bad if "similar lines were suppressed" not in line] == []
        # the row that takes the control domain's memory away makes Linux print where it noticed
        said = re.sub(r"vmm invoked oom-killer: (?s:.*?)Call Trace", "", control.ok("dmesg"))
        assert not re.search(r"BUG:|cut here|Call Trace|hornero:.*(leaked|not given back|owe)", said)
