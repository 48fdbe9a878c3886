# SPDX-License-Identifier: MIT
"""A new user's session over real SSH: the control domain, its `vm` command, the device model, the demo
guest, its network. Once on Linux's own KVM (in QEMU's translator) and once on the hypervisor."""

import contextlib
import json
import os
import re
import select
import subprocess

import pytest

from bench.machine import READY, free_port
from bench.medium import BUILD, TOP
from vm.test_refusals import TABLE

KVM = BUILD / "kvm/modules"
INITRAMFS = str(BUILD / "control-domain/initramfs-vm")
MODULES = ["irqbypass.ko", "kvm.ko", "ccp.ko", "kvm-amd.ko"]
PROMPT = r"demo:~# "
CONTROL_PROMPT = r"root@hornero:~# "
README = (TOP / "README.md").read_text().split("## Virtual machines")[1].split("\n## ")[0]
SESSION = re.findall(r"^    (.*)$", README, re.M)
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
        patience = self.domain.machine.patience(self.domain.patience)
        while not (match := re.search(regex, self.pending)):
            ready = patience.waiting(lambda left: select.select([self.process.stdout], [], [], left)[0])
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


class Login(Console):
    """A login shell of the control domain, on a terminal."""

    def __init__(self, domain):
        ssh = domain.machine.ssh_command()
        self.domain = domain
        self.process = subprocess.Popen([*ssh[:-1], "-tt", ssh[-1]], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen = self.pending = ""
        self.expect(CONTROL_PROMPT)

    def enter(self, line, until):
        self.type(line + "\n")
        return self.expect(until)

    def leave(self):
        self.enter("exit", "")
        assert self.process.wait(self.domain.patience) == 0


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

    @contextlib.contextmanager
    def machine_login(self):
        login = Login(self)
        yield login
        login.leave()


@pytest.fixture(scope="module", params=HOSTS)
def domain(shared_machine, request):
    files = [f"/root/{name}={BUILD / 'devmodel' / name}" for name in ("vmm-probe", "probe")]
    if request.param == "hornero":
        machine = shared_machine(cpus=2, memory=2048, initramfs=INITRAMFS, file=files, limit=6000)
        machine.wait(READY, 1200)
        return Domain(machine, request.param)
    files += [f"/kvm/{name}={KVM / name}" for name in MODULES]
    machine = shared_machine(emulator="qemu-tcg", entry="native", cpu_model="max,+svm", file=files,
                             memory=2048, initramfs=INITRAMFS, limit=1500)
    machine.wait(READY, 240)
    made = Domain(machine, request.param)
    made.ok(" && ".join(f"insmod /kvm/{name}" for name in MODULES))
    return made


def first_half_of_the_readme(login):
    """Word for word, from the message of the day on; the login stays open."""
    run, listed, ssh, stop, delete = SESSION[:SESSION.index("vm delete demo --yes") + 1]
    assert "vm run demo" in login.seen  # the message of the day leads here
    login.enter(run, r"attached to demo; Ctrl-\] detaches")
    login.expect(PROMPT)
    login.type("\x1d")
    login.expect(r"detached; demo runs on")
    login.expect(CONTROL_PROMPT)
    login.enter(listed, r"\ndemo +running +128M +1 ")
    login.enter(ssh, PROMPT)
    login.enter("uname -n", r"\ndemo\r?\n")
    login.enter("exit", CONTROL_PROMPT)
    login.enter(stop, r"'demo' is powered off")
    login.enter(delete, r"'demo' is deleted")


def test_the_readme_word_for_word(domain):
    """Its first half; test_debian.py does all of it."""
    login = Login(domain)
    first_half_of_the_readme(login)
    login.enter("vm list", "There is no VM yet")
    login.leave()


def test_tab_completes_and_man_explains(domain):
    login = Login(domain)
    login.type("vm cons\t--he\t\n")
    login.expect("Usage: vm console NAME")
    login.expect(CONTROL_PROMPT)
    login.leave()
    assert "manage virtual machines" in domain.ok("man vm")


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


COUNT = "i=0; while :; do i=$((i+1)); [ $((i % 500)) != 0 ] || echo at $i; done"


def progress(domain, *names):
    """How far the counters of guests have come; all looked at in one command."""
    said = domain.ok("; ".join(f"vm console {name} --dump | grep '^at ' | tail -n 1" for name in names))
    return [int(line.split()[1]) for line in said.splitlines()]


def advance(domain, *names):
    """How far each comes while the first one makes some way."""
    before = progress(domain, *names)
    now = before
    while now[0] < before[0] + 20000 and sum(now) < sum(before) + 60000:
        now = progress(domain, *names)
    return [b - a for a, b in zip(before, now)]


def count_in(domain, name):
    console = domain.console(f"vm console {name}")
    console.expect(r":~# ")
    console.type(COUNT + "\n")
    console.expect(r"at 500\r?\n")
    console.detach()


def test_cpu_cap_and_weight_show_in_the_guests_progress(demo):
    """Two that count on one CPU: the heavier one comes further, the capped one hardly moves."""
    demo.ok("vm run rival --image demo -m 96M -n none --detach")
    demo.ok("vm set demo --cpus-pin 0; vm set rival --cpus-pin 0 --cpu-weight 400")
    assert demo.ok("cat /sys/fs/cgroup/hornero/rival/cpu.weight").strip() == "400"
    for name in ("demo", "rival"):
        count_in(demo, name)
    light, heavy = advance(demo, "demo", "rival")
    assert heavy > 2 * light, (light, heavy)
    demo.ok("vm set rival cpu-weight= --cpu-max 10%")
    assert "10000 100000" in demo.ok("cat /sys/fs/cgroup/hornero/rival/cpu.max")
    free, capped = advance(demo, "demo", "rival")
    assert free > 3 * capped, (free, capped)
    row = re.search(r"^rival +running +([\d.]+)", demo.ok("vm top --once"), re.M)
    assert 3 < float(row.group(1)) < 25
    demo.ok("vm kill rival; vm delete rival --yes; vm set demo cpus-pin=")
    console = demo.console("vm console demo")
    console.type("\x03")
    console.expect(r"\^C\r?\n" + PROMPT)
    console.detach()


def test_published_port_and_what_the_rules_say(demo):
    demo.ok("vm run front --image demo -m 96M --publish 2222:22 --detach")
    demo.ok("vm ssh front true")
    rules = demo.ok("nft list table inet hornero")
    address = json.loads(demo.ok("vm show front --json"))["address"]
    assert re.search(rf"tcp dport 2222 dnat ip to {address}:22", rules)
    if demo.machine.config()["emulator"] == "qemu-tcg":  # it can open a port while it runs
        port = free_port()
        demo.machine.qmp("human-monitor-command", **{"command-line": f"hostfwd_add net tcp:127.0.0.1:{port}-10.0.2.15:2222"})
        ssh = [word if word != str(demo.machine.config()["ssh_port"]) else str(port)
               for word in demo.machine.ssh_command()]
        ssh[1:1] = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        login = subprocess.run([*ssh, "uname -n"], capture_output=True, text=True, timeout=60,
                               stdin=subprocess.DEVNULL)
        assert login.stdout == "front\n", login.stderr
    demo.ok("vm kill front; vm delete front --yes")


def test_a_crash_is_told_with_its_place(demo):
    """A guest whose way to reset is a triple fault; test_guests.py has what the hypervisor says of one."""
    demo.ok("vm run mad --image demo -m 96M -n none --cmdline 'console=hvc0 quiet reboot=t' --detach")
    console = demo.console("vm console mad")
    console.expect(r"mad:~# ")
    console.type("reboot -f\n")
    console.expect(r"mad has ended: vCPU 0: triple fault at RIP [0-9a-f]+")
    logs = demo.ok("vm logs mad")
    assert re.search(r"ended: vCPU 0: triple fault at RIP", logs)
    assert demo.run("vm wait mad").returncode == 6
    demo.ok("vm delete mad --yes")


PROBES = re.findall(r'\{"([a-z-]+)", \w+, (true|false)\}',
                    (TOP / "tests/devmodel/sandbox_probe.c").read_text())


def test_the_sandbox_holds_from_inside(demo):
    """The device model with a main loop that tries to break out (tests/devmodel/sandbox_probe.c)."""
    run = "/root/vmm-probe --control /run/probe --memory 16M --kernel /root/probe --name"
    demo.ok("/root/vmm-probe listen >/dev/null 2>&1 </dev/null & "
            "until grep -q hornero-outside /proc/net/unix; do :; done")
    assert len(PROBES) > 20
    names = [name for name, _ in PROBES if name != "signal-thread"]
    said = demo.ok("; ".join(f"{run} {name} 2>&1; echo {name} done" for name in names))
    for name in names:
        part, said = said.split(f"{name} done\n", 1)
        assert "killed by signal 31 (a system call that its sandbox forbids)" in part, part
        assert f"probe {name}" not in part, part
    said = demo.ok(f"{run} unfiltered 2>&1; killall vmm-probe; ls /left-behind 2>&1 || :")
    results = dict(re.findall(r"^probe ([a-z-]+): (.*)$", said, re.M))
    assert set(results) == {name for name, only in PROBES if only == "false"}, said
    assert not [name for name, result in results.items() if result == "IT WORKED"], results
    assert results["signal"] == results["ptrace"] == results["signal-thread"] == "ESRCH"
    assert results["connect-tcp"] == "ENETUNREACH"
    assert results["connect-abstract"] == "ECONNREFUSED"
    assert "ls: /left-behind: No such file" in said


def test_a_machine_without_memory_keeps_its_guests(demo):
    """What is short of memory in the control domain dies; a VM does not."""
    assert demo.run("tail /dev/zero").returncode != 0
    assert "Out of memory" in demo.ok("dmesg | grep -i 'out of memory'")
    assert demo.ok("vm ssh demo uname -n").strip() == "demo"


def test_images_are_converted_in_a_sandbox(demo):
    demo.ok("qemu-img create -q -f qcow2 /tmp/a.qcow2 8M && qemu-img create -q -f vmdk /tmp/b.vmdk 8M && "
            "qemu-img create -q -f qcow2 -b /tmp/a.qcow2 -F qcow2 /tmp/c.qcow2")
    demo.ok("head -c 1000000 /dev/urandom >/tmp/data; qemu-img convert -f raw -O qcow2 /tmp/data /tmp/d.qcow2")
    for file in ("a.qcow2", "b.vmdk", "d.qcow2"):
        demo.ok(f"vm image import /tmp/{file}")
    assert demo.ok("cmp -n 1000000 /tmp/data /var/lib/hornero/images/d.raw && echo same") == "same\n"
    refused = demo.run("vm image import /tmp/c.qcow2")
    assert refused.returncode == 1 and "backing file" in refused.stderr
    # what it is given it may read; nothing else is its
    demo.ok("cp /usr/bin/qemu-img /usr/bin/qemu-img.real; rm /usr/bin/qemu-img; "
            "printf '#!/bin/sh\\nid -u; cat /etc/shadow; ls /sys/class/net | grep -v lo; : >/usr/bin/x; "
            "kill -0 1 && echo can kill; ls -l /proc/self/fd | grep -c -e /etc -e /var/lib/hornero/vms; "
            "exit 3\\n' >/usr/bin/qemu-img; chmod 755 /usr/bin/qemu-img")
    said = demo.run("vm image import /tmp/d.qcow2 --name e")
    demo.ok("mv /usr/bin/qemu-img.real /usr/bin/qemu-img")
    assert said.returncode == 1 and "converting from qcow2 failed" in said.stderr, said.stderr
    assert not demo.run("ls /usr/bin/x /var/lib/hornero/images/e.raw").stdout


def test_report_has_definitions_and_no_secret(demo):
    said = demo.ok("vm create secretive --image demo --cmdline 'console=hvc0 password=hunter2'")
    assert "It is lost at reboot: no volume 'hornero-data' is mounted." in said  # this machine has no disk
    file = demo.ok("hornero report /tmp/r.tar.gz").strip()
    parts = demo.ok(f"tar tzf {file}")
    for part in ("vms-definitions.txt", "vms-logs.txt", "hornero-info.txt", "dmesg.txt"):
        assert f"/{part}\n" in parts
    said = demo.ok(f"tar xzOf {file}")
    assert "image = demo" in said and "hunter2" not in said and "BEGIN OPENSSH" not in said
    demo.ok("vm delete secretive --yes")


def test_the_device_model_is_locked_in(demo):
    pid = demo.ok("vm show demo --json | grep '\"pid\"' | tr -dc 0-9").strip()
    child = demo.ok(f"cat /proc/{pid}/task/{pid}/children").strip()
    status = demo.ok(f"cat /proc/{child}/status")
    assert re.search(r"^NoNewPrivs:\s1", status, re.M) and re.search(r"^Seccomp:\s2", status, re.M)
    assert not re.search(r"^Uid:\s0", status, re.M) and re.search(r"^CapEff:\s0+$", status, re.M)
    for space in ("mnt", "pid", "net", "ipc", "uts"):
        assert demo.ok(f"readlink /proc/{child}/ns/{space}") != demo.ok(f"readlink /proc/1/ns/{space}")
    files = demo.ok(f"ls -l /proc/{child}/fd | sed -n 's/.* -> //p'").split("\n")[:-1]
    own = r"anon_inode:.*|socket:.*|pipe:.*|/dev/(null|kvm|net/tun)|/run/hornero/vms/demo/.*|/.*hornero.*pool.*|/memfd:.*|.*/images/demo/kernel"
    assert not [name for name in files if not re.fullmatch(own, name)], files
    limits = demo.ok(f"cat /proc/{child}/limits")
    assert re.search(r"^Max open files +512 +512", limits, re.M) and re.search(r"^Max core file size +0 +0", limits, re.M)


def test_the_power_button_ends_it(demo):
    demo.ok("vm stop demo")
    assert "ended: power-off by guest" in demo.ok("vm logs demo")
    assert demo.run("vm wait demo").returncode == 0
    demo.ok("vm delete demo --yes")


def test_bad_invocations_over_ssh(domain):
    """The table of test_refusals.py, as it is answered here, in one login."""
    domain.ok("mkdir -p /root/table; cd /root/table && truncate -s 64K installer.iso some.qcow2 && "
              "printf CD001 | dd of=installer.iso bs=1 seek=32769 conv=notrunc 2>/dev/null && "
              "printf 'QFI\\373\\0\\0\\0\\3' | dd of=some.qcow2 conv=notrunc 2>/dev/null && "
              "printf '\\100' | dd of=some.qcow2 bs=1 seek=28 conv=notrunc 2>/dev/null && echo buy milk >notes.txt && "
              "vm create stopped --image demo && vm run running --image demo -m 96M -n none --detach")
    lines = [line for line, _, _ in TABLE]
    said = domain.ok("cd /root/table; " + "; ".join(f"vm {line} 2>&1 </dev/null; echo end of {number} $?"
                                                    for number, line in enumerate(lines)))
    wrong = []
    for number, (line, code, words) in enumerate(TABLE):
        words = words.replace("needs 64M", "needs 96M")  # this image's own
        answer, got = re.search(rf"(?s)(.*?)end of {number} (\d+)\n", said).groups()
        said = said[said.index(f"end of {number} {got}\n"):].split("\n", 1)[1]
        if int(got) != code or words not in answer:
            wrong.append(f"vm {line}: {got} {answer}")
    assert not wrong, "\n".join(wrong)
    assert domain.ok("vm list -q") == "running\nstopped\n"
    domain.ok("vm kill running; vm delete --yes running stopped; rm -r /root/table")


def test_fifty_are_defined_and_eight_run(domain):
    domain.ok("for i in 1 2 3 4 5 6 7 8; do vm run small$i --image demo --detach -m 96M -n none || exit 1; "
              "done")
    domain.ok("i=9; while [ $i -le 50 ]; do vm create small$i --image demo || exit 1; i=$((i + 1)); done")
    assert domain.ok("vm list | grep -c small").strip() == "50"
    assert domain.ok("vm list | grep -c running").strip() == "8"
    for i in range(1, 9):
        domain.ok(f"until vm console small{i} --dump | grep -q 'small{i}:~# '; do sleep 1; done")
    used = json.loads(domain.ok("vm list --json"))
    assert sum(row["memory_bytes"] for row in used if row["state"] == "running") == 8 * 96 << 20
    pids = [row["pid"] for row in used if row["state"] == "running"]
    users = domain.ok("; ".join(f"grep ^Uid: /proc/$(tr -d ' ' </proc/{pid}/task/{pid}/children)/status" for pid in pids))
    assert len(set(users.splitlines())) == 8 and "\t0\t" not in users, users
    domain.ok("vm kill small1 small2 small3 small4 small5 small6 small7 small8")
    domain.ok("vm delete --yes $(vm list -q)")
    assert "There is no VM yet" in domain.ok("vm list")


# ---- the network card as a network: last, for it changes what SSH goes through


def test_an_uplink_goes_back_unless_confirmed(domain):
    refused = domain.run("vm net create lan --uplink eth7")
    assert refused.returncode == 3 and "there is no network card 'eth7'" in refused.stderr
    with domain.machine_login() as login:  # its connection lives through it all
        said = login.enter("vm net create lan --uplink eth0", r"goes back in 60 s\.")
        assert said
        assert "10.0.2.15" in domain.ok("ip -4 addr show dev lan")
        assert "10.0.2.15" not in domain.ok("ip -4 addr show dev eth0")
        assert "waits to be confirmed" in domain.run("vm net create two --uplink eth0").stderr
        domain.ok("until ip -4 addr show dev eth0 | grep -q 10.0.2.15; do sleep 1; done")
        assert not domain.run("ip link show lan").stdout
        assert "default via 10.0.2.2 dev eth0" in domain.ok("ip route")
        login.expect(CONTROL_PROMPT)
        login.enter("echo still $((40 + 2)) here", "still 42 here")
    assert "no network waits" in domain.run("vm net confirm").stderr


def test_an_uplink_goes_back_although_its_guard_was_killed(domain):
    domain.ok("vm net create lan --uplink eth0; kill -9 $(cut -d' ' -f3 /run/hornero/net/pending)")
    assert "10.0.2.15" in domain.ok("ip -4 addr show dev lan")
    assert "'lan' was killed: eth0 has its address back" in domain.run("vm net").stderr
    assert "10.0.2.15" in domain.ok("ip -4 addr show dev eth0")
    assert not domain.run("ip link show lan").stdout


def test_a_confirmed_uplink_stays_and_takes_guests(domain):
    domain.ok("vm net create lan --uplink eth0")
    assert "Network 'lan' stays" in domain.ok("vm net confirm")
    row = next(row for row in json.loads(domain.ok("vm net --json")) if row["name"] == "lan")
    assert row["uplink"] == "eth0" and row["up"]
    domain.ok("vm run web --image demo -m 96M -n lan --detach")
    console = domain.console("vm console web")
    console.expect(r"web:~# ")
    # its address comes from the network behind the card
    console.run("until ip addr show eth0 | grep -q 'inet 10.0.2.'; do usleep 100000; done")
    assert " 0% packet loss" in console.run("ping -c 2 10.0.2.15")
    console.run("ip link set eth0 address 02:00:00:00:00:99")
    assert "100% packet loss" in console.run("ping -c 1 -W 2 10.0.2.15")
    console.detach()
    # the rules are those of the VM that runs, not of what its definition has become
    own = json.loads(domain.ok("vm show web --json"))["effective_mac"]
    domain.ok("vm set web --mac 02:00:00:00:00:99; vm run two --image demo -m 96M -n lan --detach; vm kill two")
    rules = domain.ok("nft list table netdev hornero_macs")
    assert f"ether saddr != {own}" in rules and "02:00:00:00:00:99" not in rules
    domain.ok("vm delete two --yes")
    assert "'web' is on network 'lan'" in domain.run("vm net delete lan").stderr
    domain.ok("vm kill web; vm delete web --yes; vm net delete lan")
    assert "10.0.2.15" in domain.ok("ip -4 addr show dev eth0")
