# SPDX-License-Identifier: MIT
"""A new user's session over real SSH: the control domain, its `vm` command, the device model, the demo
guest, its network. Once on Linux's own KVM (in QEMU's translator) and once on the hypervisor."""

import os
import re
import select
import subprocess
import time

import pytest

from bench.machine import READY
from bench.medium import BUILD, TOP

KVM = BUILD / "kvm/modules"
INITRAMFS = str(BUILD / "control-domain/initramfs-vm")
MODULES = ["irqbypass.ko", "kvm.ko", "ccp.ko", "kvm-amd.ko"]
PROMPT = r"demo:~# "
HOSTS = [
    pytest.param("kvm", marks=pytest.mark.xdist_group("vm-kvm")),
    pytest.param("hornero", marks=[pytest.mark.full, pytest.mark.xdist_group("vm-hornero")]),
]
# the hypervisor runs in an interpreter, whose guests are that much slower
PATIENCE = {"kvm": 120, "hornero": 900}


class Console:
    """`vm console` or `vm run` over SSH, typed at."""

    def __init__(self, domain, command):
        self.domain = domain
        self.process = subprocess.Popen(domain.machine.ssh_command() + [command],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.seen = ""
        self.pending = ""

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def expect(self, regex):
        deadline = time.monotonic() + self.domain.patience
        while not (match := re.search(regex, self.pending)):
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            data = os.read(self.process.stdout.fileno(), 65536).decode(errors="replace") \
                if ready else ""
            assert data, f"no {regex!r}; it said:\n{self.seen[-3000:]}"
            self.seen += data
            self.pending += data
        self.pending = self.pending[match.end():]
        return match

    def run(self, command):
        """In the guest's shell; its output behind the echo of what was typed. The mark is typed so
        that its echo does not match."""
        self.type(f"{command}; echo end''mark\n")
        return self.expect(r"(?s)(.*?)\nendmark\r?\n").group(1)

    def detach(self):
        self.type("\x1d")
        self.process.stdin.close()
        self.pending += self.process.stdout.read().decode(errors="replace")
        return self.process.wait(self.domain.patience)


class Domain:
    """The control domain."""

    def __init__(self, machine, kind):
        self.machine = machine
        self.patience = PATIENCE[kind]

    def run(self, command):
        return self.machine.ssh(command, timeout=self.patience)

    def ok(self, command):
        result = self.run(command)
        assert result.returncode == 0, (command, result.stdout, result.stderr)
        return result.stdout

    def console(self, command):
        return Console(self, command)


@pytest.fixture(scope="module", params=HOSTS)
def domain(shared_machine, request):
    if request.param == "hornero":
        machine = shared_machine(cpus=2, initramfs=INITRAMFS, limit=3000)
        machine.wait(READY, 1200)
        return Domain(machine, request.param)
    files = [f"/kvm/{name}={KVM / name}" for name in MODULES]
    machine = shared_machine(emulator="qemu-tcg", entry="native", cpu_model="max,+svm", file=files,
                             initramfs=INITRAMFS, limit=1500)
    machine.wait(READY, 240)
    made = Domain(machine, request.param)
    made.ok(" && ".join(f"insmod /kvm/{name}" for name in MODULES))
    return made


def test_the_readme_word_for_word(domain):
    section = (TOP / "README.md").read_text().split("## Virtual machines")[1]
    run, listed, ssh, *rest = re.findall(r"^    (vm .*)$", section, re.M)
    console = domain.console(run)
    console.expect(PROMPT)
    console.run("until ip addr show eth0 | grep -q 'inet '; do usleep 100000; done")
    assert console.detach() == 0
    assert "running" in domain.ok(listed)
    login = domain.console(ssh)
    login.type("uname -n; exit\n")
    login.expect(r"demo\r?\n")
    assert login.process.wait(domain.patience) == 0
    for command in rest:
        domain.ok(command)
    assert len(rest) == 2 and "There is no VM yet" in domain.ok("vm list")


@pytest.fixture(scope="module")
def demo(domain):
    """The first thing that a new user types after logging in; then the guest runs on."""
    assert "vm run demo" in domain.ok("vm list")
    console = domain.console("vm run demo")
    console.expect(r"attached to demo; Ctrl-\] detaches")
    console.expect("This is demo, a virtual machine")
    console.expect(PROMPT)
    assert "42" in console.run("echo $((6 * 7))")
    console.run("until ip addr show eth0 | grep -q 'inet '; do usleep 100000; done")
    assert console.detach() == 0
    assert "demo runs on" in console.pending
    return domain


def test_it_runs_on_and_shows_in_the_list(demo):
    row, = re.findall(r"^demo +running +128M +1 +\S+ +(\S+)", demo.ok("vm list"), re.M)
    assert re.fullmatch(r"10\.86\.\d+\.2", row)


def test_two_viewers_and_scrollback(demo):
    first, second = (demo.console("vm console demo") for _ in range(2))
    for viewer in (first, second):
        viewer.expect("This is demo")  # from the first byte, although nobody looked
        viewer.expect(PROMPT)
    first.type("echo seen by bo''th\n")
    for viewer in (first, second):
        viewer.expect("seen by both")
    assert first.detach() == 0 and second.detach() == 0
    assert "seen by both" in demo.ok("vm console demo --dump")


def test_ssh_into_the_guest(demo):
    assert demo.ok("vm ssh demo uname -n").strip() == "demo"
    assert "demo (10.86." in demo.run("vm ssh demo ping -c 1 demo").stdout  # its DHCP name


def test_guests_reach_each_other_and_nothing_of_ours(demo):
    demo.ok("vm run two --image demo --detach")
    console = demo.console("vm console two")
    console.expect(r"two:~# ")
    console.run("until ip addr show eth0 | grep -q 'inet '; do usleep 100000; done")
    assert " 0% packet loss" in console.run("ping -c 2 demo")
    assert "closed" in console.run("nc -w 3 10.86.0.1 22 </dev/null || echo clo''sed")
    console.run("ip addr add 10.86.0.99/24 dev eth0")
    assert "100% packet loss" in console.run("ping -c 1 -W 2 -I 10.86.0.99 demo")
    console.run("ip link set eth0 address 02:00:00:00:00:99")
    assert "100% packet loss" in console.run("ping -c 1 -W 2 10.86.0.2")
    console.type("poweroff\n")
    console.expect("two has ended: power-off by guest")
    assert console.process.wait(demo.patience) == 0
    demo.ok("vm delete two --yes")


def test_pause_stops_it_and_resume_goes_on(demo):
    console = demo.console("vm console demo")
    console.expect(PROMPT)
    console.type("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo tick $i; usleep 20000; done\n")
    console.expect(r"tick 20\b")
    demo.ok("vm pause demo")
    stopped = demo.ok("vm console demo --dump")
    assert re.search(r"^demo +paused", demo.ok("vm list"), re.M)
    assert demo.ok("vm console demo --dump") == stopped
    demo.ok("vm resume demo")
    last = int(re.findall(r"tick (\d+)", stopped)[-1])
    console.expect(rf"tick {last + 20}\b")
    console.type("\x03")
    console.expect(PROMPT)
    console.detach()


def test_cpu_cap_is_kept(demo):
    console = demo.console("vm console demo")
    console.expect(PROMPT)
    console.type("while :; do :; done\n")
    demo.ok("vm set demo --cpu-max 20%")
    assert "20000 100000" in demo.ok("cat /sys/fs/cgroup/hornero/demo/cpu.max")
    row = re.search(r"^demo +running +([\d.]+)", demo.ok("vm top --once"), re.M)
    assert 5 < float(row.group(1)) < 40
    demo.ok("vm set demo cpu-max=")
    console.type("\x03")
    console.expect(PROMPT)
    console.detach()


def test_the_device_model_is_locked_in(demo):
    pid = demo.ok("vm show demo --json | grep '\"pid\"' | tr -dc 0-9").strip()
    child = demo.ok(f"cat /proc/{pid}/task/{pid}/children").strip()
    status = demo.ok(f"cat /proc/{child}/status")
    assert re.search(r"^NoNewPrivs:\s1", status, re.M) and re.search(r"^Seccomp:\s2", status, re.M)
    assert not re.search(r"^Uid:\s0", status, re.M) and re.search(r"^CapEff:\s0+$", status, re.M)


def test_the_power_button_ends_it(demo):
    demo.ok("vm stop demo")
    assert "ended: power-off by guest" in demo.ok("vm logs demo")
    assert demo.run("vm wait demo").returncode == 0
    demo.ok("vm delete demo --yes")


def test_fifty_are_defined_and_three_run(demo):
    demo.ok("for i in 1 2 3; do vm run small$i --image demo --detach -m 96M -n none || exit 1; done")
    demo.ok("i=4; while [ $i -le 50 ]; do vm create small$i --image demo || exit 1; i=$((i + 1)); "
            "done")
    assert demo.ok("vm list | grep -c small").strip() == "50"
    assert demo.ok("vm list | grep -c running").strip() == "3"
    demo.ok("vm kill small1 small2 small3")
    demo.ok("vm delete --yes $(vm list -q)")
    assert "There is no VM yet" in demo.ok("vm list")
