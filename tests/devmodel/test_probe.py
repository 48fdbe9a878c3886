# SPDX-License-Identifier: MIT
"""Endings, refusals, the control socket and the sandbox, with the probe guest (probe.S)."""

import json
import re

import pytest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("devmodel")]


@pytest.fixture
def probe(vm, kvm):
    """probe(command, options) starts one; whatever still runs at the end is killed."""
    host, shells = kvm
    started = []

    def start(command, options=""):
        image = host.guest_file("probe")
        machine = vm("probe", f"--memory 16M --kernel {image} --cmdline {command} {options}")
        started.append(machine)
        machine.start()
        return machine

    yield start
    for machine in started:
        if not machine.ended:
            machine.command("kill")
            machine.wait_end()


def outer_pids(machine):
    """Process ids of keeper and device model."""
    keeper = machine.command("status")["pid"]
    children = machine.control.run(f"cat /proc/{keeper}/task/{keeper}/children")
    return keeper, int(children.split()[0])


def test_power_off(probe):
    assert probe("p").wait_end() == ("power-off by guest", 0)


def test_triple_fault(probe):
    reason, status = probe("t").wait_end()
    assert reason.startswith("vCPU 0: triple fault at RIP ") and status == 3


def test_reset_ends(probe):
    reason, status = probe("k", "--no-reboot").wait_end()
    assert (reason, status) == ("reset by guest (keyboard controller)", 0)


def test_resets_many_times(probe):
    machine = probe("k")
    machine.log.expect(r"running: reset by guest \(keyboard controller\)")
    while machine.command("status")["resets"] < 20:  # each question takes a round trip
        pass
    machine.log.expect(r"more of these within a minute are left out")


def test_spinning_guest_obeys(probe):
    machine = probe("i")
    assert machine.command("pause") == {"ok": True}
    assert machine.command("resume") == {"ok": True}
    assert machine.command("reset") == {"ok": True}
    machine.log.expect(r"running: reset on request")
    assert machine.command("kill") == {"ok": True}
    assert machine.wait_end() == ("killed", 4)


def test_flooding_guest_delays_nobody(probe):
    machine = probe("s")
    before = machine.command("stats")["console_bytes"]
    assert machine.command("pause") == {"ok": True}
    after = machine.command("stats")["console_bytes"]
    assert after > before > 0
    dump = machine.control.run("echo '{\"command\": \"dump\"}' | "
                               f"socat -t 20 - UNIX-CONNECT:{machine.socket} | tail -c 40", 60)
    assert "probe runs" in dump


def test_killed_device_model_is_reported(probe):
    machine = probe("i")
    machine.control.run(f"kill -KILL {outer_pids(machine)[1]}")
    reason, status = machine.wait_end()
    assert reason == "the device model was killed by signal 9" and status == 4


def test_killed_keeper_takes_the_vm_along(probe):
    machine = probe("i")
    keeper, child = outer_pids(machine)
    machine.control.run(f"kill -KILL {keeper}")
    machine.log.expect(r"@exit:137@")
    machine.ended = True
    machine.control.run(f"while kill -0 {child} 2>/dev/null; do usleep 10000; done")


def test_terminated(probe):
    machine = probe("i")
    machine.control.run(f"kill -TERM {outer_pids(machine)[0]}")
    assert machine.wait_end() == ("killed by a signal", 4)


def test_events(probe):
    machine = probe("i")
    machine.console.send("echo '{\"command\": \"events\"}' | "
                         f"socat -t 60 - UNIX-CONNECT:{machine.socket}; echo events over\n")
    machine.console.expect(r'"state":"running"')
    machine.command("pause")
    machine.console.expect(r'\{"event":"state","state":"paused","why":"on request"\}')
    machine.command("kill")
    machine.console.expect(r'"state":"ended","why":"killed","status":4\}.*events over')
    machine.wait_end()


@pytest.mark.parametrize("line, error", [
    ("nonsense", "a request is one line"),
    ("[]", "a request is one line"),
    ("{}", "a request is one line"),
    ('{"command": 5}', "unknown command"),
    ('{"command": "fly"}', "unknown command; there are status"),
    ('{"command": "resize", "columns": 0, "rows": 70000}', "must be from 1 to 65535"),
    ('{"command": "resume"}', "probe is running, not paused"),
    ('{"a":{"b":{"c":{"d":{"e":1}}}}}', "a request is one line"),
])
def test_bad_requests(probe, line, error):
    machine = probe("i")
    reply = json.loads(machine.control.run(f"echo '{line}' | socat -t 20 - "
                                           f"UNIX-CONNECT:{machine.socket}"))
    assert reply["ok"] is False and error in reply["error"]
    assert machine.command("status")["state"] == "running"


def test_endless_request(probe):
    machine = probe("i")
    machine.control.run(f"yes | tr -d '\\n' | head -c 20000 | socat -t 5 - "
                        f"UNIX-CONNECT:{machine.socket}", check=False)
    assert machine.command("status")["state"] == "running"


def test_empty_namespaces_are_shared(probe, shells):
    """Network and IPC, whose making takes Linux long: the first VM leaves them for the others."""
    def namespaces(pid):
        return [shells[2].run(f"readlink /proc/{pid}/ns/{name}").split()[0] for name in ("net", "ipc")]

    def of_a_vm():
        machine = probe("i")
        found = namespaces(outer_pids(machine)[1])
        machine.command("kill")
        machine.wait_end()
        return found

    host, first = namespaces("self"), of_a_vm()
    assert of_a_vm() == first and not set(first) & set(host)
    shells[2].run("mount -t tmpfs none /run/hornero/sandbox; mkdir /run/hornero/sandbox/net")  # nothing to join
    try:
        assert not set(of_a_vm()) & {*first, *host}
    finally:
        shells[2].run("umount /run/hornero/sandbox/ipc; umount /run/hornero/sandbox")


def test_sandbox(probe, kvm):
    machine = probe("i", "--user 12345 --status $TMP/status")
    _, child = outer_pids(machine)
    status = dict(line.split(":\t", 1) for line in
                  machine.control.run(f"cat /proc/{child}/status").splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["12345"] * 4 and status["Gid"].split() == ["12345"] * 4
    assert status["Groups"].split() == []
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert all(int(status[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
    for name in ("mnt", "pid", "net", "ipc", "uts"):
        ours, theirs = (machine.control.run(f"readlink /proc/{pid}/ns/{name}").split()[0]
                        for pid in ("self", child))
        assert ours != theirs, name
    assert machine.control.run(f"ls -A /proc/{child}/root/ | wc -l").split() == ["0"]
    # Nothing open but what it is made of.
    links = machine.control.run(f"ls -l /proc/{child}/fd | sed -n 's/.*-> //p'").split("\n")
    known = ("anon_inode:", "socket:", "/dev/kvm", "/dev/tty", "pipe:", "/dev/null",
             kvm[0].guest_file("probe"))
    assert [link for link in links if link and not link.startswith(known)] == []
    threads = machine.control.run(f"grep -h Seccomp: /proc/{child}/task/*/status").split()
    assert set(threads) == {"Seccomp:", "2"}


def test_unprivileged_user(kvm):
    host, shells = kvm
    output, status = shells[2].run(f"/usr/bin/setpriv --reuid 65534 --clear-groups vmm --name own --memory 16M --cmdline p "
                                   f"--kernel {host.guest_file('probe')} --console stdio "
                                   "</dev/null", check=False)
    assert status == 0 and "probe runs" in output and "ended: power-off by guest" in output


REFUSALS = [
    ("--kernel /nowhere", "kernel /nowhere: No such file or directory"),
    ("--kernel /proc", "kernel /proc is not a regular file"),
    ("--kernel $TMP/half", r"kernel [^ ]*/half is truncated: \d+ bytes, its header says \d+"),
    ("--kernel $TMP/zeroes", "is neither a bzImage nor an ELF file"),
    ("--kernel $KERNEL --memory 32M", r"needs [\d.]+ MiB from [\d.]+ MiB on; the VM has 32.0 MiB"),
    ("--kernel $KERNEL --memory 128M --initrd $TMP/big",
     r"initrd [^ ]*: 100.0 MiB do not fit between the kernel's end at [\d.]+ MiB and 128.0 MiB"),
    ("--kernel $KERNEL --initrd /nowhere", "initrd /nowhere: No such file"),
    ("--kernel $KERNEL --memory 900G", r"the guest needs 921600.0 MiB, available are [\d.]+ MiB"),
    ("--kernel $KERNEL --disk path=/nowhere", "disk /nowhere: No such file"),
    ("--kernel $KERNEL --disk path=/proc", "disk /proc: Is a directory"),
    ("--kernel $KERNEL --disk path=/dev/null", "is neither a file nor a block device"),
    ("--kernel $KERNEL --disk path=$TMP/tiny", "has 1 bytes, less than one sector"),
    ("--kernel $KERNEL --net tap=lo", "net tap=lo: Invalid argument"),
    ("--kernel $KERNEL --memory 512", r"is that 512M or 512G\?"),
]


@pytest.fixture(scope="module")
def bad_files(shells):
    shells[2].run("head -c 3000000 $KERNEL >$TMP/half; head -c 100000 /dev/zero >$TMP/zeroes; "
                  "truncate -s 100M $TMP/big; echo -n x >$TMP/tiny")


@pytest.mark.parametrize("options, error", REFUSALS)
def test_refusals(shells, bad_files, options, error):
    output, status = shells[2].run(f"vmm --check --name bad {options}", check=False)
    assert re.search(error, output) and "error: " in output, output
    assert status == 1 and len(output.strip().splitlines()) == 1


def test_control_socket_in_use(probe, shells):
    machine = probe("i")
    output, status = shells[2].run(f"vmm --name other --kernel $KERNEL --control {machine.socket}",
                                   check=False)
    assert status == 1 and "another VM is running there" in output
    assert machine.command("status")["name"] == "probe"


def test_check_starts_nothing(shells):
    output = shells[2].run("vmm --check --name web --kernel $KERNEL --cpus 2")
    assert "would run: 2 CPUs, 512 MiB, TSC " in output


def test_twenty_rounds_leave_nothing(probe, shells):
    count = "ls /proc | grep -c '^[0-9]'"
    for _ in range(2):  # the first VM loads what stays loaded
        probe("p").wait_end()
    before = int(shells[2].run(count).split()[0])
    for _ in range(20):
        assert probe("p").wait_end() == ("power-off by guest", 0)
    # Kernel threads come and go; a leak of one a round would show.
    assert int(shells[2].run(count).split()[0]) < before + 10
